"""Figures: every tile is what the generator draws for it, at its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.apps.datasets import DatasetJob, Seeds
from stylert.commands.figures import draw_grid, draw_mix, draw_strip
from stylert.runtime.generator import Generator


def tiles(picture: np.ndarray, side: int) -> np.ndarray:
    """[rows, columns, side, side, C] of a figure."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    cut = picture.reshape(rows, side, columns, side, -1)
    return cut.transpose(0, 2, 1, 3, 4)


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """The same but for the rounding of another batch."""
    return a.shape == b.shape and bool(np.abs(a.astype(int) - b).max() <= 1)


@pytest.mark.parametrize("framed", [True, False])
def test_a_mix_with_its_sources(generator: Generator, framed: bool) -> None:
    left, top = generator.styles([1, 2]), generator.styles([3, 4, 5])
    noise: dict[str, Any] = {"noise_mode": "seeded", "noise_seed": 7}
    told: list[tuple[int, int]] = []
    picture = draw_mix(
        generator,
        left,
        top,
        layers="coarse",
        framed=framed,
        progress=lambda *now: told.append(now),
        **noise,
    )
    got = tiles(picture, 32)
    inner = got[1:, 1:] if framed else got
    assert close(inner, generator.mix(left, top, layers="coarse", **noise))
    assert told[-1] == ((11, 11) if framed else (6, 6))
    if framed:
        assert not got[0, 0].any()
        assert close(got[0, 1:], generator.synthesize(top, **noise))
        assert close(got[1:, 0], generator.synthesize(left, **noise))


def test_the_corner_of_a_frame_is_transparent() -> None:
    class Opaque:
        layer_groups = {"all": (0, 1)}  # noqa: RUF012

        def synthesize(self, ws: np.ndarray) -> np.ndarray:
            return np.full((len(ws), 3, 3, 4), 255, np.uint8)

    ws = np.zeros((2, 2, 5), np.float32)
    picture = draw_mix(Opaque(), ws[:1], ws, layers="all")  # type: ignore[arg-type]
    assert picture.shape == (6, 9, 4)
    assert not picture[:3, :3].any()
    assert (picture.sum() // 255) == 5 * 3 * 3 * 4


def test_a_strip(generator: Generator) -> None:
    ws = generator.styles([1, 2])
    told: list[tuple[int, int]] = []
    picture = draw_strip(
        generator,
        ws,
        "sefa_all_0",
        [-3, 0, 3],
        layers="0-3",
        progress=lambda *now: told.append(now),
    )
    got = tiles(picture, 32)
    assert got.shape[:2] == (2, 3)
    assert told == [(3, 6), (6, 6)]
    assert close(got[:, 1], generator.synthesize(ws))
    moved = generator.edit(ws, "sefa_all_0", -3, layers="0-3")
    assert close(got[:, 0], generator.synthesize(moved))
    assert not close(got[:, 0], got[:, 1])


def test_a_grid_of_a_job(generator: Generator) -> None:
    job = DatasetJob(seeds=Seeds.parse("3-14"), options={"noise_mode": "seeded"})
    told: list[tuple[int, int]] = []
    picture = draw_grid(generator, job, (5, 3), progress=lambda *now: told.append(now))
    got = tiles(picture, 32).reshape(15, 32, 32, 3)
    assert close(got[:12], generator.generate(range(3, 15), noise_mode="seeded"))
    assert not got[12:].any()
    assert told == [(8, 12), (12, 12)]  # a batch of the generator at a time
    assert draw_grid(generator, job).shape == (3 * 32, 4 * 32, 3)

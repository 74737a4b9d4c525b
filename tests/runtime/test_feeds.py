"""Feeds: split, merged, and noise that is drawn when the graphs run."""

from __future__ import annotations

import numpy as np
import pytest

from stylert.runtime.bundle import TensorSpec
from stylert.runtime.feeds import Feeds
from stylert.runtime.noise import NoiseSource

CONST = {"noise_a": np.ones((1, 1, 2, 3), np.float32)}
SOURCE = NoiseSource((TensorSpec("noise_a", "float32", ("N", 1, 2, 3)),), CONST)


def feed(mode: str, seed: object, batch: int) -> Feeds:
    ws = np.arange(batch * 4, dtype=np.float32).reshape(batch, 2, 2)
    return SOURCE.feed(mode, seed, None, batch=batch).with_rows({"ws": ws})  # type: ignore[arg-type]


@pytest.mark.parametrize("largest", [1, 2, 3, 7, 8])
@pytest.mark.parametrize(("mode", "seed"), [("const", None), ("seeded", 5), ("seeded", range(7))])
def test_parts_together_are_the_whole(mode: str, seed: object, largest: int) -> None:
    whole = feed(mode, seed, 7)
    parts = list(whole.split(largest))
    assert [part.count for part in parts] == [*[largest] * (7 // largest), 7 % largest][
        : len(parts)
    ]
    rows, expected = [part.draw_rows() for part in parts], whole.draw_rows()
    assert np.array_equal(np.concatenate([row["ws"] for row in rows]), expected["ws"])
    assert all(part.constants is whole.constants for part in parts)
    if mode == "seeded":
        drawn = [np.broadcast_to(r["noise_a"], (len(r["ws"]), 1, 2, 3)) for r in rows]
        wanted = np.broadcast_to(expected["noise_a"], (7, 1, 2, 3))
        assert np.array_equal(np.concatenate(drawn), wanted)


def test_merged_requests_keep_their_rows_and_noise() -> None:
    one, two = feed("seeded", 5, 2), feed("seeded", [6, 7, 8], 3)
    merged = Feeds.merge([one, two])
    assert merged.count == 5
    assert merged.noise_seeds == (5, 5, 6, 7, 8)
    rows = merged.draw_rows()
    assert np.array_equal(rows["ws"], np.concatenate([one.rows["ws"], two.rows["ws"]]))
    assert np.array_equal(rows["noise_a"], SOURCE.seeded([5, 5, 6, 7, 8])["noise_a"])
    assert Feeds.merge([one]) is one


def test_what_all_images_share_becomes_a_row_for_each_when_merged() -> None:
    given = {"noise_a": np.full((1, 1, 2, 3), 4.0, np.float32)}
    shared = SOURCE.feed("const", None, given, batch=2).with_rows({"ws": np.zeros((2, 1, 1))})
    merged = Feeds.merge([shared, shared])
    assert merged.rows["noise_a"].shape == (4, 1, 2, 3)


def test_noise_waits_until_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    source = NoiseSource((TensorSpec("noise_a", "float32", ("N", 1, 2, 3)),), CONST)
    monkeypatch.setattr(source, "seeded", lambda seeds: drawn.extend(seeds) or {})
    feeds = source.feed("seeded", [1, 2, 3], None, batch=3)
    parts = list(feeds.split(2))
    assert drawn == []
    parts[1].draw_rows()
    assert drawn == [3]


def test_one_seed_for_all_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    source = NoiseSource((TensorSpec("noise_a", "float32", ("N", 1, 2, 3)),), CONST)
    draw = source.seeded
    monkeypatch.setattr(source, "seeded", lambda seeds: drawn.extend(seeds) or draw(seeds))
    for part in source.feed("seeded", 9, None, batch=5).split(2):
        assert part.draw_rows()["noise_a"].shape == (1, 1, 2, 3)
    assert drawn == [9]

"""Moving noise: normal in every frame, and back where it began without a jump."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.runtime.bundle import TensorSpec
from stylert.runtime.control.noise_loop import NoiseLoop, make_frame_noise
from stylert.runtime.noise import UNIFORM, NoiseSource

INPUTS = (
    TensorSpec("noise_a", "float32", ("M_a", 1, 4, 6)),
    TensorSpec("noise_b", "float32", ("M_b", 1, 96, 96)),
)
SOURCE = NoiseSource(
    INPUTS,
    {t.name: np.ones((1, *t.shape[1:]), np.float32) for t in INPUTS},  # type: ignore[arg-type]
)


def frames(mode: str, seed: Any, turns: Any = 1.0, *, count: int = 8, loop: bool = True) -> Any:
    return make_frame_noise(SOURCE, mode, seed, turns, frames=count, loop=loop)


def test_the_circle_by_hand() -> None:
    circle = NoiseLoop(
        {"x": np.full((1, 1, 1, 1), 3, np.float32)}, {"x": np.full((1, 1, 1, 1), 4, np.float32)}
    )
    got = circle.at(np.array([0, 0.25, 0.5, 0.75, 1, -3.75, 0.125]))["x"]
    assert got.shape == (7, 1, 1, 1)
    assert got.dtype == np.float32
    expected = [3, 4, -3, -4, 3, 4, 7 * np.sqrt(0.5)]
    np.testing.assert_allclose(got.ravel(), expected, atol=1e-6)


def test_every_frame_is_normal_noise() -> None:
    fields = frames("animated", 5)(slice(0, 8))["noise"]["noise_b"]
    assert fields.shape == (8, 1, 96, 96)
    deviations = fields.std(axis=(1, 2, 3))
    assert np.abs(deviations - 1).max() < 0.03
    assert np.abs(fields.mean(axis=(1, 2, 3))).max() < 0.03
    straight = (fields[0] + fields[2]) / 2  # what a blend would make of it
    assert straight.std() < 0.75


def test_every_frame_of_uniform_noise_is_uniform() -> None:
    inputs = (TensorSpec(UNIFORM, "float32", ("M", 1, 96, 96)),)
    source = NoiseSource(inputs, {UNIFORM: np.ones((1, 1, 96, 96), np.float32)})
    noise = make_frame_noise(source, "animated", [3, 4], 1.0, frames=16, loop=True)
    fields = noise(slice(0, 16))["noise"][UNIFORM]
    assert fields.shape == (16, 1, 96, 96)
    assert fields.dtype == np.float32
    np.testing.assert_allclose(fields[0], source.seeded([3])[UNIFORM][0], atol=1e-6)
    for field in fields:
        counts, _ = np.histogram(field, bins=8, range=(-1e-6, 1 + 1e-6))
        assert counts.sum() == field.size
        assert np.abs(counts / field.size - 1 / 8).max() < 0.015
    assert abs(np.corrcoef(fields[0].ravel(), fields[4].ravel())[0, 1]) < 0.05  # a quarter turn
    np.testing.assert_allclose(fields[8], 1 - fields[0], atol=1e-6)  # half a turn


def test_the_loop_closes_without_a_jump() -> None:
    count = 360
    noise = frames("animated", [3, 4], count=count)
    fields = np.concatenate(
        [noise(slice(i, i + 60))["noise"]["noise_a"] for i in range(0, count, 60)]
    )
    steps = np.abs(np.diff(np.concatenate([fields, fields[:1]]), axis=0)).max(axis=(1, 2, 3))
    assert steps.max() < 4 * 2 * np.pi / count
    assert steps[-1] < 1.2 * steps[:-1].max()


def test_two_seeds_are_the_noise_at_turn_0_and_at_a_quarter() -> None:
    fields = frames("animated", [3, 4])(slice(0, 3))["noise"]
    for name, field in SOURCE.seeded([3, 4]).items():
        np.testing.assert_allclose(fields[name][0], field[0], atol=1e-6)
        np.testing.assert_allclose(fields[name][2], field[1], atol=1e-6)


def test_one_seed_has_two_fields_of_its_own() -> None:
    fields = frames("animated", 3)(slice(0, 3))["noise"]["noise_a"]
    np.testing.assert_allclose(fields[:1], SOURCE.seeded([3])["noise_a"], atol=1e-6)
    for other in (SOURCE.seeded([3]), SOURCE.seeded([4])):
        assert not np.allclose(fields[2], other["noise_a"][0], atol=1e-2)


def test_without_a_loop_the_last_frame_is_at_the_last_turn() -> None:
    fields = frames("animated", [3, 4], 0.25, count=5, loop=False)(slice(0, 5))["noise"]
    np.testing.assert_allclose(
        fields["noise_b"][[0, 4]], SOURCE.seeded([3, 4])["noise_b"], atol=1e-6
    )


def test_other_modes() -> None:
    assert frames("const", None)(slice(0, 3)) == {"noise_mode": "const"}
    assert frames("none", None)(slice(0, 3)) == {"noise_mode": "none"}
    seeded = frames("seeded", 7)
    assert seeded(slice(0, 2))["noise"] is seeded(slice(2, 4))["noise"]  # drawn once
    assert np.array_equal(seeded(slice(0, 2))["noise"]["noise_a"], SOURCE.seeded([7])["noise_a"])


def test_a_network_without_noise() -> None:
    noise = make_frame_noise(NoiseSource((), {}), "animated", 1, 1.0, frames=4, loop=True)
    assert noise(slice(0, 2)) == {"noise": {}}


@pytest.mark.parametrize("mode", ["random", "", None, 3, ["const"], "x" * 5000])
def test_modes_that_are_refused(refuses: Any, mode: Any) -> None:
    with refuses("noise_mode: got ", "expected one of ('const', 'none', 'seeded', 'animated')"):
        frames(mode, None)


@pytest.mark.parametrize("seed", [None, -1, 2**32, 1.5, "1", [], [1, 2, 3], True])
def test_seeds_that_are_refused(refuses: Any, seed: Any) -> None:
    with refuses("noise_seed: got ", "expected "):
        frames("animated", seed)


@pytest.mark.parametrize("mode", ["const", "none"])
def test_a_seed_for_no_seeded_noise_is_refused(refuses: Any, mode: str) -> None:
    with refuses("noise_seed: got one with noise_mode", "expected 'seeded'"):
        frames(mode, 3)


@pytest.mark.parametrize("seed", [None, [1, 2]])
def test_seeded_noise_takes_one_seed(refuses: Any, seed: Any) -> None:
    with refuses("noise_seed: got ", "expected "):
        frames("seeded", seed)


@pytest.mark.parametrize("turns", [np.nan, np.inf, "1", None, True, 1j, [1.0], np.array([1.0])])
def test_turns_that_are_refused(refuses: Any, turns: Any) -> None:
    with refuses("noise_turns: got ", "expected a finite number"):
        frames("animated", 1, turns)


@pytest.mark.parametrize("turns", ["1", None, [[0.5]], np.nan, [0, np.inf], True])
def test_places_that_are_refused(refuses: Any, turns: Any) -> None:
    circle = NoiseLoop(*({"noise_a": np.full((1, 1, 2, 2), n, np.float32)} for n in (1, 3)))
    assert np.allclose(circle.at(0.25)["noise_a"], [3])
    assert np.array_equal(circle.at(0.5)["noise_a"], circle.at([0.5])["noise_a"])
    with refuses("turns: got ", "expected a finite number or several"):
        circle.at(turns)

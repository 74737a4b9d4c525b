"""Grids of walks: each cell is an interpolation of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.apps.video.ramps import Ramp
from stylert.apps.video.walks import (
    choose_walk_batch,
    count_frames_between,
    count_walk_frames,
    draw_walks,
)
from stylert.runtime.generator import Generator
from stylert.runtime.images import make_grid


def test_one_walk_is_an_interpolation(generator: Generator) -> None:
    options: dict[str, Any] = {"frames": 3, "loop": True, "curve": "slerp"}
    got = list(draw_walks(generator, [1, 2, 1], **options))
    expected = list(generator.interpolate([1, 2, 1], **options))
    assert len(got) == count_walk_frames(3, 3, loop=True) == 9
    assert np.array_equal(got, expected)


def test_the_cells_share_the_keyframes_out(generator: Generator) -> None:
    got = list(draw_walks(generator, range(12), columns=3, rows=2, frames=2))
    assert len(got) == count_walk_frames(12, 2, walks=6) == 3
    cells = [list(generator.interpolate([i, i + 1], frames=2)) for i in range(0, 12, 2)]
    for place, frame in enumerate(got):
        assert np.array_equal(frame, make_grid(np.stack([cell[place] for cell in cells]), 3, 2))


def test_styles_as_keyframes(generator: Generator) -> None:
    ws = generator.styles([1, 2, 3, 4])
    got = list(draw_walks(generator, ws, columns=2, frames=1))
    expected = generator.generate([1, 3, 2, 4])
    side = expected.shape[2]
    halves = np.stack(got).reshape(2, side, 2, side, -1).transpose(0, 2, 1, 3, 4)
    assert np.abs(halves.reshape(expected.shape).astype(int) - expected).max() <= 1


def test_classes_of_keyframes(conditional: Generator) -> None:
    got = list(draw_walks(conditional, [7] * 4, rows=2, class_idx=[0, 1, 2, 3], frames=1))
    for frame, classes in zip(got, ([0, 2], [1, 3]), strict=True):
        pair = conditional.generate([7, 7], class_idx=classes)
        assert np.abs(frame.astype(int) - np.concatenate(list(pair))).max() <= 1


def test_classes_of_walks(conditional: Generator) -> None:
    options: dict[str, Any] = {"rows": 2, "frames": 1}
    got = draw_walks(conditional, [7, 8] * 2, class_idx=[3, 1], **options)
    expected = draw_walks(conditional, [7, 8] * 2, class_idx=[3, 3, 1, 1], **options)
    assert np.array_equal(np.stack(list(got)), np.stack(list(expected)))


@pytest.mark.parametrize(
    ("keyframes", "options", "words"),
    [
        (range(4), {"rows": 2, "class_idx": [0] * 3}, "expected one, 2: one per walk, or 4"),
        ([1], {}, "keyframes: got 1, expected 2 or more."),
        (range(5), {"columns": 2}, "keyframes: got 5 for 2 walks, expected 4, 6, 8, ..."),
        (range(2), {"columns": 2}, "keyframes: got 2 for 2 walks, expected 4, 6, 8, ..."),
        (range(2), {"columns": 0}, "columns: got 0, expected an integer of at least 1."),
        (range(2), {"class_idx": [1]}, "class_idx: got 1 classes, expected one, or 2"),
        (range(2), {"frames": 0}, "frames: got 0"),
        (range(2), {"noise_mode": "loud"}, "noise_mode: got 'loud'"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(
    generator: Generator, refuses: Any, keyframes: Any, options: dict[str, Any], words: str
) -> None:
    with refuses(words):
        draw_walks(generator, keyframes, **options)


def test_values_that_change(generator: Generator) -> None:
    options: dict[str, Any] = {"frames": 2, "loop": True}
    got = list(draw_walks(generator, [1, 2], truncation_psi=Ramp(0, 1), **options))
    psi = [0, 0.5, 1, 0.5]
    assert np.array_equal(got, list(generator.interpolate([1, 2], truncation_psi=psi, **options)))


def test_frames_between_keyframes(refuses: Any) -> None:
    assert count_frames_between(2, 29.97) == 60
    assert count_frames_between(0.001, 1) == 1
    for seconds in (0, -1, float("nan"), float("inf"), 86_401):
        with refuses(f"seconds: got {seconds:g}, expected above 0 and up to 86400"):
            count_frames_between(seconds, 30)
    text: Any = "2"
    with refuses("seconds: got '2', expected above 0"):
        count_frames_between(text, 30)


def test_few_frames_of_many_walks_wait() -> None:
    assert [choose_walk_batch(8, walks) for walks in (1, 8, 9, 64, 998_001)] == [8, 8, 7, 1, 1]

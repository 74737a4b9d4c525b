"""Walks side by side: the frames of several interpolations as one grid, and values that change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.runtime.arguments import check_integer
from stylert.runtime.control.interpolation import frame_times
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import grid_of

if TYPE_CHECKING:
    from stylert.runtime.generator import Generator

__all__ = ["ramp", "walk_grid", "walk_length"]


def walk_grid(
    generator: Generator,
    keyframes: Sequence[int] | np.ndarray,
    *,
    columns: int = 1,
    rows: int = 1,
    class_idx: int | Sequence[int] | None = None,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Draw a grid of walks, frame by frame: each cell goes through keyframes of its own.

        frames = walk_grid(generator, range(12), columns=2, rows=2, loop=True)   # 3 keyframes each

    Up to `generator.max_batch` frames of every walk wait in memory.

    Args:
        generator: what draws.
        keyframes: seeds, or ws [K, num_ws, w_dim]: those of the first cell, then those of the cell
            to its right, and so on, as many for each.
        columns: walks beside each other.
        rows: walks above each other.
        class_idx: one class for all, or one per keyframe.
        options: see `Generator.interpolate`; they are for all walks.

    Returns:
        frames: uint8 [rows * H, columns * W, C].

    Raises:
        InvalidInput: at once, keyframes that the walks cannot share, and what `interpolate` says.
        EngineError: the backend failed, or the generator is closed.
    """
    check_integer("columns", columns, 1)
    check_integer("rows", rows, 1)
    walks, count = columns * rows, len(keyframes)
    each = _keyframes_each(count, walks)
    several = class_idx is not None and not isinstance(class_idx, (int, np.integer))
    if several and len(class_idx) != count:  # type: ignore[arg-type]
        raise InvalidInput(
            f"class_idx: got {len(class_idx)} classes, expected one, or {count}: "  # type: ignore[arg-type]
            "one per keyframe."
        )
    parts = [slice(i * each, (i + 1) * each) for i in range(walks)]
    cells = [
        generator.interpolate(
            keyframes[part],
            class_idx=class_idx[part] if several else class_idx,  # type: ignore[index]
            **options,
        )
        for part in parts
    ]
    if walks == 1:
        return cells[0]
    return (grid_of(np.stack(images), columns, rows) for images in zip(*cells, strict=True))


def walk_length(keyframes: int, frames: int, *, walks: int = 1, loop: bool = False) -> int:
    """How many frames a grid of walks has.

    Args:
        keyframes: of all walks together.
        frames: from one keyframe to the next.
        walks: how many.
        loop: whether they come back to where they started.

    Raises:
        InvalidInput: keyframes that the walks cannot share, or too many frames.
    """
    return len(frame_times(_keyframes_each(keyframes, walks), frames, loop=loop))


def ramp(start: Any, end: Any, frames: int, *, loop: bool, turn: float | None = None) -> np.ndarray:
    """Values that change evenly from frame to frame.

    On a loop they go to the end and back again, so that nothing jumps; unless they come back to
    where they were by themselves, as degrees do after whole turns: then they go straight on.

    Args:
        start: of the first frame, a number or [D].
        end: of the last frame, on a loop that in the middle.
        frames: how many.
        loop: whether the first frame follows on the last.
        turn: what a whole turn is, such as 360 of degrees; None where there are no turns.

    Returns:
        [frames] or [frames, D] float64.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    share = np.arange(frames) / max(1, frames if loop else frames - 1)
    whole = turn is not None and bool(np.all((end - start) % turn == 0))
    if loop and not whole:
        share = 1 - np.abs(1 - 2 * share)
    share = share.reshape(-1, *[1] * start.ndim)
    return np.asarray(start + share * (end - start))


def _keyframes_each(count: int, walks: int) -> int:
    """How many keyframes every walk has."""
    if count % walks or count < 2 * walks:
        each = "" if walks == 1 else f" for {walks} walks"
        expected = "2 or more" if walks == 1 else f"{2 * walks}, {3 * walks}, {4 * walks}, ..."
        raise InvalidInput(f"keyframes: got {count}{each}, expected {expected}.")
    return count // walks

"""Walks side by side: the frames of several interpolations as one grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.apps.video.ramps import Ramp
from stylert.runtime.arguments import check_integer, shown_number
from stylert.runtime.control.interpolation import make_frame_times
from stylert.runtime.control.truncation import as_number
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import make_grid

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["count_frames_between", "choose_walk_batch", "draw_walks", "count_walk_frames"]

_MOST_SECONDS = 86_400  # from one keyframe to the next
_MOST_WAITING = 64  # pictures of the walks of a grid that wait in memory


def draw_walks(
    generator: Generator,
    keyframes: Sequence[int] | np.ndarray,
    *,
    columns: int = 1,
    rows: int = 1,
    frames: int = 60,
    loop: bool = False,
    class_idx: int | Sequence[int] | None = None,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Draw a grid of walks, frame by frame: each cell goes through keyframes of its own.

        frames = draw_walks(generator, range(12), columns=2, rows=2, loop=True)   # 3 keyframes each

    Up to `generator.max_batch` frames of every walk wait in memory.

    Args:
        generator: what draws.
        keyframes: seeds, or ws [K, num_ws, w_dim]: those of the first cell, then those of the cell
            to its right, and so on, as many for each.
        columns: walks beside each other.
        rows: walks above each other.
        frames: from one keyframe to the next.
        loop: whether each walk goes back to where it started.
        class_idx: one class for all, one per walk, or one per keyframe.
        options: see `Generator.interpolate`; they are for all walks. A `Ramp` stands for what
            changes from frame to frame: `rotate=Ramp(0, 360, turn=360)`.

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
    classes = _split_classes(class_idx, walks=walks, keyframes=count)
    length = len(make_frame_times(each, frames, loop=loop))
    changing: dict[str, Any] = {
        name: value.over(length, loop=loop) if isinstance(value, Ramp) else value
        for name, value in options.items()
    }
    parts = [slice(i * each, (i + 1) * each) for i in range(walks)]
    cells = [
        generator.interpolate(
            keyframes[part],
            frames=frames,
            loop=loop,
            class_idx=class_or_classes,
            **changing,
        )
        for part, class_or_classes in zip(parts, classes, strict=True)
    ]
    if walks == 1:
        return cells[0]
    return (make_grid(np.stack(images), columns, rows) for images in zip(*cells, strict=True))


def count_walk_frames(keyframes: int, frames: int, *, walks: int = 1, loop: bool = False) -> int:
    """How many frames a grid of walks has.

    Args:
        keyframes: of all walks together.
        frames: from one keyframe to the next.
        walks: how many.
        loop: whether they come back to where they started.

    Raises:
        InvalidInput: keyframes that the walks cannot share, or too many frames.
    """
    return len(make_frame_times(_keyframes_each(keyframes, walks), frames, loop=loop))


def choose_walk_batch(batch: int, walks: int) -> int:
    """A `max_batch` for `Generator.open`: up to `batch`, so that few frames of all walks wait."""
    return max(1, min(batch, _MOST_WAITING // walks))


def count_frames_between(seconds: float, fps: float) -> int:
    """How many frames there are from one keyframe to the next, at least 1.

    Args:
        seconds: from one to the next, above 0 and up to a day.
        fps: frames a second.

    Raises:
        InvalidInput: seconds out of range.
    """
    if not 0 < as_number(seconds) <= _MOST_SECONDS:
        got = shown_number(seconds)
        raise InvalidInput(f"seconds: got {got}, expected above 0 and up to {_MOST_SECONDS}.")
    return max(1, round(seconds * fps))


def _split_classes(
    class_idx: int | Sequence[int] | None, *, walks: int, keyframes: int
) -> list[int | Sequence[int] | None]:
    """For each walk its class, or one per keyframe."""
    if class_idx is None or isinstance(class_idx, (int, np.integer)):
        return [class_idx] * walks
    if len(class_idx) == keyframes:
        each = keyframes // walks
        return [class_idx[i * each : (i + 1) * each] for i in range(walks)]
    if len(class_idx) == walks > 1:
        return list(class_idx)
    by_walk = f", {walks}: one per walk" if walks > 1 else ""
    raise InvalidInput(
        f"class_idx: got {len(class_idx)} classes, expected one{by_walk}, or {keyframes}: one per "
        "keyframe."
    )


def _keyframes_each(count: int, walks: int) -> int:
    """How many keyframes every walk has."""
    if count % walks or count < 2 * walks:
        each = "" if walks == 1 else f" for {walks} walks"
        expected = "2 or more" if walks == 1 else f"{2 * walks}, {3 * walks}, {4 * walks}, ..."
        raise InvalidInput(f"keyframes: got {count}{each}, expected {expected}.")
    return count // walks

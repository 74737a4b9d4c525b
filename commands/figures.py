"""Figures: pictures in a grid, mixed with their sources around them, and edited in strips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.runtime.control.layers import Layers
from stylert.runtime.images import grid_of

if TYPE_CHECKING:
    from stylert.apps.datasets import DatasetJob
    from stylert.runtime.generator import Generator

__all__ = ["framed", "grid_figure", "mix_figure", "strip_figure"]

Progress = Callable[[int, int], None]  # pictures done, and in all


def grid_figure(
    generator: Generator,
    job: DatasetJob,
    *,
    columns: int | None = None,
    rows: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Draw the images of a job as one picture.

    Args:
        generator: what draws; its `max_batch` images at a time.
        job: which images, and how they are drawn; all of them are in memory.
        columns: images a row, None = as square as it gets.
        rows: None = as many as it takes.
        progress: called after every batch.

    Returns:
        [rows * H, columns * W, channels] uint8; the rest of the grid is black.

    Raises:
        InvalidInput: what does not fit the generator, or too few rows.
        EngineError: the backend failed, or the generator is closed.
    """
    tiles = []
    for places in job.batches(0, generator.max_batch):
        tiles.append(generator.generate(**job.make_arguments(places)))
        if progress is not None:
            progress(places.stop, len(job.seeds))
    return grid_of(np.concatenate(tiles), columns, rows)


def mix_figure(
    generator: Generator,
    rows: np.ndarray,
    columns: np.ndarray,
    *,
    layers: Layers,
    frame: bool = True,
    progress: Progress | None = None,
    **noise: Any,
) -> np.ndarray:
    """Draw every row with some layers of every column, as figure 3 of StyleGAN shows it.

    Args:
        generator: what draws.
        rows: ws [R, num_ws, w_dim]: what the other layers come from, along the left side.
        columns: ws [C, num_ws, w_dim]: what these layers come from, along the top.
        layers: see `Generator.mix`.
        frame: show the sources, too.
        progress: called after every row.
        noise: `noise_mode` and `noise_seed` of `Generator.mix`.

    Returns:
        [(R + 1) * H, (C + 1) * W, channels] uint8; without a frame [R * H, C * W, channels].

    Raises:
        InvalidInput: layers or noise that do not fit.
        EngineError: the backend failed, or the generator is closed.
    """
    R, C = len(rows), len(columns)
    total = R * C + (R + C if frame else 0)
    grid = []
    for done, row in enumerate(rows, 1):
        grid.append(generator.mix(row[None], columns, layers=layers, **noise))
        if progress is not None:
            progress(done * C, total)
    pictures = np.concatenate(grid)  # [R, C, H, W, channels]
    if not frame:
        return _laid_out(pictures)
    top, left = generator.synthesize(columns, **noise), generator.synthesize(rows, **noise)
    if progress is not None:
        progress(total, total)
    return framed(pictures, top=top, left=left)


def strip_figure(
    generator: Generator,
    ws: np.ndarray,
    direction: str | np.ndarray,
    strengths: Sequence[float],
    *,
    layers: Layers = "all",
    progress: Progress | None = None,
    **noise: Any,
) -> np.ndarray:
    """Draw pictures along a direction: a row for each, a column for every strength.

    Args:
        generator: what draws.
        ws: [N, num_ws, w_dim] float32.
        direction: see `Generator.edit`.
        strengths: [S].
        layers: those that move, see `Generator.edit`.
        progress: called after every row.
        noise: `noise_mode` and `noise_seed` of `Generator.synthesize`.

    Returns:
        [N * H, S * W, channels] uint8.

    Raises:
        InvalidInput: a direction, layers or noise that do not fit.
        EngineError: the backend failed, or the generator is closed.
    """
    strips = []
    for done, w in enumerate(ws, 1):
        moved = generator.edit(w[None], direction, strengths, layers=layers)
        strips.append(generator.synthesize(moved, **noise))
        if progress is not None:
            progress(done * len(strengths), len(ws) * len(strengths))
    return _laid_out(np.stack(strips))


def framed(grid: np.ndarray, *, top: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Lay a grid of pictures out, with those that its columns and rows come from.

    Args:
        grid: [R, C, H, W, channels] uint8, such as `Generator.mix` draws.
        top: [C, H, W, channels], the sources of the columns.
        left: [R, H, W, channels], the sources of the rows.

    Returns:
        [(R + 1) * H, (C + 1) * W, channels] uint8; the corner is black, or transparent.
    """
    first = np.concatenate([np.zeros_like(top[:1]), top])[None]  # [1, C + 1, H, W, channels]
    return _laid_out(np.concatenate([first, np.concatenate([left[:, None], grid], axis=1)]))


def _laid_out(grid: np.ndarray) -> np.ndarray:
    """Pictures [R, C, H, W, channels] as one: [R * H, C * W, channels]."""
    R, C = grid.shape[:2]
    return grid_of(grid.reshape(R * C, *grid.shape[2:]), C, R)

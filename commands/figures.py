"""Figures: pictures in a grid, by their truncation, mixed with their sources, edited in strips.

`progress` is called with the pictures done, and those in all; `options` are those of
`Generator.synthesize`. What does not fit the generator is an `InvalidInput`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.runtime.control.layers import Layers, find_layers
from stylert.runtime.control.styles import mix_grid
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import make_grid

if TYPE_CHECKING:
    from stylert.apps.datasets import DatasetJob
    from stylert.runtime.drawing_options import DrawingOptions
    from stylert.runtime.generator import Generator

__all__ = ["draw_grid", "draw_mix", "draw_strip", "draw_sweep", "move_styles"]

Progress = Callable[[int, int], None]


def draw_grid(
    generator: Generator,
    job: DatasetJob,
    cells: tuple[int, int] | None = None,  # columns and rows, None = as square as it gets
    *,
    progress: Progress = lambda done, total: None,
) -> np.ndarray:
    """Draw the images of a job as one picture: [rows * H, columns * W, channels] of its dtype."""
    return make_grid(_draw_all(generator, job, progress), *(cells or (None, None)))


def draw_sweep(
    generator: Generator,
    job: DatasetJob,
    psis: Sequence[float],
    *,
    progress: Progress = lambda done, total: None,
) -> np.ndarray:
    """Draw the images of a job with each truncation psi: a row for a seed, a column for a psi."""
    columns = []
    for done, psi in enumerate(psis, 1):
        options: DrawingOptions = {**job.options, "truncation_psi": psi}
        columns.append(_draw_all(generator, replace(job, options=options)))
        progress(done * len(job.seeds), len(psis) * len(job.seeds))
    return _lay_out(np.stack(columns, axis=1))


def _draw_all(
    generator: Generator, job: DatasetJob, progress: Progress = lambda done, total: None
) -> np.ndarray:
    """The images of a job: [N, H, W, channels] of its dtype."""
    images = []
    for places in job.batches(0, generator.max_batch):
        images.append(job.draw(generator, places))
        progress(places.stop, len(job.seeds))
    return np.concatenate(images)


def draw_mix(
    generator: Generator,
    rows: np.ndarray,  # ws [R, num_ws, w_dim]: what the other layers come from
    columns: np.ndarray,  # ws [C, num_ws, w_dim]: what these layers come from
    *,
    layers: Layers,
    framed: bool = True,
    progress: Progress = lambda done, total: None,
    **options: Any,
) -> np.ndarray:
    """Draw every row with some layers of every column, as figure 3 of StyleGAN shows it.

    Returns:
        [R * H, C * W, channels] uint8; framed by the sources [(R + 1) * H, (C + 1) * W, channels].
    """
    R, C = len(rows), len(columns)
    total = R * C + (R + C if framed else 0)
    grid = []
    for done, ws in enumerate(
        mix_grid(rows, columns, find_layers(layers, generator.layer_groups)), 1
    ):
        grid.append(generator.synthesize(ws, **options))
        progress(done * C, total)
    pictures = np.stack(grid)  # [R, C, H, W, channels]
    if framed:
        top = generator.synthesize(columns, **options)  # [C, H, W, channels]
        left = generator.synthesize(rows, **options)[:, None]  # [R, 1, H, W, channels]
        first = np.concatenate([np.zeros_like(top[:1]), top])[None]  # its corner is empty
        pictures = np.concatenate([first, np.concatenate([left, pictures], axis=1)])
        progress(total, total)
    return _lay_out(pictures)


def draw_strip(
    generator: Generator,
    ws: np.ndarray,  # [N, num_ws, w_dim] float32
    # Or how far channels are moved, in all pictures or in each.
    direction: str | np.ndarray | Mapping[str, float] | list[dict[str, float]],
    strengths: Sequence[float],  # [S]
    *,
    layers: Layers = "all",
    progress: Progress = lambda done, total: None,
    **options: Any,
) -> np.ndarray:
    """Draw ws moved along a direction, a row for each: [N * H, S * W, channels] uint8."""
    channels = [direction] * len(ws) if isinstance(direction, Mapping) else direction
    if isinstance(channels, list) and layers != "all":
        raise InvalidInput(f"layers: got {layers!r} with channels, which name their layers.")
    strips = []
    for done, w in enumerate(ws, 1):
        if isinstance(channels, list):
            options["style_offset"] = generator.make_style_offset(channels[done - 1], strengths)
            moved = np.repeat(w[None], len(strengths), axis=0)
        else:
            moved = move_styles(generator, w[None], channels, strengths, layers=layers)
        strips.append(generator.synthesize(moved, **options))
        progress(done * len(strengths), len(ws) * len(strengths))
    return _lay_out(np.stack(strips))


def move_styles(
    generator: Generator,
    ws: np.ndarray,  # [N, num_ws, w_dim] float32
    direction: str | np.ndarray,
    strengths: Sequence[float],  # [S]
    *,
    layers: Layers = "all",
) -> np.ndarray:
    """The ws of strips, those of each w from the first strength to the last: [N * S, ...]."""
    moved = [generator.edit(w[None], direction, strengths, layers=layers) for w in ws]
    return np.concatenate(moved)


def _lay_out(grid: np.ndarray) -> np.ndarray:
    """Pictures [R, C, H, W, channels] as one: [R * H, C * W, channels]."""
    R, C = grid.shape[:2]
    return make_grid(grid.reshape(R * C, *grid.shape[2:]), C, R)

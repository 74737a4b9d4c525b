"""What the levels of a blend draw, side by side, by the reference in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from stylert.export.blending import blend_checkpoints, list_levels
from stylert.export.checkpoints import Checkpoint
from stylert.export.parity.reference import Reference
from stylert.export.parity.scenes import list_image_scenes
from stylert.runtime.images import make_grid, to_uint8
from stylert.runtime.latents import make_z

__all__ = ["draw_levels"]


def draw_levels(
    first: Checkpoint,
    second: Checkpoint,
    seeds: Sequence[int],
    *,
    truncation_psi: float = 0.7,
    width: float | None = None,
    mapping: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Draw a row of every seed, and a column of every level: 0 (the second's), ..., infinity.

    Args:
        first: whose coarse layers are taken.
        second: whose fine layers are taken.
        seeds: of the rows; of a conditional network, the class is seed mod c_dim.
        truncation_psi: of all.
        width: see `blend_checkpoints`.
        mapping: the same.
        progress: called with the columns done, and those in all.

    Returns:
        uint8 [rows * H, columns * W, C].

    Raises:
        InvalidInput: see `blend_checkpoints`.
    """
    levels = list_levels(first.config)
    scene = list_image_scenes(first.config)[0]
    z = torch.from_numpy(make_z(seeds, first.config.z_dim))
    classes = first.config.c_dim
    c = torch.eye(classes)[[seed % classes for seed in seeds]] if classes else None
    columns = []
    for done, level in enumerate(levels):
        progress(done, len(levels))
        blend = blend_checkpoints(first, second, level=level, width=width, mapping=mapping)
        reference = Reference(blend)
        with torch.inference_mode():
            psi = torch.full((len(seeds), first.config.num_ws), truncation_psi)
            ws = reference.model.mapping(z, c, truncation_psi=psi).numpy()
        images = [reference.draw(seed, scene, ws[row]) for row, seed in enumerate(seeds)]
        columns.append(to_uint8(np.stack(images)))
    progress(len(levels), len(levels))
    cells = np.stack(columns, axis=1)  # [seeds, levels, H, W, C]
    return make_grid(cells.reshape(-1, *cells.shape[2:]), columns=len(levels))

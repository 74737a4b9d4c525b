"""`ProjectionStep`: where a projection is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["ProjectionStep"]


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class ProjectionStep:
    """Where a projection is.

    Attributes:
        number: of the step, from 1 on.
        steps: how many there will be.
        loss: of what was drawn in this step, [N].
        psnr: of the same, in dB over the pixels that are seen, [N].
        distance: of the same, as a feature network sees it, [N]; None where there is none.
        img: what was drawn, [N, C, H, W] float32.
        best_ws: the styles of the lowest loss so far, [N, num_ws, w_dim] float32.
        best_psnr: theirs, [N].
        best_noise: their noise [N, 1, h, w] by input name, if it is found, too.
    """

    number: int
    steps: int
    loss: np.ndarray
    psnr: np.ndarray
    distance: np.ndarray | None
    img: np.ndarray
    best_ws: np.ndarray
    best_psnr: np.ndarray
    best_noise: Mapping[str, np.ndarray]

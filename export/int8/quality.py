"""How far INT8 pictures are from those of the float32 graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from stylert.export.int8.graph_runs import Feeds, open_model
from stylert.runtime.files.json_files import keep_finite

__all__ = ["OFF", "Drawn", "Quality", "draw"]

OFF = 4  # of 256: bytes that are further away are counted
_PEAK_SQUARE = 4.0  # of images that are clipped to [-1, 1]


@dataclass(frozen=True)
class Drawn:
    """Pictures of a graph.

    Attributes:
        img: [K, C, H, W] float32, clipped to [-1, 1].
        image: [K, H, W, C] uint8.
    """

    img: np.ndarray
    image: np.ndarray


@dataclass(frozen=True)
class Quality:
    """Several pictures against their reference, clipped to [-1, 1], with a peak of 2.

    Attributes:
        psnr_db: of all of them together.
        worst_db: of the worst.
        share_off: of the bytes, those that are off by more than `OFF`.
        pictures: how many.
    """

    psnr_db: float
    worst_db: float
    share_off: float
    pictures: int

    @classmethod
    def measure(cls, expected: Drawn, got: Drawn) -> Quality:
        """Compare pictures, one by one."""
        errors = np.square(got.img.astype(np.float64) - expected.img)
        each = errors.mean(axis=(1, 2, 3))  # [K]
        off = np.abs(got.image.astype(np.int16) - expected.image) > OFF
        return cls(_decibels(each.mean()), _decibels(each.max()), float(off.mean()), len(each))

    @property
    def error(self) -> float:
        """The mean square of the differences."""
        return _PEAK_SQUARE * 10 ** (-self.psnr_db / 10)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types; what is infinite is None, and so is what is not a number."""
        return {k: keep_finite(v) for k, v in vars(self).items()}


def draw(
    model: ir.Model, pictures: Sequence[Mapping[str, np.ndarray]], *, threads: int | None = None
) -> Drawn:
    """Draw pictures with a graph in ONNX Runtime, one at a time."""
    session = open_model(model, threads=threads)
    drawn = [session.run(["img", "image"], Feeds(feeds)) for feeds in pictures]
    imgs, images = (np.concatenate(part) for part in zip(*drawn, strict=True))
    return Drawn(np.clip(imgs, -1, 1), images)


def _decibels(error: float) -> float:
    """PSNR of a mean square; what is not finite is as far away as can be."""
    if not math.isfinite(error):
        return -math.inf
    return 10 * math.log10(_PEAK_SQUARE / error) if error else math.inf

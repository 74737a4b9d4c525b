"""Pixels as videos take them: three channels, and even sides."""

from __future__ import annotations

import numpy as np

__all__ = ["FRAME_CHANNELS", "even_sides", "over_black", "rgb"]

FRAME_CHANNELS = (1, 3, 4)  # of the pictures that can be frames


def rgb(image: np.ndarray) -> np.ndarray:
    """A picture of 1, 3 or 4 channels as [H, W, 3]; over black where it is transparent."""
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return over_black(image) if image.shape[2] == 4 else image


def over_black(image: np.ndarray) -> np.ndarray:
    """A picture [H, W, 4] uint8 with its alpha, shown over black: [H, W, 3] uint8."""
    colour, alpha = image[:, :, :3].astype(np.uint16), image[:, :, 3:].astype(np.uint16)
    return ((colour * alpha + 127) // 255).astype(np.uint8)


def even_sides(image: np.ndarray) -> np.ndarray:
    """A picture [H, W, C] with even sides: the last row and column are drawn twice if need be."""
    height, width, _ = image.shape
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)

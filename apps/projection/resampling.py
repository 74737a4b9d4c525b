"""Resizing of pictures as matrices, and their colours: a gradient goes back the same way."""

from __future__ import annotations

import numpy as np

__all__ = ["fold_channels", "make_resampling", "spread_channels"]

_SHARPNESS = -0.5  # of the bicubic kernel, as Pillow's


def make_resampling(kind: str, before: int, after: int) -> np.ndarray:
    """The matrix [after, before] that resizes one side of a picture.

    Args:
        kind: 'bilinear', as TensorFlow 1, after means of 2x2 pixels while the picture is twice as
            large or more; else as Pillow's bicubic, with antialiasing, neither clipped nor rounded:
            nothing goes back through that.
        before: pixels of the side.
        after: pixels that it gets.
    """
    if kind != "bilinear":
        return _make_bicubic(before, after)
    if before >= 2 * after and before % 2 == 0:
        halves = np.repeat(np.eye(before // 2, dtype=np.float32) / 2, 2, axis=1)
        halved: np.ndarray = make_resampling(kind, before // 2, after) @ halves
        return halved
    places = np.arange(after) * (before / after)
    low = places.astype(int)
    share = (places - low)[:, None]
    pixels = np.eye(before)
    mixed = pixels[low] * (1 - share) + pixels[np.minimum(low + 1, before - 1)] * share
    return np.asarray(mixed, np.float32)


def spread_channels(img: np.ndarray) -> np.ndarray:
    """Red, green and blue of pictures [N, C, H, W] of 1, 3 or 4 channels."""
    return np.repeat(img, 3, axis=1) if img.shape[1] == 1 else img[:, :3]


def fold_channels(gradient: np.ndarray, channels: int) -> np.ndarray:
    """The gradient [N, 3, H, W] of colours, by the channels that pictures have."""
    if channels == 1:
        return np.asarray(gradient.sum(1, keepdims=True))
    return np.pad(gradient, [(0, 0), (0, channels - 3), (0, 0), (0, 0)])


def _make_bicubic(before: int, after: int) -> np.ndarray:
    """Shares of the pixels around each new one, wider where it shrinks."""
    ratio = before / after
    wide = max(ratio, 1.0)
    middle = (np.arange(after)[:, None] + 0.5) * ratio
    x = np.abs((np.arange(before) + 0.5 - middle) / wide)  # [after, before]
    a = _SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    shares = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return np.asarray(shares / shares.sum(1, keepdims=True), np.float32)

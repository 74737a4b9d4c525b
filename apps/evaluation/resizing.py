"""The ways in which the field enlarges and shrinks pictures for a feature network.

'bilinear' is TensorFlow 1's, of torch-fidelity, torchmetrics and NVlabs: no antialiasing, and
corners that are not aligned. 'bicubic' is clean-fid's: Pillow's, in float, each channel by itself.
'bicubic-bytes' is CLIP's: Pillow's of pictures, whose pixels are bytes again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["RESIZES", "Resize", "resize_bicubic", "resize_bilinear", "resize_bytes"]

Resize = Callable[[np.ndarray, int], np.ndarray]


def resize_bilinear(images: np.ndarray, size: int) -> np.ndarray:
    """Resize as TensorFlow 1 does, digit by digit.

    Args:
        images: [N, H, W, C] uint8 or float32.
        size: of both sides.

    Returns:
        [N, C, size, size] float32 of the same range.
    """
    pixels = images.astype(np.float32).transpose(0, 3, 1, 2)  # [N, C, H, W]
    y, y_next, dy = _find_places(pixels.shape[2], size)
    x, x_next, dx = _find_places(pixels.shape[3], size)
    rows = np.union1d(y, y_next)  # each is resized once, however often it is needed
    left, right = pixels[:, :, rows[:, None], x], pixels[:, :, rows[:, None], x_next]
    across = left + (right - left) * dx  # [N, C, rows, size]
    upper = across[:, :, np.searchsorted(rows, y)]  # [N, C, size, size]
    lower = across[:, :, np.searchsorted(rows, y_next)]
    return np.asarray(upper + (lower - upper) * dy[:, None])


def resize_bicubic(images: np.ndarray, size: int) -> np.ndarray:
    """Resize as clean-fid does: with antialiasing, clipped to 0 to 255, not rounded.

    Args:
        images: [N, H, W, C] uint8 or float32.
        size: of both sides.

    Returns:
        [N, C, size, size] float32 of the same range.
    """
    from PIL import Image

    planes = images.astype(np.float32).transpose(0, 3, 1, 2)  # [N, C, H, W]
    N, C = planes.shape[:2]
    resized = np.empty((N, C, size, size), np.float32)
    for n in range(N):
        for c in range(C):
            plane = Image.fromarray(np.ascontiguousarray(planes[n, c]))  # of the mode F
            resized[n, c] = np.asarray(plane.resize((size, size), Image.Resampling.BICUBIC))
    return np.clip(resized, 0, 255, out=resized)


def resize_bytes(images: np.ndarray, size: int) -> np.ndarray:
    """Resize as CLIP does, and clean-fid for it: Pillow's bicubic of pictures, rounded to bytes.

    Args:
        images: [N, H, W, C] uint8, or float32 of 0 to 255, which are rounded first.
        size: of both sides.

    Returns:
        [N, C, size, size] float32 of whole numbers of 0 to 255.
    """
    from PIL import Image

    pixels = images if images.dtype == np.uint8 else np.rint(images).clip(0, 255).astype(np.uint8)
    resized = np.empty((len(images), size, size, images.shape[3]), np.float32)
    for row, image in zip(resized, pixels, strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        given = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))
        row[...] = given.reshape(row.shape)
    return np.ascontiguousarray(resized.transpose(0, 3, 1, 2))


def _find_places(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each new pixel the old one before it, the next, and how far it is between them."""
    places = np.arange(size, dtype=np.float32) * np.float32(length / size)
    before = places.astype(np.int64)
    return before, np.minimum(before + 1, length - 1), places - before.astype(np.float32)


RESIZES: dict[str, Resize] = {
    "bilinear": resize_bilinear,
    "bicubic": resize_bicubic,
    "bicubic-bytes": resize_bytes,
}

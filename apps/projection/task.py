"""What a projection is asked for, checked, in the shapes that its steps take."""

from __future__ import annotations

from typing import Any

import numpy as np

from stylert.runtime import Generator, InvalidInput
from stylert.runtime.latents import check_floats, read_array

__all__ = ["to_img", "to_mask", "to_start"]


def to_img(images: np.ndarray, generator: Generator) -> np.ndarray:
    """Bytes [N, H, W, C] as the generator's img [N, C, H, W] float32 in [-1, 1].

    Raises:
        InvalidInput: another shape or dtype.
    """
    s = generator.spec
    shape = (s.img_height, s.img_width, s.img_channels)
    array = read_array("images", images, f"uint8 {('N', *shape)}")
    if array.dtype != np.uint8 or array.shape[1:] != shape or not len(array):
        raise InvalidInput(
            f"images: got {array.dtype} {array.shape}, expected uint8 {('N', *shape)}."
        )
    img: np.ndarray = array.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
    return img


def to_mask(mask: np.ndarray | None, count: int, generator: Generator) -> np.ndarray:
    """Where pictures matter, [count, 1, H, W] float32; None = everywhere.

    Raises:
        InvalidInput: neither [1, 1, H, W] nor [count, 1, H, W], or no finite numbers.
    """
    plane = (1, generator.spec.img_height, generator.spec.img_width)
    if mask is None:
        return np.ones((count, *plane), np.float32)
    array = check_floats("mask", mask, kinds="fbiu")
    shapes = dict.fromkeys([(1, *plane), (count, *plane)])
    if array.shape not in shapes:
        expected = " or ".join(map(str, shapes))
        raise InvalidInput(f"mask: got shape {array.shape}, expected {expected}, as the pictures.")
    return np.broadcast_to(array, (count, *plane))


def to_start(start: Any, count: int, generator: Generator) -> np.ndarray:
    """The ws to start from, [count, num_ws, w_dim] float32.

    Raises:
        InvalidInput: another shape, or no finite numbers.
    """
    array = check_floats("start", start, kinds="fiu")
    shape = (count, generator.spec.num_ws, generator.spec.w_dim)
    if array.shape != shape:
        raise InvalidInput(f"start: got shape {array.shape}, expected {shape}.")
    return array

"""A checkpoint whose large weights are 16-bit integers, with a factor for each output. NumPy only.

Integers are more exact than half precision, which takes as much room: their steps are as fine at
the largest weight of an output as at the others, and it is the large ones that make the picture.
Measured, half precision costs 13 to 18 dB more (docs/results/README.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stylert.export.checkpoints import Checkpoint

__all__ = ["LARGE", "find_int16", "round_weights", "to_int16"]

LARGE = 1024  # numbers: smaller tensors are not worth it
LEVELS = 32767  # of the integers on each side of 0
KEPT = 2.0**-12  # an output's weights may lose this share of their root mean square
SAME = 2.0**-20  # what float32 makes of a few products, relative


def round_weights(checkpoint: Checkpoint) -> tuple[Checkpoint, tuple[str, ...]]:
    """Round the large weights: of convolutions, fully connected and affine layers.

    Returns:
        The checkpoint with rounded weights, still float32, and the names of those that stay as
        they are: one number in them is so large that the others would be lost.
    """
    tensors, kept = dict(checkpoint.tensors), []
    for name, tensor in checkpoint.tensors.items():
        if not name.endswith(".weight") or tensor.size < LARGE:
            continue
        rounded = np.multiply(*to_int16(tensor))
        if _keeps(tensor, rounded):
            tensors[name] = rounded
        else:
            kept.append(name)
    return replace(checkpoint, tensors=tensors), tuple(kept)


def to_int16(weight: np.ndarray, *, axis: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Round a weight to the nearest integers.

    Args:
        weight: float32.
        axis: of the outputs; each one's largest weight is +-32767.

    Returns:
        The int16 integers, and their factors in float32, whose shapes fit each other.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    factors = (np.abs(weight).max(axis=others, keepdims=True) / np.float32(LEVELS)).astype("f4")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        integers = np.nan_to_num(np.rint(weight / factors))
    return integers.clip(-LEVELS, LEVELS).astype(np.int16), factors


def find_int16(array: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Recognise a rounded weight in what a graph has made of it: other axes, and other factors.

    Returns:
        The integers and factors whose product it is but for the rounding of float32, or None.
    """
    for axis in range(min(array.ndim, 2)):
        integers, factors = to_int16(array, axis=axis)
        if np.all(np.abs(integers * factors - array) <= SAME * np.abs(array)):
            return integers, factors
    return None


def _keeps(weight: np.ndarray, rounded: np.ndarray) -> bool:
    """Whether rounding takes less of every output than half precision would take at most."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    error = rounded.reshape(rows.shape) - rows
    return bool(np.all((error**2).sum(1) <= KEPT**2 * (rows**2).sum(1)))

"""A checkpoint whose large weights are 16-bit integers, with a factor for each output. NumPy only.

Half precision takes as much room, and costs 16 to 19 dB more (docs/results/README.md): it spends
its digits on the smallest weights, and the largest make the picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stylert.export.checkpoints import Checkpoint
from stylert.runtime.errors import InvalidInput
from stylert.runtime.proof.bundle_facts import WEIGHTS

__all__ = ["LARGE", "SAME", "find_int16", "round_weights", "to_int16"]

LARGE = 1024  # numbers: smaller tensors are not worth it
LEVELS = 32767  # of the integers on each side of 0
LOSS = 2.0**-12  # the weights of an output may lose this share of their root mean square
_OUTPUTS = ((0,), (1,))  # axes of the outputs of a weight [O, I, ...] or [I, O, ...]
_OUTPUTS_OF_LAYERS = (0, 3)  # the same of matrices of layers [L, 1, I, O]
SAME = 2.0**-20  # what float32 makes of a few products, relative


def round_weights(checkpoint: Checkpoint, weights: str) -> Checkpoint:
    """A checkpoint as a bundle stores it: large weights of the synthesis rounded, all float32.

    The mapping network stays as it is: it is small, and a bundle with the same styles takes those
    that were saved with another. So does a weight with numbers so large that too much of the others
    would be lost; a note names it.

    Args:
        checkpoint: the generator.
        weights: 'int16', or 'fp32': as it is.

    Raises:
        InvalidInput: another word.
    """
    if weights not in WEIGHTS:
        raise InvalidInput(f"weights: got {weights!r}, expected {' or '.join(WEIGHTS)}.")
    if weights == "fp32":
        return checkpoint
    tensors, kept = dict(checkpoint.tensors), []
    for name, tensor in checkpoint.tensors.items():
        # Those of the affine layers are stored together, and are large then.
        large = tensor.size >= LARGE or name.endswith(".affine.weight")
        if not re.fullmatch(r"synthesis\..*\.weight", name) or not large:
            continue
        rounded = np.multiply(*to_int16(tensor))
        if _keeps(tensor, rounded):
            tensors[name] = rounded
        else:
            kept.append(name)
    notes = [f"stored as float32, since int16 would lose small weights: {', '.join(kept)}"]
    return replace(checkpoint, tensors=tensors, notes=(*checkpoint.notes, *(notes if kept else [])))


def to_int16(weight: np.ndarray, *, axes: Sequence[int] = (0,)) -> tuple[np.ndarray, np.ndarray]:
    """Round a weight to the nearest integers.

    Args:
        weight: float32.
        axes: of the outputs; each one's largest weight is +-32767.

    Returns:
        The int16 integers, and their factors in float32, whose shapes fit each other.
    """
    others = tuple(i for i in range(weight.ndim) if i not in axes)
    factors = (np.abs(weight).max(axis=others, keepdims=True) / np.float32(LEVELS)).astype("f4")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        integers = np.nan_to_num(np.rint(weight / factors))
    return integers.clip(-LEVELS, LEVELS).astype(np.int16), factors


def find_int16(array: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Recognise a rounded weight in what a graph has made of it: other axes, and other factors.

    Returns:
        The integers and factors whose product it is but for the rounding of float32, or None.
    """
    ways = _OUTPUTS[: array.ndim] if array.ndim != 4 else (*_OUTPUTS, _OUTPUTS_OF_LAYERS)
    for axes in ways:
        integers, factors = to_int16(array, axes=axes)
        few = factors.size * factors.itemsize < array.nbytes - integers.nbytes
        if few and np.all(np.abs(integers * factors - array) <= SAME * np.abs(array)):
            return integers, factors
    return None


def _keeps(weight: np.ndarray, rounded: np.ndarray) -> bool:
    """Whether what is lost of every output is below 72 dB, about what half precision loses."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    error = rounded.reshape(rows.shape) - rows
    return bool(np.all((error**2).sum(1) <= LOSS**2 * (rows**2).sum(1)))

"""A checkpoint whose large weights are integers, with a factor for each output. NumPy only.

Half precision takes as much room as 16 bits, and costs 16 to 19 dB more (docs/results/README.md):
it spends its digits on the smallest weights, and the largest make the picture. Of 8 bits are the
weights of convolutions alone, which are nearly all of a network; the rest has 16.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stylert.export.checkpoints import Checkpoint
from stylert.runtime.errors import InvalidInput
from stylert.runtime.proof.bundle_facts import WEIGHTS

__all__ = ["INT8", "INT16", "LARGE", "SAME", "Integers", "find_integers", "list_forms"]
__all__ += ["round_weights", "to_integers"]

LARGE = 1024  # numbers: smaller tensors are not worth it
SAME = 2.0**-20  # what float32 makes of a few products, relative
_OUTPUTS = ((0,), (1,))  # axes of the outputs of a weight [O, I, ...] or [I, O, ...]
_OUTPUTS_OF_LAYERS = (0, 3)  # the same of matrices of layers [L, 1, I, O]


@dataclass(frozen=True)
class Integers:
    """Integers that weights are rounded to.

    Attributes:
        dtype: of NumPy.
        levels: on each side of 0.
    """

    dtype: str
    levels: int


INT16, INT8 = Integers("int16", 32767), Integers("int8", 127)
# The weights of an output may lose this share of their root mean square: of 16 bits about what half
# precision loses, of 8 bits four times what those of a normal distribution do.
_LOSS = {"int16": 2.0**-12, "int8": 2.0**-4}
_FORMS = {"fp32": (), "int16": (INT16,), "int8": (INT8, INT16)}  # the smallest first


def list_forms(weights: str) -> tuple[Integers, ...]:
    """The integers that a bundle may hold, the smallest first.

    Args:
        weights: 'fp32', 'int16' or 'int8'.

    Raises:
        InvalidInput: another word.
    """
    if weights not in WEIGHTS:
        expected = f"{', '.join(WEIGHTS[:-1])} or {WEIGHTS[-1]}"
        raise InvalidInput(f"weights: got {weights!r}, expected {expected}.")
    return _FORMS[weights]


def round_weights(checkpoint: Checkpoint, weights: str) -> Checkpoint:
    """A checkpoint as a bundle stores it: large weights of the synthesis rounded, all float32.

    The mapping network stays as it is: it is small, and a bundle with the same styles takes those
    that were saved with another. A weight with numbers so large that too much of the others
    would be lost takes more bits, or stays as it is; a note names it.

    Args:
        checkpoint: the generator.
        weights: 'int16'; 'int8', for weights of convolutions; or 'fp32': as it is.

    Raises:
        InvalidInput: another word.
    """
    forms = list_forms(weights)
    if not forms:
        return checkpoint
    tensors, kept = dict(checkpoint.tensors), dict[str, list[str]]()
    for name, tensor in checkpoint.tensors.items():
        # Those of the affine layers are stored together, and are large then.
        large = tensor.size >= LARGE or name.endswith(".affine.weight")
        if not re.fullmatch(r"synthesis\..*\.weight", name) or not large:
            continue
        wanted = forms if tensor.ndim == 4 else forms[-1:]
        dtype, tensors[name] = _round(tensor, wanted, _LOSS[weights])
        if dtype != wanted[0].dtype:
            kept.setdefault(f"{dtype}, since {wanted[0].dtype}", []).append(name)
    notes = [f"stored as {why} would lose small weights: {', '.join(kept[why])}" for why in kept]
    return replace(checkpoint, tensors=tensors, notes=(*checkpoint.notes, *notes))


def to_integers(
    weight: np.ndarray, form: Integers, *, axes: Sequence[int] = (0,)
) -> tuple[np.ndarray, np.ndarray]:
    """Round a weight to the nearest integers.

    Args:
        weight: float32.
        form: of the integers.
        axes: of the outputs; the largest weight of each is +-`form.levels`.

    Returns:
        The integers, and their factors in float32, whose shapes fit each other.
    """
    others = tuple(i for i in range(weight.ndim) if i not in axes)
    largest = np.abs(weight).max(axis=others, keepdims=True)
    factors = (largest / np.float32(form.levels)).astype("f4")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        integers = np.nan_to_num(np.rint(weight / factors))
    return integers.clip(-form.levels, form.levels).astype(form.dtype), factors


def find_integers(
    array: np.ndarray, forms: Sequence[Integers]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Recognise a rounded weight in what a graph has made of it: other axes, and other factors.

    Args:
        array: float32.
        forms: of the integers that it may be made of, in this order.

    Returns:
        The integers and factors whose product it is but for the rounding of float32, or None.
    """
    ways = _OUTPUTS[: array.ndim] if array.ndim != 4 else (*_OUTPUTS, _OUTPUTS_OF_LAYERS)
    for form in forms:
        for axes in ways:
            integers, factors = to_integers(array, form, axes=axes)
            few = factors.size * factors.itemsize < array.nbytes - integers.nbytes
            if few and np.all(np.abs(integers * factors - array) <= SAME * np.abs(array)):
                return integers, factors
    return None


def _round(weight: np.ndarray, forms: Sequence[Integers], loss: float) -> tuple[str, np.ndarray]:
    """A weight as the first integers that keep it, and their type; else as it is."""
    for form in forms:
        rounded = np.multiply(*to_integers(weight, form))
        if _keeps(weight, rounded, loss):
            return form.dtype, rounded
    return "float32", weight


def _keeps(weight: np.ndarray, rounded: np.ndarray, loss: float) -> bool:
    """Whether every output loses a small share alone."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    error = rounded.reshape(rows.shape) - rows
    return bool(np.all((error**2).sum(1) <= loss**2 * (rows**2).sum(1)))

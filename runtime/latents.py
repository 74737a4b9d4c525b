"""Latents: what a seed and a psi mean. The same for every backend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from stylert.runtime.arguments import check_integer, shown
from stylert.runtime.errors import InvalidInput

__all__ = ["check_floats", "check_seeds", "list_values", "make_psi", "make_z", "read_array"]

MAX_SEED = 2**32 - 1


def check_seeds(
    seeds: int | Iterable[int], *, name: str = "seeds", largest: int = MAX_SEED
) -> list[int]:
    """Check seeds, or classes: one integer or several, each in [0, largest].

    Raises:
        InvalidInput: not an integer, out of range, or none at all.
    """
    items = list_values(seeds)
    for seed in items:
        if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
            raise InvalidInput(f"{name}: got {shown(seed)}, expected integers such as [0, 1, 2].")
        if not 0 <= seed <= largest:
            raise InvalidInput(f"{name}: got {shown(seed)}, expected 0 to {largest}.")
    if not items:
        raise InvalidInput(f"{name}: got none, expected at least one.")
    return [int(seed) for seed in items]


def make_z(seeds: Sequence[int], z_dim: int) -> np.ndarray:
    """The latents of the original tools: RandomState(seed).randn(z_dim), a row per seed.

    Returns:
        [N, z_dim] float32.
    """
    rows = [np.random.RandomState(seed).randn(z_dim) for seed in seeds]
    return np.stack(rows).astype(np.float32)


def make_psi(
    truncation_psi: Any,
    truncation_cutoff: int | None,
    *,
    batch: int,
    num_ws: int,
) -> np.ndarray:
    """Truncation as the mapping graph takes it: a psi for every image and layer.

    Args:
        truncation_psi: a number, one per image [N] or [N, 1], or one per image and layer
            [N, num_ws].
        truncation_cutoff: layers from this one on get psi 1; None = all layers are truncated.
        batch: N.
        num_ws: layers of the generator.

    Returns:
        [N, num_ws] float32.

    Raises:
        InvalidInput: not finite, not a number, or of another shape; or a cutoff out of range.
    """
    arrays = f"an array [{batch}] or [{batch}, {num_ws}]"
    expected = f"a number, numbers by layers such as {{'coarse': 0.5, 'fine': 1}}, or {arrays}"
    psi = read_array("truncation_psi", truncation_psi, expected)
    if psi.dtype.kind not in "fiu":
        raise InvalidInput(f"truncation_psi: got {shown(truncation_psi)}, expected {expected}.")
    if psi.shape not in ((), (batch,), (batch, 1), (batch, num_ws)):
        raise InvalidInput(f"truncation_psi: got shape {psi.shape}, expected {expected}.")
    with np.errstate(over="ignore"):
        rows = psi.astype(np.float32).reshape((batch, -1) if psi.ndim else (1, 1))
    if not np.isfinite(rows).all():
        raise InvalidInput("truncation_psi: got NaN or infinity, expected finite numbers.")
    layers = np.array(np.broadcast_to(rows, (batch, num_ws)))
    if truncation_cutoff is not None:
        if isinstance(truncation_cutoff, np.integer):
            truncation_cutoff = int(truncation_cutoff)
        check_integer("truncation_cutoff", truncation_cutoff, 0, num_ws)
        layers[:, truncation_cutoff:] = 1
    return layers


def check_floats(name: str, value: Any, *, kinds: str = "f") -> np.ndarray:
    """A real, finite array as contiguous float32.

    Args:
        name: of the argument, for the message.
        value: an array, or what becomes one.
        kinds: NumPy's letters of the dtypes that are taken: floats, 'i' integers, 'b' bools.

    Raises:
        InvalidInput: another dtype, or NaN or infinity.
    """
    array = read_array(name, value, "an array of floats")
    if array.dtype.kind not in kinds:
        if not hasattr(value, "dtype"):
            raise InvalidInput(f"{name}: got {shown(value)}, expected floats.")
        raise InvalidInput(
            f"{name}: got dtype {array.dtype}, expected float32. Convert: array.astype('float32')"
        )
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise InvalidInput(f"{name}: got NaN or infinity, expected finite numbers.")
    return array


def read_array(name: str, value: Any, expected: str) -> np.ndarray:
    """An array, or what becomes one, as an array.

    Raises:
        InvalidInput: NumPy cannot read it.
    """
    parts = value if isinstance(value, (list, tuple)) else [value]
    # NumPy would take what lies under the mask. Its np.ma is loaded by who has made one.
    if any(hasattr(type(part), "filled") and np.any(part.mask) for part in parts):
        raise InvalidInput(f"{name}: got masked values, expected none. Fill them: array.filled(0)")
    try:
        return np.asarray(value)
    # Of ragged lists, and of tensors on a GPU or with a gradient, whose libraries say what to do.
    except (ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        ragged = isinstance(error, ValueError)
        got = "a ragged list" if ragged else f"a {type(value).__name__} ({reason})"
        raise InvalidInput(f"{name}: got {got}, expected {expected}.") from None


def list_values(value: Any) -> list[Any]:
    """One value, or several in whatever holds them, as a list; a text is one."""
    if hasattr(type(value), "tolist"):  # an array, of NumPy or torch
        value = value.tolist()
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    return list(value) if several else [value]

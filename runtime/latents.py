"""Latents and labels: what a seed, a psi and a class mean. The same for every backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = [
    "as_float32",
    "labels_of",
    "psi_per_layer",
    "seeds_of",
    "soft_labels_of",
    "z_from_seeds",
]

MAX_SEED = 2**32 - 1


def seeds_of(
    seeds: int | Iterable[int], *, name: str = "seeds", largest: int = MAX_SEED
) -> list[int]:
    """Check seeds, or classes: one integer or several, each in [0, largest].

    Raises:
        InvalidInput: not an integer, out of range, or none at all.
    """
    if isinstance(seeds, np.ndarray):
        seeds = seeds.tolist()
    several = isinstance(seeds, Iterable) and not isinstance(seeds, (str, bytes))
    items: list[Any] = list(seeds) if several else [seeds]  # type: ignore[arg-type]
    for seed in items:
        if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
            raise InvalidInput(f"{name}: got {shown(seed)}, expected integers such as [0, 1, 2].")
        if not 0 <= seed <= largest:
            raise InvalidInput(f"{name}: got {shown(seed)}, expected 0 to {largest}.")
    if not items:
        raise InvalidInput(f"{name}: got none, expected at least one.")
    return [int(seed) for seed in items]


def z_from_seeds(seeds: Sequence[int], z_dim: int) -> np.ndarray:
    """The latents of the original tools: RandomState(seed).randn(z_dim), a row per seed.

    Returns:
        [N, z_dim] float32.
    """
    rows = [np.random.RandomState(seed).randn(z_dim) for seed in seeds]
    return np.stack(rows).astype(np.float32)


def psi_per_layer(
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
    expected = f"a number, or an array [{batch}] or [{batch}, {num_ws}]"
    try:
        psi = np.asarray(truncation_psi)
    except ValueError:  # a ragged list
        raise InvalidInput(f"truncation_psi: got a ragged list, expected {expected}.") from None
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
        if isinstance(truncation_cutoff, bool) or not isinstance(
            truncation_cutoff, (int, np.integer)
        ):
            raise InvalidInput(
                f"truncation_cutoff: got {shown(truncation_cutoff)}, expected an integer."
            )
        if not 0 <= truncation_cutoff <= num_ws:
            raise InvalidInput(
                f"truncation_cutoff: got {shown(truncation_cutoff)}, expected 0 to {num_ws}."
            )
        layers[:, truncation_cutoff:] = 1
    return layers


def labels_of(
    class_idx: int | Sequence[int] | None,
    labels: Any,
    *,
    batch: int,
    c_dim: int,
) -> np.ndarray | None:
    """The conditioning labels of a batch: one-hot of a class, or soft labels as they are.

    Args:
        class_idx: one class for all images, or one per image.
        labels: soft labels [c_dim] for all images, or [N, c_dim]; or a mix of classes by their
            weights, {3: 0.7, 5: 0.3}.
        batch: N.
        c_dim: classes of the generator, 0 = unconditional.

    Returns:
        [N, c_dim] float32, or None for an unconditional generator.

    Raises:
        InvalidInput: a class out of range, labels of another shape, both or neither of them.
    """
    if class_idx is None and (labels is not None or c_dim == 0):
        return soft_labels_of(labels, batch=batch, c_dim=c_dim)
    if c_dim == 0:
        raise _unconditional("class_idx", class_idx)
    if class_idx is None or labels is not None:
        raise InvalidInput(
            f"class_idx, labels: got {'neither' if class_idx is None else 'both'}, expected one of "
            f"them. Pass class_idx=0 to {c_dim - 1}, or labels [N, {c_dim}]."
        )
    classes = seeds_of(class_idx, name="class_idx", largest=c_dim - 1)
    if len(classes) not in (1, batch):
        raise InvalidInput(f"class_idx: got {len(classes)} classes, expected 1 or {batch}.")
    rows = np.eye(c_dim, dtype=np.float32)[classes]
    return np.array(np.broadcast_to(rows, (batch, c_dim)))


def soft_labels_of(
    labels: Any, *, batch: int, c_dim: int, name: str = "labels"
) -> np.ndarray | None:
    """Soft labels: [c_dim] for all images or [N, c_dim] numbers, as [N, c_dim] float32.

    A mix of classes by their weights, such as {3: 0.7, 5: 0.3}, is one for all images.

    Returns:
        None for an unconditional generator.

    Raises:
        InvalidInput: labels of another shape or dtype, none for a conditional generator, or some
            for an unconditional one.
    """
    if c_dim == 0:
        if labels is not None:
            raise _unconditional(name, labels)
        return None
    expected = f"({c_dim},) or ({batch}, {c_dim})"
    if labels is None:
        raise InvalidInput(f"{name}: got None, expected numbers of shape {expected}.")
    if isinstance(labels, Mapping):
        labels = _label_of_weights(name, labels, c_dim)
    rows = as_float32(name, labels, kinds="fiub")
    if rows.shape not in ((c_dim,), (1, c_dim), (batch, c_dim)):
        raise InvalidInput(f"{name}: got shape {rows.shape}, expected {expected}.")
    return np.array(np.broadcast_to(rows, (batch, c_dim)))


def _label_of_weights(name: str, weights: Mapping[Any, Any], c_dim: int) -> np.ndarray:
    """One label [c_dim] for a mix of classes; its sum is 1, as that of a class."""
    classes = seeds_of(list(weights), name=name, largest=c_dim - 1)
    values = as_float32(name, list(weights.values()), kinds="fiu").astype(np.float64)
    if values.ndim != 1 or (values < 0).any() or not values.sum() > 0:
        raise InvalidInput(f"{name}: got {shown(weights)}, expected weights above 0 by class.")
    label = np.zeros(c_dim)
    label[classes] = values / values.sum()
    return label.astype(np.float32)


def as_float32(name: str, value: Any, *, kinds: str = "f") -> np.ndarray:
    """A real, finite array as contiguous float32.

    Args:
        name: of the argument, for the message.
        value: an array, or what becomes one.
        kinds: NumPy's letters of the dtypes that are taken: floats, 'i' integers, 'b' bools.

    Raises:
        InvalidInput: another dtype, or NaN or infinity.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise InvalidInput(f"{name}: got a ragged list, expected an array of floats.") from None
    if array.dtype.kind not in kinds:
        raise InvalidInput(
            f"{name}: got dtype {array.dtype}, expected float32. Convert: array.astype('float32')"
        )
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise InvalidInput(f"{name}: got NaN or infinity, expected finite numbers.")
    return array


def _unconditional(name: str, value: Any) -> InvalidInput:
    return InvalidInput(
        f"{name}: got {shown(value)}, expected None: this generator is unconditional."
    )

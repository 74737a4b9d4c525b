"""What a checkpoint must satisfy, whatever its file: names, shapes and values of its tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stylert.export.checkpoints.families.config import Config
from stylert.runtime.errors import CheckpointError

__all__ = ["check_shapes", "check_values"]

MAX_FILTER_TAPS = 64


def check_shapes(config: Config, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compare the tensors' names and shapes with those that the configuration asks for.

    Raises:
        CheckpointError: a tensor is missing, is not known, or has another shape.
    """
    expected = config.tensor_shapes()
    filters = set(config.filter_names)
    if missing := [name for name in [*expected, *sorted(filters)] if name not in shapes]:
        raise CheckpointError(f"{_some(missing)} missing")
    if unknown := [name for name in shapes if name not in expected and name not in filters]:
        raise CheckpointError(f"not supported: {_some(unknown)} unknown to {config.title}")
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise CheckpointError(
                f"{name}: got shape {list(shapes[name])}, expected {list(shape)} "
                "as the other tensors have it"
            )
    for name in sorted(filters):
        _check_filter_shape(name, shapes[name])


def check_values(tensors: Mapping[str, np.ndarray]) -> None:
    """Look at the numbers: they are finite, filters sum to 1, and magnitudes are above 0.

    Raises:
        CheckpointError: they are not.
    """
    for name, tensor in tensors.items():
        bad = tensor.size - np.count_nonzero(np.isfinite(tensor))
        if bad:
            raise CheckpointError(
                f"{name}: {bad} of {tensor.size} values are NaN or infinite; "
                "the training diverged or the file is damaged, use another snapshot"
            )
        if name.endswith("_filter") and abs(float(tensor.sum()) - 1) > 1e-3:
            raise CheckpointError(
                f"not supported: {name} sums to {float(tensor.sum()):.4g}, expected 1"
            )
        if name.endswith(".magnitude_ema") and float(tensor) <= 0:
            raise CheckpointError(f"{name} is {float(tensor):.4g}, expected a number above 0")


def _check_filter_shape(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) not in (1, 2) or shape[0] != shape[-1] or not 0 < shape[0] <= MAX_FILTER_TAPS:
        raise CheckpointError(
            f"not supported: {name} has shape {list(shape)}, expected [t, t] or [t] "
            f"with t up to {MAX_FILTER_TAPS}"
        )


def _some(names: list[str]) -> str:
    """The first few of many names, with its verb."""
    shown = ", ".join(ascii(name[:80])[1:-1] for name in names[:4])
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{shown}{more} {'is' if len(names) == 1 else 'are'}"

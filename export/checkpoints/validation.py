"""What a checkpoint must satisfy, whatever its file: names, shapes and values of its tensors."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from stylert.export.checkpoints.checkpoint import Source
from stylert.export.checkpoints.configs.config import Config
from stylert.export.checkpoints.safe_pickle.quoting import name_some
from stylert.runtime.errors import CheckpointError

__all__ = ["MAX_FILTER_TAPS", "check_names", "check_same_sizes", "check_shapes", "check_size"]
__all__ += ["check_values"]

MAX_FILTER_TAPS = 64
_FILTER_SUM_ERROR = 2**-8  # what the rounding to bfloat16 can make


def check_shapes(config: Config, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compare the tensors' names and shapes with those that the configuration asks for.

    Raises:
        CheckpointError: a tensor is missing, is not known, or has another shape.
    """
    expected = config.list_shapes()
    filters = sorted(config.filter_names)
    check_names(shapes, [*expected, *filters], config.title)
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise CheckpointError(
                f"{name}: got shape {list(shapes[name])}, expected {list(shape)} "
                "as the other tensors have it"
            )
    for name in filters:
        _check_filter_shape(name, shapes[name])


def check_same_sizes(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Compare a tensor's shape with the one that it is to get; dimensions of 1 come and go.

    Raises:
        CheckpointError: they differ otherwise.
    """
    if [n for n in shape if n != 1] != [n for n in expected if n != 1]:
        raise CheckpointError(
            f"{name}: got shape {list(shape)}, expected {list(expected)} as the other tensors have "
            "it, dimensions of 1 aside"
        )


def check_names(names: Collection[str], expected: Collection[str], owner: str) -> None:
    """Refuse names that are missing, or that `owner` does not know.

    Raises:
        CheckpointError: there is one.
    """
    if missing := [name for name in expected if name not in names]:
        raise CheckpointError(f"{_name_some(missing)} missing")
    if unknown := [name for name in names if name not in expected]:
        raise CheckpointError(f"not supported: {_name_some(unknown)} unknown to {owner}")


def check_size(numbers: int, source: Source) -> None:
    """Refuse tensors that claim more numbers than their file can hold, half precision included.

    Raises:
        CheckpointError: they do.
    """
    if numbers * np.dtype(np.float32).itemsize > 2 * source.bytes:
        raise CheckpointError(
            f"the tensors claim more data than the {source.bytes} bytes of the file"
        )


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
        if name.endswith("_filter") and abs(float(tensor.sum()) - 1) > _FILTER_SUM_ERROR:
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


def _name_some(names: list[str]) -> str:
    return f"{name_some(names)} {'is' if len(names) == 1 else 'are'}"

"""A request in parts: batches that a backend takes in one call, and the one array of them all."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

import numpy as np

from stylert.runtime.session import DLPackArray

__all__ = ["joined", "parts_of", "rows_of"]

Array = TypeVar("Array", bound=DLPackArray)


def parts_of(batch: int, largest: int) -> Iterator[slice]:
    """The parts of a batch, none larger than `largest`."""
    for start in range(0, batch, largest):
        yield slice(start, min(start + largest, batch))


def rows_of(arrays: Mapping[str, np.ndarray], part: slice, batch: int) -> dict[str, np.ndarray]:
    """The rows of a part; an array with one row for a larger batch is shared by all images."""
    return {k: v[part] if len(v) == batch > 1 else v for k, v in arrays.items()}


def joined(parts: Iterator[Array], batch: int) -> Array:
    """One array of all parts, where they are: on the host, or on the GPU.

    Args:
        parts: at least one, each drawn when it is asked for.
        batch: rows of all of them together.
    """
    first = next(parts)
    if len(first) == batch:
        return first
    every_part: Iterator[Any] = itertools.chain([first], parts)
    if isinstance(first, np.ndarray):
        return cast("Array", np.concatenate(list(every_part)))
    of_device: Any = type(first)  # a `DeviceArray`: it knows how to join them where they are
    return cast("Array", of_device.joined(every_part, batch))

"""NumPy's types inside a pickle: numeric ones, checked against the bytes that are there.

Arrays of texts, objects and the like are foreign: see `foreign`. Arrays of objects, which
numpy.save makes of a dict, are read only where they are asked for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stylert.export.checkpoints.safe_pickle.foreign import (
    ForeignNames,
    ForeignObject,
    find_foreign,
)
from stylert.export.checkpoints.safe_pickle.pickle_names import Buildable, Global
from stylert.runtime.errors import CheckpointError

__all__ = [
    "NDARRAY",
    "PickledArray",
    "PickledDtype",
    "read_buffer",
    "make_array",
    "make_dtype",
    "make_whole_array",
    "read_scalar",
]

NDARRAY = Global("numpy.ndarray")
_CODES = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))
_OBJECTS = "O8"
_UNREAD = np.dtype("V1")  # of arrays that are left alone: their order of bytes is not ours
_MAX_DIMENSIONS = 64  # as many as NumPy has


class PickledDtype(Buildable):
    """An element type."""

    def __init__(self, code: Any, *, objects: bool = False) -> None:
        if type(code) is not str or code not in (_CODES | {_OBJECTS} if objects else _CODES):
            raise CheckpointError("refuses a numpy type that is not plain numbers")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def build(self, state: Any) -> None:
        """Take the byte order, and refuse structured types."""
        if type(state) is not tuple or len(state) < 5 or any(x is not None for x in state[2:5]):
            raise CheckpointError("refuses a numpy type that is not plain numbers")
        if state[1] not in ("<", "|"):
            self.dtype = _UNREAD


def make_dtype(
    code: Any,
    align: Any = False,
    copy: Any = False,
    *,
    foreign: ForeignNames | None,
    objects: bool = False,
) -> PickledDtype | ForeignObject:
    """What stands for numpy.dtype(code, align, copy)."""
    if foreign is not None and (type(code) is not str or code not in _CODES):
        return foreign.resolve("numpy.dtype").make()
    return PickledDtype(code, objects=objects)


class PickledArray(Buildable):
    """An array; empty until its state is there, and without a type if it holds no numbers.

    Attributes:
        array: its numbers.
        objects: of an array of objects instead, as a list; None = it is one of numbers.
    """

    def __init__(self) -> None:
        self.array = np.zeros(0, dtype=np.float32)
        self.objects: list[Any] | None = None

    def build(self, state: Any) -> None:
        """Take version, shape, element type, order and data."""
        _version, shape, dtype, fortran, data = state
        if type(dtype) is ForeignObject:
            self.array = np.zeros(0, _UNREAD)
        elif type(dtype) is PickledDtype and dtype.dtype.hasobject and type(data) is list:
            self.objects = data
        else:
            self.array = _view(data, dtype, shape, fortran=fortran is True)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the numbers."""
        return self.array.shape

    def to_float32(self) -> np.ndarray:
        """A C-contiguous float32 copy.

        Raises:
            CheckpointError: it holds no floats.
        """
        if self.array.dtype == _UNREAD:
            raise CheckpointError("holds no little-endian numbers, expected floats")
        if self.array.dtype.kind != "f":
            raise CheckpointError(f"holds {self.array.dtype.name}, expected floats")
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found later
            return np.array(self.array, dtype=np.float32, order="C")


def make_array(kind: Any, shape: Any, code: Any) -> PickledArray:
    """What stands for numpy's _reconstruct."""
    if kind is not NDARRAY:
        raise CheckpointError("refuses a numpy array of another class")
    return PickledArray()


def make_whole_array(function: Any, arguments: Any, state: Any, attributes: Any = None) -> Any:
    """What stands for dill's _create_array: `make_array`, and its state at once."""
    if type(arguments) is tuple and len(arguments) == 3 and (foreign := find_foreign(arguments)):
        return foreign
    if type(function) is not Global or function.call is not make_array:
        raise CheckpointError("refuses a numpy array of another class")
    array = make_array(*arguments)
    array.build(state)
    return array


def read_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    """What stands for numpy's _frombuffer, which protocol 5 uses."""
    result = PickledArray()
    result.array = _view(data, dtype, shape, fortran=order == "F")
    return result


def read_scalar(dtype: Any, data: Any) -> bool | int | float | None:
    """What stands for numpy's scalar: a plain Python number, None if it is not read."""
    value = _view(data, dtype, (), fortran=False)
    return value.item() if value.size else None


def _view(data: Any, dtype: Any, shape: Any, *, fortran: bool) -> np.ndarray:
    """The data as an array, without a copy."""
    numeric = type(dtype) is PickledDtype and not dtype.dtype.hasobject
    if not numeric or not isinstance(data, (bytes, memoryview)):
        raise CheckpointError("refuses a numpy array that is not plain numbers")
    if dtype.dtype == _UNREAD:
        return np.zeros(0, _UNREAD)
    if (
        type(shape) is not tuple
        or len(shape) > _MAX_DIMENSIONS
        or not all(type(n) is int and n >= 0 for n in shape)
        or math.prod(shape) * dtype.dtype.itemsize != len(data)
    ):
        raise CheckpointError("a numpy array has another size than its data")
    array: np.ndarray = np.frombuffer(data, dtype=dtype.dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)

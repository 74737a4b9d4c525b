"""Tensors in the messages of ONNX files, as arrays of NumPy and back."""

from __future__ import annotations

import numpy as np

from stylert.runtime.files.onnx_messages import (
    Chunks,
    find_part,
    find_parts,
    make_field,
    make_number,
    read_number,
)

__all__ = ["name_tensor", "read_tensor", "tell_dtype", "write_tensor"]

# Numbers of fields in onnx.proto, and the types of numbers that are known here.
_SIZE, _TYPE, _NAME, _DATA = 1, 2, 8, 9
_DTYPES = {1: "<f4", 3: "<i1", 5: "<i2", 7: "<i8", 10: "<f2"}


def name_tensor(message: memoryview) -> bytes:
    """The name of a tensor."""
    return find_part(message, _NAME)


def tell_dtype(message: memoryview) -> np.dtype | None:
    """The type of a tensor's numbers, None if it is another one."""
    dtype = _DTYPES.get(read_number(find_part(message, _TYPE)))
    return None if dtype is None else np.dtype(dtype)


def read_tensor(message: memoryview) -> np.ndarray | None:
    """The numbers of a tensor, None if it has another type, or lies in a second file."""
    dtype, data = tell_dtype(message), find_part(message, _DATA)
    shape = [read_number(size) for size in find_parts(message, _SIZE)]
    if dtype is None or len(data) != np.prod(shape, dtype=np.int64) * dtype.itemsize:
        return None
    return np.frombuffer(data, dtype).reshape(shape)


def write_tensor(name: bytes, array: np.ndarray) -> Chunks:
    """A tensor of an array of one of the known types."""
    dtype = array.dtype.newbyteorder("<")
    kind = next(kind for kind, known in _DTYPES.items() if np.dtype(known) == dtype)
    sizes = [make_number(_SIZE, size) for size in array.shape]
    data = make_field(_DATA, [array.astype(dtype).tobytes()])
    return [*sizes, make_number(_TYPE, kind), *make_field(_NAME, [name]), *data]

"""DLPack capsules, made with ctypes: how an array's memory is handed to torch, CuPy, JAX or NumPy.

The structures are those of dlpack.h (github.com/dmlc/dlpack), version 1.0 and the older unversioned
form. A consumer takes a capsule over by renaming it, and calls the deleter when it is done; a
capsule that nobody took is deleted by its own destructor. Until then `_exported` keeps the memory.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CPU", "CUDA", "DLPACK_VERSION", "make_capsule", "exported_count"]

CPU, CUDA = 1, 2  # DLDeviceType
DLPACK_VERSION = (1, 0)
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}  # DLDataTypeCode by NumPy's kind
_IS_COPIED = 2  # a flag of the versioned form
_NAME, _VERSIONED_NAME = b"dltensor", b"dltensor_versioned"


class _Device(ctypes.Structure):
    _fields_ = (("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32))


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("manager_ctx", ctypes.c_void_p), ("deleter", _Deleter))


class _ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", _Deleter),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


@dataclass(frozen=True)
class _Export:
    """What must live as long as a consumer uses a tensor."""

    managed: _Managed | _ManagedVersioned
    sizes: Any  # the C array of the shape and the strides
    owner: object


_exported: dict[int, _Export] = {}  # by the address of the managed tensor


def _delete(address: int) -> None:
    _exported.pop(address, None)


_deleter = _Deleter(_delete)  # kept here for good: consumers hold its address

# ctypes.py_object would count references of a capsule that is being destroyed: so c_void_p.
_Destructor = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _Destructor)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _destroy(capsule: int) -> None:
    for name in (_NAME, _VERSIONED_NAME):  # a capsule that was taken over has another name
        if _is_valid(capsule, name):
            _delete(_pointer(capsule, name))


_destructor = _Destructor(_destroy)


def make_capsule(
    pointer: int,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    *,
    device: tuple[int, int],  # DLDeviceType and index
    owner: object,
    versioned: bool,
    copied: bool = False,
) -> Any:
    """A PyCapsule of C-contiguous, writable memory, for `__dlpack__` to return.

    Args:
        pointer: address of the first element, on the device.
        shape: the sizes.
        dtype: a number type or bool.
        device: DLDeviceType and index, e.g. (CUDA, 0).
        owner: kept until the consumer is done; its end frees the memory.
        versioned: 'dltensor_versioned' of DLPack 1.0 instead of 'dltensor'.
        copied: the memory is a copy that was made for this consumer.

    Raises:
        BufferError: DLPack has no such dtype.
    """
    if dtype.kind not in _CODES or not dtype.isnative:
        raise BufferError(f"DLPack: got dtype {dtype}, expected a native number type or bool.")
    sizes = (ctypes.c_int64 * max(1, 2 * len(shape)))(*shape, *_strides(shape))
    start = ctypes.addressof(sizes)
    tensor = _Tensor(
        data=pointer,
        device=_Device(*device),
        ndim=len(shape),
        dtype=_DataType(_CODES[dtype.kind], dtype.itemsize * 8, 1),
        shape=ctypes.cast(start, ctypes.POINTER(ctypes.c_int64)),
        strides=ctypes.cast(start + 8 * len(shape), ctypes.POINTER(ctypes.c_int64)),
        byte_offset=0,
    )
    managed: _Managed | _ManagedVersioned
    if versioned:
        flags = _IS_COPIED if copied else 0
        managed = _ManagedVersioned(*DLPACK_VERSION, None, _deleter, flags, tensor)
    else:
        managed = _Managed(tensor, None, _deleter)
    address = ctypes.addressof(managed)
    _exported[address] = _Export(managed, sizes, owner)
    return _new(address, _VERSIONED_NAME if versioned else _NAME, _destructor)


def exported_count() -> int:
    """How many capsules and consumers hold memory now."""
    return len(_exported)


def _strides(shape: Sequence[int]) -> list[int]:
    """Strides in elements of a C-contiguous array."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return strides

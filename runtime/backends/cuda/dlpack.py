"""DLPack capsules, made with ctypes: how an array's memory is handed to torch, CuPy, JAX or NumPy.

The structures are those of dlpack.h (github.com/dmlc/dlpack), version 1.0 and the older unversioned
form. A consumer takes a capsule over by renaming it, and calls the deleter when it is done. Until
then `_exported` keeps the memory.

A capsule that nobody took would be deleted by its destructor. But a consumer that refuses one drops
it while its error is pending, and a destructor in Python would lose that error: ctypes runs it as
if there was none. So a capsule has no destructor. `_exported` keeps it, and `sweep_capsules` finds
those that nobody else has.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CPU", "CUDA", "DLPACK_VERSION", "exported_count", "make_capsule", "sweep_capsules"]

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
    capsule: Any


_exported: dict[int, _Export] = {}  # by the address of the managed tensor
_OURS = 2  # references to a capsule that only its _Export has, as sys.getrefcount counts them


def _delete(address: int) -> None:
    # A consumer that refuses may call this while its error is pending. `del` does not look at that;
    # a call, `pop` for one, would fail of it, and the memory would stay for good.
    del _exported[address]


_deleter = _Deleter(_delete)  # kept here for good: consumers hold its address

_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)


def sweep_capsules() -> None:
    """Let go of the memory of capsules that nobody took over and nobody has."""
    for address, export in list(_exported.items()):
        if sys.getrefcount(export.capsule) == _OURS and _is_untaken(export.capsule):
            _exported.pop(address, None)  # another thread may have been here


def _is_untaken(capsule: Any) -> bool:
    return any(_is_valid(capsule, name) for name in (_NAME, _VERSIONED_NAME))


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
    sweep_capsules()
    address = ctypes.addressof(managed)
    capsule = _new(address, _VERSIONED_NAME if versioned else _NAME, None)
    _exported[address] = _Export(managed, sizes, owner, capsule)
    return capsule


def exported_count() -> int:
    """How many capsules and consumers hold memory now."""
    sweep_capsules()
    return len(_exported)


def _strides(shape: Sequence[int]) -> list[int]:
    """Strides in elements of a C-contiguous array."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return strides

"""Torch storages and tensors inside a pickle, read without torch: views of bytes until used.

NVlabs' pickles hold every storage as one complete stream of the old torch.save: five pickles (a
magic number, the version, what the machine was, the storage as a persistent id, a list of keys),
then the number of elements and the raw little-endian data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylert.export.checkpoints.pickle_machine import Budget, Global, PickleMachine, quoted
from stylert.runtime.errors import CheckpointError

__all__ = ["TORCH_MAGIC", "Storage", "Tensor", "storage_from_bytes", "tensor_from_storage"]

TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of an old torch.save stream
TORCH_VERSION = 1001
MAX_DIMENSIONS = 8
MAX_EXTENT = 2**48  # sizes, strides and offsets beyond it are nonsense, and might overflow

_STORAGE_DTYPES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
_STORAGE_TYPES = {("torch", name): Global(name) for name in _STORAGE_DTYPES}


@dataclass(frozen=True, eq=False)
class Storage:
    """The elements that one or more tensors look at."""

    elements: np.ndarray  # 1-D, a view of the file


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor as the pickle describes it: nothing is checked or copied before `to_float32`."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def to_float32(self) -> np.ndarray:
        """A C-contiguous float32 copy.

        Raises:
            CheckpointError: the tensor reaches outside its storage, or holds no floats.
        """
        elements = self.storage.elements
        if elements.dtype.kind != "f":
            raise CheckpointError(f"holds {elements.dtype.name}, expected floats")
        view = np.lib.stride_tricks.as_strided(
            elements[self._checked_offset() :],
            self.shape,
            [step * elements.itemsize for step in self.stride],
            writeable=False,
        )
        return np.array(view, dtype=np.float32, order="C")

    def _checked_offset(self) -> int:
        """The offset, once it is certain that every element lies in the storage."""
        available = self.storage.elements.size
        if 0 in self.shape:
            raise CheckpointError(f"is empty: its size is {list(self.shape)}")
        reach = self.offset + sum(
            (n - 1) * step for n, step in zip(self.shape, self.stride, strict=True)
        )
        if reach >= available or math.prod(self.shape) > available:
            raise CheckpointError(
                f"reaches outside its data: offset {self.offset}, size {list(self.shape)} and "
                f"stride {list(self.stride)} in {available} elements"
            )
        return self.offset


def tensor_from_storage(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    backward_hooks: Any = None,
) -> Tensor:
    """What stands for torch._utils._rebuild_tensor_v2.

    Raises:
        CheckpointError: the arguments do not describe a tensor.
    """
    if (
        type(storage) is not Storage
        or not _are_counts([offset])
        or type(size) is not tuple
        or type(stride) is not tuple
        or len(size) != len(stride)
        or len(size) > MAX_DIMENSIONS
        or not _are_counts([*size, *stride])
    ):
        raise CheckpointError("a tensor's storage, offset, size or stride is none")
    return Tensor(storage, offset, size, stride)


def _are_counts(values: list[Any]) -> bool:
    return all(type(value) is int and 0 <= value < MAX_EXTENT for value in values)


def storage_from_bytes(data: Any, *, budget: Budget) -> Storage:
    """What stands for torch.storage._load_from_bytes: one storage in an old torch.save stream.

    Raises:
        CheckpointError: the stream is damaged, is of another kind, or asks for something refused.
    """
    if not isinstance(data, (bytes, memoryview)):
        raise CheckpointError("a torch storage is no bytes")
    stream = _TorchStream(memoryview(data), budget)
    return stream.read_storage()


class _TorchStream:
    """The pickles and the data of one stream, in their order."""

    def __init__(self, data: memoryview, budget: Budget) -> None:
        self._data = data
        self._budget = budget
        self._position = 0

    def read_storage(self) -> Storage:
        if self._unpickle() != TORCH_MAGIC or self._unpickle() != TORCH_VERSION:
            raise CheckpointError("a torch storage has an unknown format")
        system = self._unpickle()
        if type(system) is not dict or system.get("little_endian") is not True:
            raise CheckpointError("a torch storage is not little-endian")
        described = self._unpickle()
        keys = self._unpickle()
        if type(described) is not _Described or type(keys) is not list or keys != [described.key]:
            raise CheckpointError("a torch storage is not described as one")
        return described.fill(self._data[self._position :])

    def _unpickle(self) -> Any:
        machine = PickleMachine(
            self._data,
            _STORAGE_TYPES,
            budget=self._budget,
            position=self._position,
            persistent=_described_storage,
        )
        value = machine.run()
        self._position = machine.position
        return value


@dataclass(frozen=True, eq=False)
class _Described:
    """A storage before its data: its element type, name and number of elements."""

    dtype: np.dtype[Any]
    key: str
    numel: int

    def fill(self, data: memoryview) -> Storage:
        needed = 8 + self.numel * self.dtype.itemsize
        if needed > len(data) or int.from_bytes(data[:8], "little") != self.numel:
            raise CheckpointError(
                f"a torch storage claims {self.numel} elements of {self.dtype.name}, and "
                f"{max(len(data) - 8, 0)} bytes are there"
            )
        return Storage(np.frombuffer(data[8:needed], dtype=self.dtype))


def _described_storage(persistent_id: Any) -> _Described:
    kind, storage_type, key, _location, numel, view = persistent_id
    if (
        kind != "storage"
        or type(storage_type) is not Global
        or type(key) is not str
        or not _are_counts([numel])
        or view is not None
    ):
        raise CheckpointError(f"a torch storage is described as {quoted(kind)}")
    return _Described(np.dtype(_STORAGE_DTYPES[storage_type.name]), key, numel)

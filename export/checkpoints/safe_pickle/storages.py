"""Torch storages and tensors inside a pickle, read without torch: views of bytes until used."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylert.export.checkpoints.safe_pickle.mapped_file import forget_pages
from stylert.export.checkpoints.safe_pickle.pickle_names import Global
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.runtime.errors import CheckpointError

__all__ = [
    "MAX_EXTENT",
    "STORAGE_TYPES",
    "DescribedStorage",
    "Storage",
    "Tensor",
    "compute_tensor",
    "describe_storage",
    "list_strides",
    "make_tensor",
]

MAX_DIMENSIONS = 64  # as many as torch has
MAX_EXTENT = 2**48  # sizes, strides and offsets beyond it are nonsense, and might overflow

_BFLOAT16 = "BFloat16Storage"  # the upper half of a float32; NumPy has no such type
_DTYPES = {
    _BFLOAT16: "<u2",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
    "UntypedStorage": "|u1",
    "QInt8Storage": "|i1",  # quantised tensors are foreign, their storages have a size
    "QUInt8Storage": "|u1",
    "QUInt4x2Storage": "|u1",
    "QUInt2x4Storage": "|u1",
    "QInt32Storage": "<i4",
}
STORAGE_TYPES = {("torch", name): Global(name) for name in _DTYPES if name != "UntypedStorage"}
STORAGE_TYPES["torch.storage", "UntypedStorage"] = Global("UntypedStorage")


@dataclass(frozen=True)
class DescribedStorage:
    """What a pickle says of a storage, whose bytes are elsewhere."""

    kind: str  # 'FloatStorage'
    key: str
    numel: int

    @property
    def num_bytes(self) -> int:
        """What the elements take in the file."""
        return self.numel * np.dtype(_DTYPES[self.kind]).itemsize

    def check_size(self, num_bytes: int) -> None:
        """Compare what is claimed with the bytes that are there.

        Raises:
            CheckpointError: they differ.
        """
        if num_bytes != self.num_bytes:
            kind = "bfloat16" if self.kind == _BFLOAT16 else np.dtype(_DTYPES[self.kind]).name
            raise CheckpointError(
                f"a torch storage claims {self.numel} elements of {kind}, and "
                f"{num_bytes} bytes are there; download it again"
            )


@dataclass(frozen=True, eq=False)
class Storage:
    """The elements that one or more tensors look at: fetched when a tensor is used."""

    described: DescribedStorage
    fetch: Callable[[], memoryview]  # its bytes in the file; it may raise a `CheckpointError`


def describe_storage(persistent_id: Any) -> DescribedStorage:
    """A persistent id of torch.save: ('storage', type, key, device, elements) and a None if old.

    Raises:
        CheckpointError: it is another one.
    """
    kind, storage_type, key, _device, numel, *view = persistent_id
    if (
        kind != "storage"
        or type(storage_type) is not Global
        or storage_type.name not in _DTYPES
        or type(key) is not str
        or not _are_counts([numel])
        or view not in ([], [None])
    ):
        raise CheckpointError(f"a torch storage is described as {quote(kind)}")
    return DescribedStorage(storage_type.name, key, numel)


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
        described, data = self.storage.described, self.storage.fetch()
        described.check_size(len(data))
        dtype = np.dtype(_DTYPES[described.kind])
        is_bfloat16 = described.kind == _BFLOAT16
        if dtype.kind != "f" and not is_bfloat16:
            raise CheckpointError(f"holds {dtype.name}, expected floats")
        self._check_reach(described.numel)
        size = dtype.itemsize
        strides = [step * size for step in self.stride]
        view: np.ndarray = np.ndarray(self.shape, dtype, data, self.offset * size, strides)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found later
            copy: np.ndarray = np.array(view, np.uint32 if is_bfloat16 else np.float32, order="C")
        if is_bfloat16:
            copy <<= np.uint32(16)
        forget_pages(data)
        return copy.view(np.float32)

    def _check_reach(self, available: int) -> None:
        """Make certain that every element lies in the storage."""
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


def make_tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    backward_hooks: Any = None,
    metadata: Any = None,
) -> Tensor:
    """What stands for torch._utils._rebuild_tensor_v2.

    Metadata are marks of values that are another sign than their bytes ('neg', 'conj').

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
    if metadata:
        storage = Storage(storage.described, _refuse_marks)
    return Tensor(storage, offset, size, stride)


def _refuse_marks() -> memoryview:
    raise CheckpointError("is a negated or conjugated view, expected plain values")


def compute_tensor(compute: Callable[[], np.ndarray], shape: tuple[int, ...]) -> Tensor:
    """A float32 tensor of a shape that is computed whenever it is used."""
    described = DescribedStorage("FloatStorage", "", math.prod(shape))

    def fetch() -> memoryview:
        return np.ascontiguousarray(compute(), dtype=np.float32).reshape(-1).data.cast("B")

    return make_tensor(Storage(described, fetch), 0, shape, list_strides(shape))


def list_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Those of a C-contiguous tensor, in elements."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def _are_counts(values: list[Any]) -> bool:
    return all(type(value) is int and 0 <= value < MAX_EXTENT for value in values)

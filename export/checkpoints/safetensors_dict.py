"""A .safetensors file as a dict of tensors, whatever program wrote it. NumPy only.

Eight bytes with the length of the header; the header, which is JSON: for each tensor its type,
shape, and where its bytes begin and end; then the bytes.
"""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.export.checkpoints.safe_pickle.storages import (
    MAX_EXTENT,
    DescribedStorage,
    Storage,
    Tensor,
    list_strides,
    make_tensor,
)
from stylert.runtime.errors import CheckpointError

__all__ = ["read_tensor_dict"]

MAX_HEADER = 4 * 2**20  # bytes, which JSON can make thirty times as many of; ours takes 50,000
_METADATA = "__metadata__"
_MOST_DIMENSIONS = 8
_KINDS = {
    "F64": "DoubleStorage",
    "F32": "FloatStorage",
    "F16": "HalfStorage",
    "BF16": "BFloat16Storage",
    "I64": "LongStorage",
    "I32": "IntStorage",
    "I16": "ShortStorage",
    "I8": "CharStorage",
    "U8": "ByteStorage",
    "BOOL": "BoolStorage",
}


def read_tensor_dict(data: memoryview) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors by name, which are views of `data`, and the metadata.

    Raises:
        CheckpointError: the header is damaged, or a tensor reaches outside of the file.
    """
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise CheckpointError(
            f"the .safetensors header claims {length} bytes of {len(data)}; download it again"
        )
    if length > MAX_HEADER:
        raise CheckpointError(
            f"the .safetensors header takes {length} bytes, expected at most {MAX_HEADER}"
        )
    begin = 8 + length
    try:
        header = json.loads(bytes(data[8:begin]))
        metadata = dict(header.pop(_METADATA, None) or {})
        return {name: _read_tensor(name, data[begin:], header[name]) for name in header}, metadata
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError("the .safetensors header is damaged; download it again") from None


def _read_tensor(name: str, data: memoryview, entry: dict[str, Any]) -> Tensor:
    dtype, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if type(dtype) is not str or len(shape) > _MOST_DIMENSIONS:
        raise CheckpointError(f"{quote(name)} of the .safetensors file has no type, or no shape")
    if not 0 <= first <= last <= len(data):
        raise CheckpointError(
            f"{quote(name)} reaches outside of the .safetensors file; download it again"
        )
    if not all(type(side) is int and 0 <= side < MAX_EXTENT for side in shape):
        raise CheckpointError(f"{quote(name)} of the .safetensors file has a shape that is none")
    described = DescribedStorage(_KINDS.get(dtype, ""), "", math.prod(shape))
    fetch = partial(_fetch, dtype, data[first:last])
    return make_tensor(Storage(described, fetch), 0, shape, list_strides(shape))


def _fetch(dtype: str, data: memoryview) -> memoryview:
    if dtype not in _KINDS:
        raise CheckpointError(f"holds {quote(dtype)}, expected floats")
    return data

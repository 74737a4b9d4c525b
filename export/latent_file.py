"""Latents in a pickle, as projectors and encoders write them -> a NumPy array. Needs no torch.

The pickle is one of torch.save, of numpy.save (a dict becomes an array of one object), or a file by
itself. Nothing of it is run: it is read as a checkpoint is. It may hold an array, a list of arrays,
a dict that has one by a usual name, or by the names of images: such a dict (rosinality's
projector), an array, or a list of arrays, of which the last is the best (ReStyle's encoder).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stylert.export.checkpoints.safe_pickle.allow_list import read_pickle, read_pickle_file
from stylert.export.checkpoints.safe_pickle.arrays import PickledArray
from stylert.export.checkpoints.safe_pickle.quoting import quote_some
from stylert.export.checkpoints.safe_pickle.reading import reading
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.export.checkpoints.safe_pickle.torch_archive import is_torch_archive, read_archive
from stylert.export.checkpoints.safe_pickle.zip_records import ZipRecords
from stylert.runtime.errors import CheckpointError
from stylert.runtime.files.arrays import holds_objects
from stylert.runtime.files.publishing import publish_file
from stylert.runtime.files.regular import open_file

__all__ = ["read_latents", "write_latents"]

MAX_ELEMENTS = 2**28  # 1 GiB of float32

_Numbers = Tensor | PickledArray

_DEEPEST = 2
_OF_NUMPY = "it is a file of NumPy already, which needs no conversion: use it as it is"
_NAMES = ("w", "ws", "w_plus", "wp", "latent", "latents", "latent_code", "direction")


def read_latents(path: str | Path) -> np.ndarray:
    """Read latents, or a direction, in a pickle.

    Args:
        path: The file, of any version of torch or NumPy.

    Returns:
        float32 [..., w_dim], as it is in the file. Several of [num_ws, w_dim], or of
        [n, num_ws, w_dim], become [N, num_ws, w_dim]; several of [w_dim] become [N, 1, w_dim].

    Raises:
        CheckpointError: the file is missing, damaged or unsafe, or has no latents.
    """
    with reading(path):
        with open_file(path) as file:
            data = file.read()
        found = list(_find_latents(_read_value(memoryview(data)), depth=0))
        return _join([tensor.to_float32() for tensor in _check_size(found)])


def write_latents(latents: np.ndarray, path: str | Path) -> None:
    """Write latents for `Generator.load_ws`. The file appears whole or not at all.

    Args:
        latents: As `read_latents` gives them.
        path: The .npy file; one that is there is replaced, and missing folders are made.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    with publish_file(path) as partial, partial.open("wb") as file:
        np.save(file, latents)


def _read_value(data: memoryview) -> Any:
    """The value in a file."""
    if bytes(data[:2]) == b"PK":
        records = ZipRecords(data)
        if is_torch_archive(records):
            return read_archive(records)
        if any(name.endswith(".npy") for name in records.names):
            raise CheckpointError(_OF_NUMPY)
    elif bytes(data[:1]) == b"\x80":
        return read_pickle_file(data, objects=True)[0]
    elif bytes(data[:6]) == b"\x93NUMPY":
        file = io.BytesIO(data)
        try:
            objects = holds_objects(file)
        except (KeyError, ValueError):
            raise CheckpointError("its header of NumPy is damaged; make it again") from None
        if not objects:
            raise CheckpointError(_OF_NUMPY)
        return read_pickle(data[file.tell() :], objects=True)[0]
    raise CheckpointError("it is no file of torch.save, and no other pickle")


def _find_latents(value: Any, *, depth: int) -> Iterator[_Numbers]:
    """The arrays of latents in a value."""
    if depth > _DEEPEST:  # a dict can hold itself
        raise CheckpointError("its dicts lie too deep in each other")
    value = _unwrap(value)
    if _has_numbers(value):
        yield value
    elif type(value) in (list, tuple):
        for item in value:
            if not _has_numbers(item):
                raise CheckpointError(f"its list has a {type(item).__name__}, expected tensors")
            yield item
    elif type(value) is dict and (names := [name for name in _NAMES if name in value]):
        yield from _find_latents(value[names[0]], depth=depth + 1)
    elif type(value) is dict and value and not depth and _is_by_image(value):
        for item in value.values():
            yield from _find_latents(item[-1] if type(item) is list else item, depth=1)
    elif type(value) is dict:
        keys = quote_some(value) if value else "no keys"
        raise CheckpointError(f"it has {keys}, expected one of {', '.join(_NAMES)}")
    else:
        raise CheckpointError(f"it has a {type(value).__name__}, expected a tensor")


def _is_by_image(value: dict[Any, Any]) -> bool:
    """Whether a dict has for every image a dict, an array, or a list of arrays, the best last."""
    items = list(value.values())
    return (
        all(type(item) is dict for item in items)
        or all(map(_has_numbers, items))
        or all(type(item) is list and item and all(map(_has_numbers, item)) for item in items)
    )


def _has_numbers(value: Any) -> bool:
    return type(value) is Tensor or (type(value) is PickledArray and value.objects is None)


def _unwrap(value: Any) -> Any:
    """What is in an array of objects: the one, or all of them."""
    if type(value) is not PickledArray or value.objects is None:
        return value
    return value.objects[0] if len(value.objects) == 1 else value.objects


def _check_size(tensors: list[_Numbers]) -> list[_Numbers]:
    """The tensors, once it is certain that all of them fit into memory."""
    if not tensors:
        raise CheckpointError("it has no tensors")
    elements = sum(math.prod(tensor.shape) for tensor in tensors)
    if elements > MAX_ELEMENTS:
        raise CheckpointError(f"its tensors have {elements} numbers, expected latents")
    return tensors


def _join(arrays: list[np.ndarray]) -> np.ndarray:
    """One array of all."""
    shapes = {array.shape for array in arrays}
    if len(arrays) == 1:
        return arrays[0]
    if len({shape[-2:] for shape in shapes}) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise CheckpointError(
            f"its tensors have the shapes {sorted(shapes)[:4]}, expected equal ones"
        )
    if arrays[0].ndim >= 3:
        return np.concatenate(arrays)
    return np.stack(arrays) if arrays[0].ndim == 2 else np.stack(arrays)[:, None]

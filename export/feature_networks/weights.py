"""The weights of a feature network in a file of torch.save -> NumPy arrays. Nothing in it is run.

TorchScript archives hold code beside their weights. They are refused, but for those of CLIP, which
is published in no other way: of these the tensors are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.export.checkpoints.safe_pickle.allow_list import read_torch_stream
from stylert.export.checkpoints.safe_pickle.mapped_file import map_file
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.export.checkpoints.safe_pickle.torch_archive import is_torch_archive, read_archive
from stylert.export.checkpoints.safe_pickle.zip_records import ZipRecords
from stylert.export.feature_networks.torchscript import read_scripted
from stylert.runtime.errors import CheckpointError
from stylert.runtime.files.listed import hash_file

__all__ = ["PublishedWeights", "Weights", "check_hash", "read_weights"]


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that others publish.

    Attributes:
        files: the names that their file has in the caches of other tools.
        sha256: what their hash begins with, '' where nobody has told it.
        licence: as their publishers state it.
        others: what the hashes of other files begin with that hold the same weights.
        scripted: whether one of the files is an archive of TorchScript.
    """

    files: tuple[str, ...]
    sha256: str
    licence: str
    others: tuple[str, ...] = ()
    scripted: bool = False


class Weights:
    """The tensors of a file, by name; each is asked for by its shape."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def take(self, name: str, *shape: int) -> np.ndarray:
        """A tensor as float64.

        Raises:
            CheckpointError: it is not there, has another shape, or holds no finite numbers.
        """
        tensor = self._tensors.get(name)
        if tensor is None:
            raise CheckpointError(f"it has no tensor {name!r}, expected one of {list(shape)}")
        if tensor.shape != shape:
            raise CheckpointError(
                f"its tensor {name!r} has the shape {list(tensor.shape)}, expected {list(shape)}"
            )
        array = tensor.to_float32().astype(np.float64)
        if not np.isfinite(array).all():
            raise CheckpointError(f"its tensor {name!r} holds numbers that are not finite")
        return array


def read_weights(path: Path, *, scripted: bool = False) -> Weights:
    """The tensors in a file of torch.save, old or new.

    Args:
        path: the file.
        scripted: take an archive of TorchScript, too.

    Raises:
        CheckpointError: it is damaged, unsafe, TorchScript, or holds no tensors by name.
        OSError: it cannot be read.
    """
    data = map_file(path)
    if bytes(data[:2]) == b"PK":
        records = ZipRecords(data)
        if not is_torch_archive(records):
            raise CheckpointError("it is a zip archive, and none of torch.save")
        is_script = scripted and any(n.endswith("/constants.pkl") for n in records.names)
        value: Any = read_scripted(records) if is_script else read_archive(records)
    elif bytes(data[:1]) == b"\x80":
        value = read_torch_stream(data)
    else:
        raise CheckpointError("it is no file of torch.save")
    if type(value) is not dict:
        raise CheckpointError(f"it holds a {type(value).__name__}, expected tensors by name")
    tensors = {k: v for k, v in value.items() if type(k) is str and type(v) is Tensor}
    if sum(math.prod(tensor.shape) for tensor in tensors.values()) * 4 > 64 * len(data):
        raise CheckpointError("its tensors are larger than its file")
    return Weights(tensors)


def check_hash(path: Path, published: PublishedWeights) -> str:
    """Refuse a file that is not the published one.

    Returns:
        Its SHA-256.

    Raises:
        CheckpointError: its SHA-256 is another.
    """
    digest = hash_file(path)
    if not digest.startswith((published.sha256, *published.others)):
        raise CheckpointError(
            f"its SHA-256 begins with {digest[:8]}, expected {published.sha256[:8]}, that of "
            f"{published.files[0]}; download it again"
        )
    return digest

"""Any file with an encoder -> `Encoder`, without running anything that is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stylert.export.checkpoints.checkpoint import Source
from stylert.export.checkpoints.safe_pickle.allow_list import read_pickle_file
from stylert.export.checkpoints.safe_pickle.foreign import ForeignNames
from stylert.export.checkpoints.safe_pickle.mapped_file import map_file
from stylert.export.checkpoints.safe_pickle.reading import reading
from stylert.export.checkpoints.safe_pickle.torch_archive import is_torch_archive, read_archive
from stylert.export.checkpoints.safe_pickle.zip_records import ZipRecords
from stylert.export.checkpoints.safetensors_dict import read_tensor_dict
from stylert.export.encoders.config import Encoder
from stylert.export.encoders.native import KEY, read_native
from stylert.export.encoders.official import is_official, read_official
from stylert.runtime.bundle import hash_file
from stylert.runtime.errors import CheckpointError
from stylert.runtime.files.regular import open_file

__all__ = ["find_encoder", "read_encoder", "read_value"]

_EXPECTED = (
    "expected the .pt file of a trained pSp, e4e or ReStyle, or a .safetensors file of "
    "examples/train_encoder"
)
_PART = "the encoder in "


def read_encoder(path: str | Path) -> Encoder:
    """Read the encoder in a file of pSp, e4e or ReStyle, or in one of `write_encoder`.

    Args:
        path: The file.

    Raises:
        CheckpointError: it is missing, damaged or unsafe, or has no encoder that is supported.
    """
    path = Path(path)
    with reading(path, _PART):
        value, metadata = read_value(path)
        if KEY in metadata:
            return read_native(value, metadata, _describe(path, "stylert safetensors"))
        if not is_official(value):
            raise CheckpointError(f"it has no encoder; {_EXPECTED}")
        return _read_official(path, value)


def find_encoder(path: str | Path) -> Encoder | None:
    """The encoder beside the generator in a file; None where there is none.

    Raises:
        CheckpointError: there is one, which is damaged or not supported.
    """
    path = Path(path)
    try:
        value, _ = read_value(path)
    except (OSError, ValueError):  # of another kind: it has no encoder
        return None
    if not is_official(value):
        return None
    with reading(path, _PART):
        return _read_official(path, value)


def read_value(path: Path) -> tuple[Any, dict[str, Any]]:
    """The value of a file, and its metadata; foreign names in it are passed over."""
    with open_file(path) as file:
        head = file.read(16)
    if head[8:9] == b"{":
        return read_tensor_dict(map_file(path))
    if head[:2] == b"PK" and is_torch_archive(records := ZipRecords(map_file(path))):
        return read_archive(records, foreign=ForeignNames()), {}
    if head[:1] == b"\x80":
        value, end = read_pickle_file(map_file(path), foreign=ForeignNames())
        if end is None:
            return value, {}
    raise CheckpointError(f"it is neither of torch.save nor a .safetensors file; {_EXPECTED}")


def _read_official(path: Path, value: Any) -> Encoder:
    return read_official(value, _describe(path, "pSp/e4e .pt", network="encoder"))


def _describe(path: Path, kind: str, *, network: str = "") -> Source:
    return Source(path.name, hash_file(path), path.stat().st_size, kind, network)

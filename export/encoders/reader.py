"""Any file with an encoder -> `Encoder`, without running anything that is in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from stylert.export.checkpoints.checkpoint import Source
from stylert.export.checkpoints.safe_pickle.allow_list import read_pickle, read_torch_stream
from stylert.export.checkpoints.safe_pickle.foreign import ForeignNames
from stylert.export.checkpoints.safe_pickle.mapped_file import map_file
from stylert.export.checkpoints.safe_pickle.torch_archive import is_torch_archive, read_archive
from stylert.export.checkpoints.safe_pickle.torch_stream import TORCH_MAGIC
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


def read_encoder(path: str | Path) -> Encoder:
    """Read the encoder in a file of pSp, e4e or ReStyle, or in one of `write_encoder`.

    Args:
        path: The file.

    Raises:
        CheckpointError: it is missing, damaged or unsafe, or has no encoder that is supported.
    """
    path = Path(path)
    try:
        value, metadata = read_value(path)
        source = Source(path.name, hash_file(path), path.stat().st_size)
        if KEY in metadata:
            return read_native(value, metadata, replace(source, format="stylert safetensors"))
        if not is_official(value):
            raise CheckpointError(f"it has no encoder; {_EXPECTED}")
        return read_official(value, replace(source, format="pSp/e4e .pt", network="encoder"))
    except CheckpointError as error:
        raise CheckpointError(f"Cannot read the encoder in {str(path)!r}: {error}.") from None
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"Cannot read {str(path)!r}: {reason}.") from None
    except MemoryError:
        raise CheckpointError(f"Cannot read {str(path)!r}: it does not fit into memory.") from None


def find_encoder(path: str | Path) -> Encoder | None:
    """The encoder beside the generator in a file; None where there is none.

    Raises:
        CheckpointError: there is one, which is damaged or not supported.
    """
    try:
        value, _ = read_value(Path(path))
    except (CheckpointError, OSError, ValueError):  # of another kind: it has no encoder
        return None
    return read_encoder(path) if is_official(value) else None


def read_value(path: Path) -> tuple[Any, dict[str, Any]]:
    """The value of a file, and its metadata; foreign names in it are passed over."""
    with open_file(path) as file:
        head = file.read(16)
    if head[8:9] == b"{":
        return read_tensor_dict(map_file(path))
    if head[:2] == b"PK" and is_torch_archive(records := ZipRecords(map_file(path))):
        return read_archive(records, foreign=ForeignNames()), {}
    if head[:1] == b"\x80":
        data = map_file(path)
        value, _ = read_pickle(data, foreign=ForeignNames())
        if type(value) is int and value == TORCH_MAGIC:
            return read_torch_stream(data, foreign=ForeignNames()), {}
    raise CheckpointError(f"it is neither of torch.save nor a .safetensors file; {_EXPECTED}")

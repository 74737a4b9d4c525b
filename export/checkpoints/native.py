"""The native checkpoint: one .safetensors file, with the configuration as JSON in its metadata.

The metadata has one key, 'stylert', with {"schema": 1, "family", "config", "source", "notes"}, and
"classes" where their names are known.
The tensors have the names that `configs` lists; float16 is read, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.configs import read_config
from stylert.export.checkpoints.configs.config import Config
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.export.checkpoints.validation import check_shapes, check_values
from stylert.runtime.errors import CheckpointError
from stylert.runtime.files.class_names import check_class_names
from stylert.runtime.files.publishing import publish_bytes
from stylert.runtime.labels import Classes
from stylert.runtime.packages import import_extra

__all__ = ["KEY", "read_safetensors", "write_native"]

FORMAT = "stylert safetensors"
KEY = "stylert"
SCHEMA = 1
_FLOATS = ("F16", "F32")


def write_native(checkpoint: Checkpoint, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a checkpoint as one .safetensors file: all of it, or nothing.

    Args:
        checkpoint: What to write.
        path: The file to make; missing folders above it are made, too.
        overwrite: Replace a file that is there.

    Raises:
        CheckpointError: the file is there, or cannot be written.
        MissingExtra: safetensors is not installed, or does not load.
    """
    target = Path(path)
    cannot = f"Cannot write {str(target)!r}"
    if target.is_dir():
        raise CheckpointError(f"{cannot}: it is a folder.")
    if target.exists() and not overwrite:
        raise CheckpointError(f"{cannot}: it exists; pass overwrite=True to replace it.")
    data = _serialise(checkpoint)
    try:
        publish_bytes(target, data, overwrite=overwrite)
    except OSError as error:
        raise CheckpointError(f"{cannot}: {error.strerror or error}.") from None


def _serialise(checkpoint: Checkpoint) -> bytes:
    metadata = {
        "schema": SCHEMA,
        "family": checkpoint.family,
        "config": checkpoint.config.to_json(),
        "source": asdict(checkpoint.source),
        "notes": list(checkpoint.notes),
        "classes": list(checkpoint.class_names),
    }
    save = import_extra("safetensors.numpy", "safetensors", extra="export").save
    # What is not contiguous safetensors writes as it lies in memory, and says nothing.
    tensors = {name: np.asarray(t, order="C") for name, t in checkpoint.tensors.items()}
    data: bytes = save(tensors, metadata={KEY: json.dumps(metadata)})
    return data


def read_safetensors(path: Path, source: Source) -> Checkpoint:
    """Read a file that `write_native` wrote.

    Args:
        path: The file.
        source: The same, described.

    Raises:
        CheckpointError: it is damaged, or was written by a newer StyleRT.
        MissingExtra: safetensors is not installed, or does not load.
    """
    library = import_extra("safetensors", "safetensors", extra="export")
    try:
        with library.safe_open(path, framework="np") as file:
            config, origin, notes, class_names = _read_metadata(file.metadata())
            check_shapes(config, _read_shapes(file))
            tensors = {name: _to_float32(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except library.SafetensorError as error:
        raise CheckpointError(f"the file is damaged: {quote(str(error))}") from None
    check_values(tensors)
    return Checkpoint(
        config=config,
        tensors=tensors,
        source=replace(source, format=FORMAT, network=origin.network),
        notes=(*notes, f"made from {origin.file} ({origin.format}, sha256 {origin.sha256})"),
        class_names=class_names,
    )


def _read_metadata(
    entries: Mapping[str, str],
) -> tuple[Config, Source, tuple[str, ...], tuple[str, ...]]:
    """What `write_native` put into the metadata: configuration, source, notes, names of classes."""
    try:
        metadata = json.loads(entries[KEY])
        schema, family = metadata["schema"], metadata["family"]
        if schema != SCHEMA:
            raise CheckpointError(
                f"got schema {quote(schema)}, expected {SCHEMA}: update StyleRT to read the file"
            )
        config = read_config(family, metadata["config"])
        source = metadata["source"]
        texts = {
            key: _make_printable(source[key]) for key in ("file", "sha256", "format", "network")
        }
        origin = Source(bytes=int(source["bytes"]), **texts)
        notes = tuple(_make_printable(note) for note in metadata["notes"])
        class_names = tuple(metadata.get("classes", ()))  # not there in the first files
        check_class_names(Classes(config.c_dim, class_names))
    except CheckpointError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise CheckpointError("StyleRT's metadata in the file is damaged") from None
    return config, origin, notes, class_names


def _make_printable(text: Any) -> str:
    """Text that may be shown: one short line, without control characters."""
    if type(text) is not str:
        raise TypeError("no text")
    return "".join(c if c.isprintable() else "?" for c in text[:500])


def _read_shapes(file: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors by the header, which safetensors has compared with the file's size."""
    shapes = {}
    for name in file.keys():  # noqa: SIM118
        tensor = file.get_slice(name)
        if tensor.get_dtype() not in _FLOATS:
            raise CheckpointError(
                f"{quote(name)}: got {tensor.get_dtype()}, expected {' or '.join(_FLOATS)}"
            )
        shapes[name] = tuple(tensor.get_shape())
    return shapes


def _to_float32(tensor: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(tensor, dtype=np.float32).reshape(tensor.shape)

"""Our own encoders: one .safetensors file, with the configuration as JSON in its metadata.

The metadata has one key, 'stylert_encoder', with {"schema": 1, "config", "trained"}: the last says
of what. The tensors have the names that `encoders.config` lists for 'plain', and 'average'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from stylert.export.checkpoints.checkpoint import Source
from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.export.checkpoints.validation import check_size
from stylert.export.encoders.checks import check_tensors
from stylert.export.encoders.config import Encoder, EncoderConfig
from stylert.runtime.errors import CheckpointError
from stylert.runtime.files.publishing import publish_bytes
from stylert.runtime.packages import import_extra

__all__ = ["KEY", "read_native", "write_encoder"]

KEY = "stylert_encoder"
SCHEMA = 1
_AVERAGE = "average"
_MOST = 2**14  # of a size or a width
_SIZES = ("hidden", "num_codes", "num_ws", "w_dim", "channels", "height", "width")


def write_encoder(encoder: Encoder, path: str | Path, *, trained: str) -> None:
    """Write one of our own encoders, in half precision: all of the file, or nothing.

    Args:
        encoder: one of the backbone 'plain'.
        path: The file; one that is there is replaced.
        trained: of what, in words.

    Raises:
        MissingExtra: safetensors is not installed, or does not load.
        OSError: the disk is full, or the folder cannot be written.
    """
    metadata = {"schema": SCHEMA, "config": encoder.config.to_json(), "trained": trained}
    assert encoder.average is not None  # of all layers alike
    tensors = {**encoder.tensors, _AVERAGE: encoder.average[:1]}
    halves = {name: array.astype(np.float16) for name, array in tensors.items()}
    save = import_extra("safetensors.numpy", "safetensors", extra="export").save
    publish_bytes(path, save(halves, metadata={KEY: json.dumps(metadata)}))


def read_native(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], source: Source
) -> Encoder:
    """Read a file that `write_encoder` wrote.

    Args:
        tensors: What is in it.
        metadata: That of the file, which has our key.
        source: The file, whose size bounds what its tensors may claim.

    Raises:
        CheckpointError: it is damaged, or was written by a newer StyleRT.
    """
    config, trained = _read_metadata(metadata)
    modules = Modules(tensors=dict(tensors))
    check_size(modules.num_elements, source)
    average = (1, config.w_dim)
    arrays = check_tensors(modules, {**config.list_shapes(), _AVERAGE: average}, config.title)
    mean = np.broadcast_to(arrays.pop(_AVERAGE), (config.num_ws, config.w_dim))
    return Encoder(config, arrays, np.ascontiguousarray(mean), source, (f"trained on {trained}",))


def _read_metadata(metadata: Mapping[str, Any]) -> tuple[EncoderConfig, str]:
    try:
        entries = json.loads(metadata[KEY])
        if entries["schema"] != SCHEMA:
            raise CheckpointError(
                f"got schema {quote(entries['schema'])}, expected {SCHEMA}: update StyleRT to read "
                "the file"
            )
        given, trained = dict(entries["config"]), str(entries["trained"])
        known = {field.name for field in fields(EncoderConfig)}
        config = EncoderConfig(
            title="StyleRT",
            backbone="plain",
            head="plain",
            widths=tuple(given["widths"]),
            **{name: given[name] for name in _SIZES},
        )
        numbers = [*config.widths, *(getattr(config, name) for name in _SIZES)]
        side = 2 ** len(config.widths)
        if (
            not given.keys() <= known
            or not all(type(n) is int and 1 <= n <= _MOST for n in numbers)
            or config.num_codes != 1
            or len(config.widths) > len(bin(_MOST))
            or config.height % side
            or config.width % side
        ):
            raise ValueError("no such architecture")
    except CheckpointError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise CheckpointError("StyleRT's metadata in the file is damaged") from None
    return config, "".join(c if c.isprintable() else "?" for c in trained[:200])

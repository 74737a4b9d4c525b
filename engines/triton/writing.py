"""Writing a model repository: configurations, files, and the record of what it was made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylert.engines.triton.layout import Layout
from stylert.engines.triton.schema import format_message
from stylert.runtime.bundle import hash_file
from stylert.runtime.errors import EngineError

__all__ = ["CONFIG", "RECORD", "write_files"]

CONFIG = "config.pbtxt"
RECORD = "stylert.json"  # in the repository's root, where Triton looks for folders only


def write_files(layout: Layout, record: Mapping[str, Any], folder: Path) -> None:
    """Write a repository.

    Args:
        layout: what it consists of.
        record: what it was made from, for a later check.
        folder: an empty one.

    Raises:
        EngineError: a source is not what its bundle says.
        OSError: the disk is full, or the folder cannot be written.
    """
    for name, config in layout.configs.items():
        (folder / name).mkdir()
        (folder / name / CONFIG).write_text(format_message(config) + "\n", encoding="utf-8")
    for file in layout.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, target)
        if hash_file(target) != file.sha256:
            raise EngineError(
                f"{file.source} was changed since it was made: its SHA-256 is another. "
                "Build or export it again."
            )
    (folder / layout.placeholder).parent.mkdir(parents=True)
    (folder / layout.placeholder).touch()
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

"""Writing a model repository: beside its place, then moved there. All of it, or nothing."""

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
from stylert.runtime.files.publishing import check_folder, publish_folder

__all__ = ["CONFIG", "RECORD", "check_target", "publish"]

CONFIG = "config.pbtxt"
RECORD = "stylert.json"  # in the repository's root, where Triton looks for folders only


def check_target(out: Path, *, force: bool) -> None:
    """Refuse a target that must not be replaced, before any work is done.

    Raises:
        InvalidInput: it exists, and is no repository of ours or `force` is not given, or it holds
            the current folder.
    """
    check_folder(out, force=force, kind="Triton repository of StyleRT's", files=[RECORD])


def publish(layout: Layout, record: Mapping[str, Any], out: Path) -> None:
    """Write a repository, and move it into its place.

    Args:
        layout: what it consists of.
        record: what it was made from, for a later check.
        out: its directory; a link is followed.

    Raises:
        EngineError: a source is not what its bundle says.
        OSError: the disk is full, or the folder cannot be written.
    """
    with publish_folder(out) as folder:
        _write(layout, record, folder)


def _write(layout: Layout, record: Mapping[str, Any], folder: Path) -> None:
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

"""Compiled graphs on the disk, so that the next process need not compile them.

OpenVINO has such a folder itself, whose key is a file's name and time: it can give back the weights
of another network. Ours is made of the SHA-256 of the files, and of all that a compiled graph
depends on: versions, processor, shapes, options. Each file begins with the SHA-256 of the rest.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stylert.runtime.errors import StylertWarning
from stylert.runtime.files.publishing import publish_file
from stylert.runtime.files.user_folders import find_cache_folder

__all__ = ["KeptGraphs", "make_key"]

FORMAT = 1  # goes up when what we ask of OpenVINO changes otherwise than by its options
MOST = 4 * 2**30  # bytes of all of them; those that were not used for longest go first
_DIGEST = 32  # bytes of a SHA-256


def make_key(**facts: Any) -> str:
    """The name of what depends on these facts, and on nothing else."""
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class KeptGraphs:
    """The folder of this user's compiled graphs. What it cannot do, it warns of, once."""

    def __init__(self) -> None:
        self._told = False

    def open(self, key: str, load: Callable[[bytes], Any]) -> Any | None:
        """What `load` makes of a compiled graph; None if there is none, or it is damaged."""
        try:
            path = self._path(key)
            content = path.read_bytes()
        except OSError:  # none yet, or no home
            return None
        graph = content[_DIGEST:]
        if hashlib.sha256(graph).digest() == content[:_DIGEST]:
            try:
                loaded = load(graph)
                path.touch()
                return loaded
            except OSError:
                return loaded
            except RuntimeError:  # of OpenVINO: then it is of no use
                pass
        self._warn(f"The compiled graph {path} is damaged, and is made again.")
        return None

    def keep(self, key: str, graph: bytes) -> None:
        """Keep a compiled graph; on a full disk, or without a home, go on without."""
        try:
            path = self._path(key)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (
                publish_file(path, sync=False) as partial,
                partial.open("wb") as file,
            ):
                file.write(hashlib.sha256(graph).digest())
                file.write(graph)
            _remove_oldest(path.parent)
        except OSError as error:
            self._warn(f"Compiled graphs are not kept for the next start: {error}.")

    def _path(self, key: str) -> Path:
        return find_cache_folder() / "openvino" / f"{key}.blob"

    def _warn(self, message: str) -> None:
        if not self._told:
            self._told = True
            warnings.warn(message, StylertWarning, stacklevel=2)


def _remove_oldest(folder: Path) -> None:
    """Remove what was not used for longest, until the rest is small enough."""
    stats = [(path, path.stat()) for path in folder.glob("*.blob")]
    left = sum(stat.st_size for _, stat in stats)
    for path, stat in sorted(stats, key=lambda pair: pair[1].st_mtime):
        if left <= MOST:
            return
        path.unlink(missing_ok=True)
        left -= stat.st_size

"""Files that are whole: written to the end, put in place at once, and on the disk before others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

__all__ = ["about", "put_file", "put_json", "sync_folder", "write_whole"]


@contextmanager
def about(path: Path) -> Iterator[None]:
    """What the system refuses is told of this file, and not of the partial one behind it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def write_whole(file: FileIO, data: bytes) -> None:
    """Write all bytes to an unbuffered file: nothing waits in memory to be lost.

    Raises:
        OSError: the disk is full, for one; a part may have been written.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def put_file(path: Path, data: bytes, *, partial: Path) -> None:
    """Write a file that is there whole or not at all; `partial` is its name until then."""
    with about(path):
        try:
            partial.write_bytes(data)
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def put_json(path: Path, content: Mapping[str, Any], *, partial: Path) -> None:
    """Write JSON for people and machines; see `put_file`."""
    put_file(path, (json.dumps(content, indent=1) + "\n").encode(), partial=partial)


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder to the disk, where the system can (not on Windows)."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

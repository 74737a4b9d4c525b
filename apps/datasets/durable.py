"""Files that are whole: written to the end, put in place at once, and on the disk before others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

__all__ = ["about", "put_file", "sync_file", "sync_folder", "write_whole"]


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


def put_file(path: Path, data: bytes, *, partial: Path, sync: bool = False) -> None:
    """Write a file that is there whole or not at all; `partial` is its name until then.

    That holds for a process that ends. With `sync`, for a machine that loses its power, too.
    """
    with about(path):
        try:
            partial.write_bytes(data)
            if sync:
                sync_file(partial)
            partial.replace(path)
            if sync:
                sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def sync_file(path: Path) -> None:
    """Bring the bytes of a file to the disk."""
    number = os.open(path, os.O_RDWR)  # Windows syncs only what may be written
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder to the disk, where the system can (not on Windows)."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

"""A file as a view of its bytes that takes no memory: pages come when read, and go again."""

from __future__ import annotations

import mmap
from pathlib import Path

__all__ = ["forget_pages", "map_file"]

MUCH = 2**20  # bytes: to forget less takes longer than to copy it


def map_file(path: Path) -> memoryview:
    """The bytes of a file that is not empty.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def forget_pages(view: memoryview) -> None:
    """Give back the memory of a mapped file, after much of it, this part, was copied."""
    if len(view) < MUCH:
        return
    if isinstance(view.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        view.obj.madvise(mmap.MADV_DONTNEED)

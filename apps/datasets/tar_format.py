"""WebDataset samples as bytes of a tar file (USTAR).

They are of nobody, at no time, so that equal images make equal files.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from typing import Any

__all__ = ["BLOCK", "make_end", "make_header", "make_rest", "measure_sample"]

BLOCK = tarfile.BLOCKSIZE  # 512: headers and files begin at multiples of it

Record = Mapping[str, Any]  # of the manifest


def make_header(record: Record) -> bytes:
    """What a sample begins with; the bytes of its image follow."""
    return _make_header(record["file"], record["bytes"])


def make_rest(record: Record, line: bytes) -> bytes:
    """What follows the image: its line of the manifest and, where it has one, its class."""
    key = record["file"].partition(".")[0]
    members = [(f"{key}.json", line.rstrip(b"\n"))]
    if "class_idx" in record:
        members.append((f"{key}.cls", str(record["class_idx"]).encode()))
    others = (_make_header(name, len(data)) + _pad(data) for name, data in members)
    return bytes(-record["bytes"] % BLOCK) + b"".join(others)


def make_end(size: int) -> bytes:
    """What follows samples of so many bytes, so that the tar file is complete."""
    return bytes(2 * BLOCK + -(size + 2 * BLOCK) % tarfile.RECORDSIZE)


def measure_sample(record: Record, line: bytes) -> int:
    """The bytes of a sample."""
    return BLOCK + int(record["bytes"]) + len(make_rest(record, line))


def _make_header(name: str, size: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = size
    return header.tobuf(tarfile.USTAR_FORMAT)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)

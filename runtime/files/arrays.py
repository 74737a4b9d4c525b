"""What a .npz file holds, by its headers: asked before anything in it is unpacked."""

from __future__ import annotations

import math
import os
import threading
from typing import IO

import numpy as np

__all__ = ["READING", "Header", "holds_objects", "read_header", "read_headers"]

Header = tuple[tuple[int, ...], np.dtype]  # an array's shape and dtype

# Held by whoever has NumPy read headers: it reads them as Python, and CPython 3.11 now and then
# takes those of two threads for one: 'SystemError: AST constructor recursion depth mismatch'.
READING = threading.RLock()

_FORMATS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_headers(file: IO[bytes], *, most: int) -> dict[str, Header]:
    """Shape and dtype of each array of a .npz file. Then to load them all takes `most` bytes.

    Raises:
        ValueError, and what zipfile raises: it is none, it holds objects, or it takes more.
    """
    import zipfile  # slow to load

    if (size := os.fstat(file.fileno()).st_size) > most:
        raise ValueError(f"it has {size} bytes, expected at most {most}")
    headers = {}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if (size := sum(entry.file_size for entry in entries)) > most:
            raise ValueError(f"its arrays take {size} bytes, expected at most {most}")
        for entry in entries:
            with archive.open(entry) as member:
                header = read_header(member, entry.file_size)
            headers[entry.filename.removesuffix(".npy")] = header
    return headers


def read_header(file: IO[bytes], size: int) -> Header:
    """Shape and dtype of the array in a .npy stream of `size` bytes, which can hold it.

    Raises:
        ValueError, KeyError: it is none, it holds objects, or it is larger than the stream.
    """
    shape, dtype = _read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"an array of the shape {shape} has only {size} bytes")
    return shape, dtype


def holds_objects(file: IO[bytes]) -> bool:
    """Whether the array in a .npy stream is of Python objects; they follow, as a pickle.

    Raises:
        ValueError, KeyError: it is none.
    """
    _, dtype = _read_header(file)
    return dtype.hasobject


def _read_header(file: IO[bytes]) -> Header:
    with READING:
        shape, _, dtype = _FORMATS[np.lib.format.read_magic(file)](file)
    return shape, dtype

"""What was freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from stylert.runtime.backends.onnxruntime_package import give_back_memory

SIZE, COUNT = 2**16, 800  # bytes of a piece, and pieces


def read_resident() -> int:
    """Pages of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc alone can do it")
def test_freed_pieces_go_back() -> None:
    assert sys.platform == "linux"
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    pieces = [libc.malloc(SIZE) for _ in range(COUNT)]
    for piece in pieces:
        ctypes.memset(piece, 1, SIZE)
    for piece in pieces[:-1]:  # the last one keeps them from going back by themselves
        libc.free(piece)
    before = read_resident()
    give_back_memory()
    libc.free(pieces[-1])
    assert (before - read_resident()) * 4096 > SIZE * COUNT / 2

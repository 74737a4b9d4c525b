"""Gives memory that requests have freed back to the system, where the C library would keep it."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable

__all__ = ["give_back_freed_memory"]

_SECONDS = 20.0


async def give_back_freed_memory(every: float = _SECONDS) -> None:
    """Trim the heap now and then, until this is cancelled.

    glibc has heaps for several threads, and keeps in each the most that was ever in use there at a
    time. So the memory of a service with many threads grows for hours, in steps, although nothing
    leaks. Other C libraries do not need this; there, nothing is done.

    Args:
        every: seconds from one time to the next.
    """
    trim = _malloc_trim()
    while trim is not None:
        await asyncio.sleep(every)
        await asyncio.to_thread(trim, 0)  # takes some ms, and needs no GIL


def _malloc_trim() -> Callable[[int], int] | None:
    """The malloc_trim(3) of glibc, which gives whole free pages back; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none

"""Locks that keep the processes of a data set apart; the system frees them when a process dies.

Those of `filelock` would not do: many hold a folder together, where its plain lock is for one; its
lock for many is a SQLite file, which file systems of a network cannot have; and both leave files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stylert.runtime.errors import InvalidInput

__all__ = ["lock_alone", "locked_folder"]


@contextmanager
def locked_folder(folder: Path, *, alone: bool, wait: bool = False) -> Iterator[None]:
    """Hold a folder: together with others that write in it, or alone, to start or finish it.

    A folder that is not there has nothing in it to be kept apart, and is not locked.

    Args:
        folder: what is locked. Nothing is written for it.
        alone: nobody else holds it meanwhile.
        wait: until the others let go of it.

    Raises:
        InvalidInput: others hold it, and it does not wait.
    """
    number = _opened(folder)
    try:
        while number is not None:
            _lock(number, folder, alone=alone, wait=wait)
            if _is_at(folder, number):
                break
            os.close(number)  # it was removed, and perhaps made again, before it was ours
            number = _opened(folder)
        yield
    finally:
        if number is not None:
            os.close(number)


def lock_alone(number: int, path: Path) -> None:
    """Lock an open file, until it is closed.

    Args:
        number: of the open file.
        path: the file, for the message.

    Raises:
        InvalidInput: another process has locked it.
    """
    _lock(number, path.parent, alone=True, wait=False)


def _lock(number: int, folder: Path, *, alone: bool, wait: bool) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: nothing keeps two processes apart
        return
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(number, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InvalidInput(
            f"{folder}: another process is writing this data set. Wait for it, or choose another "
            "name."
        ) from None
    except OSError:
        pass  # a file system without locks, as some of a network


def _opened(folder: Path) -> int | None:
    if os.name == "nt":  # opens no folders
        return None
    try:
        return os.open(folder, os.O_RDONLY)
    except OSError:  # not there; who goes on to write there is told why it cannot be
        return None


def _is_at(path: Path, number: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except OSError:
        return False

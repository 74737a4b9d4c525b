"""Errors of a file that is being read: they tell its name, whatever went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stylert.runtime.errors import CheckpointError

__all__ = ["reading"]


@contextmanager
def reading(path: str | Path, part: str = "") -> Iterator[None]:
    """A block that reads a file.

    Args:
        path: the file.
        part: what is read of it, such as 'the encoder in '.

    Raises:
        CheckpointError: the file is missing, damaged or unsafe, or does not fit into memory.
    """
    cannot = f"Cannot read {part}{str(path)!r}"
    if "\0" in str(path):  # a ValueError of whatever opens it
        raise CheckpointError(f"{cannot}: its name has a null byte.")
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{cannot}: {error}.") from None
    except OSError as error:
        raise CheckpointError(f"{cannot}: {error.strerror or error}.") from None
    except MemoryError:
        raise CheckpointError(f"{cannot}: it does not fit into memory.") from None

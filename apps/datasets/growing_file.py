"""A file that grows under another name until it is complete, and can be gone on with."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from stylert.apps.datasets.names import partial
from stylert.runtime.files.publishing import naming, sync_folder

__all__ = ["GrowingFile"]


class GrowingFile:
    """Takes bytes at its end. None of them waits in memory to be lost.

    Attributes:
        path: what it is called when it is complete.
        partial: what it is called until then.

    Raises:
        OSError: it cannot be written, or the disk is full; so do its methods.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(partial(path.name))
        self._file = self.partial.open("ab", buffering=0)

    @property
    def size(self) -> int:
        """Its bytes."""
        return os.fstat(self._file.fileno()).st_size

    def fileno(self) -> int:
        """The system's number of the open file."""
        return self._file.fileno()

    def append(self, data: bytes) -> None:
        """Write bytes: all of them, or none."""
        with naming(self.path):
            size, rest = self.size, memoryview(data)
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except BaseException:
                with suppress(OSError):
                    self._file.truncate(size)
                raise

    def cut(self, size: int) -> None:
        """Forget all behind the first bytes."""
        self._file.truncate(size)

    def sync(self) -> None:
        """Bring it to the disk."""
        with naming(self.path):
            os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Give the file its name, on the disk, too; and close it."""
        self.sync()
        with naming(self.path):
            if os.name == "nt":  # renames no open file
                self._file.close()
            self.partial.replace(self.path)
        self._file.close()  # and free: from now on, whoever opens it sees that it is finished
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Let go of the file, to be gone on with."""
        self._file.close()

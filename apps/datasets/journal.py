"""The journal of a shard: its manifest so far. A line says that the image before it is there.

Lines are written after what they tell of. So a process that is killed, at whatever moment, leaves
a journal that claims too little and never too much, and at most the beginning of one more line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from typing_extensions import override

from stylert.apps.datasets.locks import lock_alone
from stylert.apps.datasets.names import partial
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import naming, sync_folder

__all__ = ["GrowingFile", "Journal"]


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


class Journal(GrowingFile):
    """A file of lines that is written under another name until it is complete.

    One process at a time has it open; the system frees it when that process dies.

    Args:
        path: what it is called when it is complete.

    Raises:
        InvalidInput: another process is writing it.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._pending: list[bytes] = []  # lost by `close`
        try:
            lock_alone(self.fileno(), path)
            self._check_unfinished()
        except BaseException:
            self.close()
            raise

    @property
    def pending(self) -> int:
        """Lines that are not written yet."""
        return len(self._pending)

    def lines(self) -> Iterator[bytes]:
        """The whole lines, each with its end; what follows the last one was cut off by a crash.

        Where the machine lost its power, zeros may stand in its place, and lines behind them.
        """
        with self.partial.open("rb") as file:
            for line in file:
                if b"\0" in line or not line.endswith(b"\n"):
                    return
                yield line

    def add(self, line: bytes) -> None:
        """Keep a line for the next `commit`."""
        self._pending.append(line)

    def forget(self) -> None:
        """Drop the lines that were added since the last `commit`."""
        self._pending.clear()

    def commit(self) -> None:
        """Write the lines that were added. What they tell of must be on the disk already."""
        self.append(b"".join(self._pending))
        self._pending.clear()

    @override
    def finish(self) -> None:
        self.commit()
        super().finish()

    def _check_unfinished(self) -> None:
        """Refuse to begin again what another process has finished since the caller looked."""
        if self.path.exists():
            self.partial.unlink(missing_ok=True)
            raise InvalidInput(f"{self.path}: another process has just finished it. Run it again.")

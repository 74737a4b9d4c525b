"""The journal of a shard: its manifest so far. A line says that the image before it is there.

Lines are written after what they tell of. So a process that is killed, at whatever moment, leaves
a journal that claims too little and never too much, and at most the beginning of one more line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from typing_extensions import override

from stylert.apps.datasets.growing_file import GrowingFile
from stylert.apps.datasets.locks import lock_alone
from stylert.runtime.errors import InvalidInput

__all__ = ["Journal"]


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

"""What the reading of one file may cost: steps, and bytes that are copied."""

from __future__ import annotations

from stylert.runtime.errors import CheckpointError

__all__ = ["Budget"]

MAX_OPERATIONS = 1_000_000  # three 1024 px networks take 60,000; a log of each step, more


class Budget:
    """What the reading of one file may cost, all its nested streams together."""

    def __init__(self, *, copied_bytes: int, operations: int = MAX_OPERATIONS) -> None:
        self.copied_bytes = copied_bytes
        self.operations = operations

    def operate(self, count: int = 1) -> None:
        """Count operations, or steps of a loop within one.

        Raises:
            CheckpointError: too many.
        """
        self.operations -= count
        if self.operations < 0:
            raise CheckpointError("the pickle takes more steps than any checkpoint does")

    def copy(self, count: int) -> None:
        """Count bytes that are copied.

        Raises:
            CheckpointError: more than the file can rightly ask for.
        """
        self.copied_bytes -= count
        if self.copied_bytes < 0:
            raise CheckpointError("the pickle claims more data than the file holds")

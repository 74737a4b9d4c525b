"""What stands for the names in a pickle: functions and values of ours; all others are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.runtime.errors import CheckpointError

__all__ = ["Buildable", "Global", "RefusedName"]


@dataclass(frozen=True, eq=False)
class Global:
    """A name that a pickle may use, and what we do where it is used.

    `call` stands for calling it, `new` for making an object of it without arguments.
    With neither it is a mere name, an argument of another one.
    """

    name: str
    call: Callable[..., Any] | None = None
    new: Callable[[], Any] | None = None


_OTHER_TENSORS = "torch._utils._rebuild_"  # quantised, sparse, of 8 bits, without data


class RefusedName(CheckpointError):
    """A pickle uses a name that is not in the list: `name`, with its module."""

    def __init__(self, name: str, place: str = "") -> None:
        why = "it is none of the types in a StyleGAN checkpoint, and could run code"
        if name.startswith(_OTHER_TENSORS):
            why = "it makes no plain tensor; save it as a dense one of float32, on the CPU"
        super().__init__(f"{place}{': ' if place else ''}refuses {quote(name)}: {why}")
        self.name = name


class Buildable:
    """A value of ours that takes the state which a pickle gives it."""

    def build(self, state: Any) -> None:
        """Take the state."""
        raise NotImplementedError

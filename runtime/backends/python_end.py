"""The end of Python, which ends daemon threads where they are: in a backend, that is an abort.

C++ cannot be left so ('terminate called without an active exception'). So the end waits for the
calls that run, and holds back those of other threads.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from stylert.runtime.lifetime import Lifetime

__all__ = ["make_gate"]

_LAST_CALLS = 10.0  # seconds that the end waits for them
_PERIOD = 0.005  # between two looks

_gates: WeakKeyDictionary[Lifetime, tuple[Any, int]] = WeakKeyDictionary()


def make_gate(lifetime: Lifetime) -> AbstractContextManager[Any]:
    """What each call goes through as it begins; at the end, those of the main thread alone."""
    gate = threading.RLock()
    _gates[lifetime] = (gate, os.getpid())
    return gate


@atexit.register
def _close_gates() -> None:
    ours = [(gate, lifetime) for lifetime, (gate, process) in _gates.items() if _is_here(process)]
    for gate, _ in ours:
        gate.acquire()  # and never lets go
    until = time.monotonic() + _LAST_CALLS
    while any(lifetime.calls for _, lifetime in ours) and time.monotonic() < until:
        time.sleep(_PERIOD)


def _is_here(process: int) -> bool:
    """Whether it is this process, and not the one that this one was forked from."""
    return process == os.getpid()

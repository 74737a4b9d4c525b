"""Memory that other libraries' streams may still read when nobody holds it any more.

DLPack tells on which stream a consumer reads, but that stream is only sure to live while it asks
for an array (dmlc/dlpack#57): when the consumer lets go, nothing may be recorded there. So memory
waits here until its reader asks again. Then the stream lives, and an event in it comes after all
that was read.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from stylert.runtime.errors import EngineError

if TYPE_CHECKING:
    from stylert.runtime.backends.cuda.device import Device, Event, Memory

__all__ = ["LateFrees", "Reader", "reader_on"]

_PER_THREAD_STREAM = 2  # its handle; each thread has another one
_MOST = 16  # pieces of memory that wait; more of them are not worth the memory


class Reader(NamedTuple):
    """A stream of another library."""

    stream: int
    thread: int


def reader_on(stream: int) -> Reader:
    """Who reads on a stream, by the handle that the calling thread has for it."""
    return Reader(stream, threading.get_ident() if stream == _PER_THREAD_STREAM else 0)


@dataclass
class _Waiting:
    memory: Memory
    readers: set[Reader]  # that have not been here since it was let go of
    events: list[Event] = field(default_factory=list)  # in the streams of those that have


class LateFrees:
    """The memory of a device that waits for its readers. For several threads.

    Args:
        device: that it is on.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._closed = False
        # Its own methods are the lock: `add` may come in the midst of anything, from `__del__`.
        self._waiting: deque[_Waiting] = deque()

    def add(self, memory: Memory, readers: Iterable[Reader]) -> None:
        """Free memory when all its readers have asked for another array."""
        self._waiting.append(_Waiting(memory, set(readers)))
        if self._closed:
            self._free_all()

    def visit(self, stream: int) -> None:
        """A reader asks for an array on its stream. The device must be active.

        Raises:
            EngineError: the stream is of another context; what it reads waits on.
        """
        if len(self._waiting) > _MOST:
            self._free_all()
        if not self._waiting:
            return
        reader, event = reader_on(stream), self._device.record_on(stream)
        for _ in range(len(self._waiting)):
            waiting = self._take()
            if waiting is None:
                return
            if reader in waiting.readers:
                waiting.readers.discard(reader)
                waiting.events.append(event)
            if waiting.readers:
                self._waiting.append(waiting)
            else:
                self._device.free_after_default_stream(waiting.memory, waiting.events)

    def close(self) -> None:
        """Wait on the host until nobody reads, and free all, now and from now on."""
        self._closed = True
        if self._waiting:
            self._free_all()

    def _free_all(self) -> None:
        taken = [waiting for _ in range(len(self._waiting)) if (waiting := self._take())]
        try:
            with self._device.active():
                self._device.sync()
        except EngineError:  # somebody captures a CUDA graph: let it wait on
            self._waiting.extend(taken)
            return
        for waiting in taken:
            self._device.free_after_default_stream(waiting.memory)

    def _take(self) -> _Waiting | None:
        try:
            return self._waiting.popleft()
        except IndexError:  # another thread was faster
            return None

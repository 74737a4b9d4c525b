"""What the engine runtime needs of a GPU, small enough that a test can put a fake in its place.

Everything is asynchronous and ordered by streams, memory too: it may be used and freed by work on
the stream that it was allocated on. All calls but `active` need the device to be active.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from stylert.runtime.backends.cuda.late_frees import LateFrees

__all__ = ["Device", "Event", "Graph", "HostMemory", "Memory", "Stream"]


class Stream(Protocol):
    """A queue of work on the device. Never the default stream."""

    @property
    def handle(self) -> int:
        """The CUstream."""
        ...

    def sync(self) -> None:
        """Wait on the host until all work is done."""
        ...


class Event(Protocol):
    """A point in a stream's work."""

    def sync(self) -> None:
        """Wait on the host until the work before it is done."""
        ...


class Memory(Protocol):
    """Memory on the device, at least 256-byte aligned."""

    @property
    def pointer(self) -> int:
        """Its address."""
        ...

    def free(self) -> None:
        """Free it once the work on its stream so far is done. Twice is no error."""
        ...


class HostMemory(Protocol):
    """Pinned memory of the host, which the device copies from and to without a detour."""

    @property
    def array(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Its bytes."""
        ...

    @property
    def pointer(self) -> int:
        """Its address."""
        ...

    def free(self) -> None:
        """Free it. Nothing may be using it. Twice is no error."""
        ...


class Graph(Protocol):
    """Captured work, to be launched again and again. It keeps nothing of what it uses alive."""

    def launch(self, stream: Stream) -> None:
        """Queue it."""
        ...

    def free(self) -> None:
        """Free it. It must not be running. Twice is no error."""
        ...


class Device(Protocol):
    """One GPU. Every failure of the driver is an `EngineError` that names the call."""

    @property
    def index(self) -> int:
        """The number that CUDA gives it."""
        ...

    @property
    def name(self) -> str:
        """For instance 'NVIDIA L4'."""
        ...

    @property
    def compute_capability(self) -> tuple[int, int]:
        """Major and minor: (8, 9)."""
        ...

    @property
    def late_frees(self) -> LateFrees:
        """The memory that other libraries may still read."""
        ...

    @property
    def dlpack_device(self) -> tuple[int, int]:
        """DLPack's type of device, and the index."""
        ...

    def active(self) -> AbstractContextManager[None]:
        """Make the device the calling thread's, and give the thread back its own afterwards."""
        ...

    def open_stream(self) -> Stream:
        """A new stream that does not wait for the default stream."""
        ...

    def allocate(self, size: int, stream: Stream) -> Memory:
        """Memory of `size` bytes, not zeroed."""
        ...

    def pinned(self, size: int) -> HostMemory:
        """Host memory of `size` bytes, not zeroed."""
        ...

    def zero(self, memory: Memory, stream: Stream) -> None:
        """Queue the zeroing of all of a memory."""
        ...

    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        """Queue a copy between addresses on the device or of pinned memory."""
        ...

    def record(self, stream: Stream) -> Event:
        """Mark the end of a stream's work so far."""
        ...

    def mark(self, stream: Stream) -> Event:
        """Like `record`, with the time."""
        ...

    def seconds_between(self, start: Event, end: Event) -> float:
        """From one mark to another. Waits on the host until the work before the second is done."""
        ...

    def wait(self, handle: int, event: Event) -> None:
        """Make a stream of any library, by its handle, wait for an event."""
        ...

    def record_on(self, handle: int) -> Event:
        """Mark the end of a stream's work so far, of any library, by its handle."""
        ...

    def free_after_default_stream(self, memory: Memory, events: Sequence[Event] = ()) -> None:
        """Free memory once its own stream's and the default stream's work so far is done.

        Args:
            memory: to be freed. The device need not be active.
            events: must have happened, too.
        """
        ...

    def sync(self) -> None:
        """Wait on the host until all work of all libraries is done."""
        ...

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """Record what `work` queues on the stream, without running it, as a graph.

        Raises:
            EngineError: the work cannot be captured. The stream is usable again.
        """
        ...

    def close(self) -> None:
        """Give unused memory back. What was allocated and not freed stays valid. Twice is fine."""
        ...

"""A device in the host's memory that is as unforgiving as a GPU.

Work is queued and only runs when somebody waits for it, so a buffer that is written too early or
freed too soon shows in the pictures. Freed memory is filled with 0xFF. Copies must stay inside
memory that is allocated. Any call can be told to fail.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from stylert.runtime.backends.cuda.dlpack import CPU
from stylert.runtime.backends.cuda.late_frees import LateFrees
from stylert.runtime.errors import EngineError

LEGACY = 1  # handle of the default stream


class FakeDevice:
    def __init__(
        self,
        *,
        compute_capability: tuple[int, int] = (8, 9),
        dlpack_device: tuple[int, int] = (CPU, 0),
    ) -> None:
        self.index = 0
        self.name = "Fake GPU"
        self.compute_capability = compute_capability
        self.dlpack_device = dlpack_device
        self.calls: Counter[str] = Counter()
        self.failing: dict[str, int] = {}  # call -> how many more of them succeed before one fails
        self.broken: set[str] = set()  # calls that always fail
        self.streams: dict[int, FakeStream] = {}
        self.live: dict[int, np.ndarray] = {}  # memory on the device by address
        self.pinned_live: dict[int, np.ndarray] = {}
        self.keep: list[
            np.ndarray
        ] = []  # nothing is given back: a use after free is seen, not fatal
        self.waits: list[int] = []  # handles of the streams that were made to wait
        self.closed = 0
        self.late_frees = LateFrees(self)
        self.lock = threading.RLock()
        self._active = threading.local()
        self._handles = itertools.count(0x1000, 0x10)
        self.default_stream = FakeStream(self, LEGACY)
        self.streams[LEGACY] = self.default_stream
        self.releases = FakeStream(self, 2)

    @contextmanager
    def active(self) -> Iterator[None]:
        depth = getattr(self._active, "depth", 0)
        self._active.depth = depth + 1
        try:
            yield
        finally:
            self._active.depth = depth

    @property
    def is_active(self) -> bool:
        return bool(getattr(self._active, "depth", 0))

    def open_stream(self) -> FakeStream:
        self.call("open_stream")
        stream = FakeStream(self, next(self._handles))
        self.streams[stream.handle] = stream
        return stream

    def allocate(self, size: int, stream: FakeStream) -> FakeMemory:
        self.call("allocate")
        stream.refuse_in_capture("allocate")
        return FakeMemory(self, self._new(size, self.live), stream)

    def pinned(self, size: int) -> FakePinned:
        self.call("pinned")
        return FakePinned(self, self._new(size, self.pinned_live))

    def zero(self, memory: FakeMemory, stream: FakeStream) -> None:
        self.call("zero")
        stream.queue(lambda: memory.array.fill(0))

    def copy(self, target: int, source: int, size: int, stream: FakeStream) -> None:
        self.call("copy")
        to, origin = self.view(target, size), self.view(source, size)

        def run() -> None:
            to[:] = origin

        stream.queue(run)

    def record(self, stream: FakeStream) -> FakeEvent:
        self.call("record")
        stream.refuse_in_capture("record")
        return FakeEvent(stream, stream.queued)

    def mark(self, stream: FakeStream) -> FakeEvent:
        self.call("mark")
        stream.refuse_in_capture("mark")
        return FakeEvent(stream, stream.queued)

    def seconds_between(self, start: FakeEvent, end: FakeEvent) -> float:
        """A millisecond for each piece of work between the two."""
        self.call("seconds_between")
        assert start.stream is end.stream
        return (end.position - start.position) * 1e-3

    def wait(self, handle: int, event: FakeEvent) -> None:
        self.call("wait")
        self.waits.append(handle)
        self.streams[handle].queue(event.run)

    def record_on(self, handle: int) -> FakeEvent:
        self.call("record_on")
        return FakeEvent(self.streams[handle], self.streams[handle].queued)

    def free_after_default_stream(
        self, memory: FakeMemory, events: Sequence[FakeEvent] = ()
    ) -> None:
        with self.active():
            for stream in (memory.stream, self.default_stream):
                self.releases.queue(self.record(stream).run)
            for event in events:
                self.releases.queue(event.run)
            memory.stream = self.releases
            memory.free()

    def capture(self, stream: FakeStream, work: Callable[[], None]) -> FakeGraph:
        self.call("capture")
        assert stream.captured is None
        stream.captured = []
        stream.invalid = ""
        try:
            work()
            self.call("end_capture")
            if stream.invalid:
                raise EngineError(f"CUDA: capturing a CUDA graph failed ({stream.invalid}).")
            return FakeGraph(self, stream.captured)
        finally:
            stream.captured = None

    def sync(self) -> None:
        self.call("sync_all")
        self.finish()

    def close(self) -> None:
        self.closed += 1
        self.late_frees.close()

    def finish(self) -> None:
        """Let all work come to its end."""
        for stream in (*self.streams.values(), self.releases):
            stream.run_until(stream.queued)

    def call(self, name: str) -> None:
        """Count a call, and fail it if it was told to."""
        with self.lock:
            assert self.is_active, f"{name}: the device is not active"
            self.calls[name] += 1
            if name in self.broken:
                raise EngineError(f"CUDA: {name} returned CUDA_ERROR_UNKNOWN.")
            if name in self.failing:
                self.failing[name] -= 1
                if self.failing[name] < 0:
                    del self.failing[name]
                    raise EngineError(f"CUDA: {name} returned CUDA_ERROR_UNKNOWN.")

    def view(self, pointer: int, size: int) -> np.ndarray:
        """Bytes at an address, which must lie in memory that is allocated."""
        with self.lock:
            for blocks in (self.live, self.pinned_live):
                for start, array in blocks.items():
                    if start <= pointer and pointer + size <= start + len(array):
                        return array[pointer - start : pointer - start + size]
        raise AssertionError(f"{size} bytes at {pointer:#x} are not allocated")

    def _new(self, size: int, blocks: dict[int, np.ndarray]) -> np.ndarray:
        array = np.full(size + 256, 0xFF, np.uint8)  # uninitialised: NaN
        start = -array.ctypes.data % 256
        array = array[start : start + size]
        with self.lock:
            self.keep.append(array)
            blocks[array.ctypes.data] = array
        return array


class FakeStream:
    def __init__(self, device: FakeDevice, handle: int) -> None:
        self.device = device
        self.handle = handle
        self.queued = 0  # how much was ever queued
        self.done = 0
        self.pending: list[Callable[[], None]] = []
        self.captured: list[Callable[[], None]] | None = None
        self.invalid = ""

    def queue(self, run: Callable[[], None]) -> None:
        with self.device.lock:
            if self.captured is not None:
                self.captured.append(run)
            else:
                self.pending.append(run)
                self.queued += 1

    def refuse_in_capture(self, what: str) -> None:
        if self.captured is not None:
            self.invalid = f"{what} while capturing"
            raise EngineError(f"CUDA: {what} returned CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED.")

    def sync(self) -> None:
        self.device.call("sync")
        self.refuse_in_capture("sync")
        self.run_until(self.queued)

    def run_until(self, position: int) -> None:
        with self.device.lock:
            while self.done < position:
                run = self.pending.pop(0)
                self.done += 1
                run()


class FakeEvent:
    def __init__(self, stream: FakeStream, position: int) -> None:
        self.stream = stream
        self.position = position

    def run(self) -> None:
        self.stream.run_until(self.position)

    def sync(self) -> None:
        self.stream.device.call("event_sync")
        self.run()


class FakeMemory:
    def __init__(self, device: FakeDevice, array: np.ndarray, stream: FakeStream) -> None:
        self.device = device
        self.array = array
        self.stream = stream
        self.pointer = array.ctypes.data
        self.freed = False

    def free(self) -> None:
        if not self.freed:
            self.freed = True
            self.device.live.pop(self.pointer)
            self.stream.queue(lambda: self.array.fill(0xFF))


class FakePinned:
    def __init__(self, device: FakeDevice, array: np.ndarray) -> None:
        self.device = device
        self.array = array
        self.pointer = array.ctypes.data
        self.freed = False

    def free(self) -> None:
        if not self.freed:
            self.freed = True
            self.device.pinned_live.pop(self.pointer)
            self.array.fill(0xFF)


class FakeGraph:
    def __init__(self, device: FakeDevice, work: list[Callable[[], None]]) -> None:
        self.device = device
        self.work = work
        self.freed = False

    def launch(self, stream: FakeStream) -> None:
        self.device.call("launch")
        assert not self.freed
        for run in self.work:
            stream.queue(run)

    def free(self) -> None:
        self.freed = True


def bytes_at(pointer: int, size: int) -> Any:
    """Memory of this process as an array."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(pointer))

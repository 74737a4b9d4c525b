"""An NVIDIA GPU through cuda-core and cuda-bindings, without torch. Tests put a fake in its place.

Everything is asynchronous and ordered by streams, memory too: it may be used and freed by work on
the stream that it was allocated on. All calls but `active` need the device to be active. Every
failure of the driver is an `EngineError` that names the call.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from stylert.runtime.backends.cuda.dlpack import CUDA, sweep_capsules
from stylert.runtime.backends.cuda.late_frees import LateFrees
from stylert.runtime.errors import EngineError, StylertError
from stylert.runtime.machine import visible_gpus
from stylert.runtime.packages import import_extra, installed_version

__all__ = ["Device", "Event", "Graph", "HostMemory", "Memory", "Stream", "open_device"]


def open_device(index: int = 0) -> Device:
    """A GPU. Where the machine has none, that is what is told, and not what else it lacks.

    Raises:
        MissingExtra: cuda-core or cuda-bindings is not installed, is too old, or does not load.
        EngineError: there is no driver or no such GPU.
    """
    try:
        return Device(index)
    except StylertError:
        if visible_gpus():
            raise
        raise EngineError(
            "This needs an NVIDIA GPU, and this machine shows none. If it has one, see why "
            "nvidia-smi does not list it, or CUDA_VISIBLE_DEVICES hides it; else pass "
            "backend='onnxruntime'."
        ) from None


class Device:
    """One NVIDIA GPU (CUDA_VISIBLE_DEVICES applies to the index).

    Its memory comes from a stream-ordered pool of its own, which keeps what was freed for the next
    pictures; `close` gives it back to other libraries of the process.

    Attributes:
        index: the number that CUDA gives it.
        name: for instance 'NVIDIA L4'.
        compute_capability: major and minor: (8, 9).
        dlpack_device: DLPack's type of device, and the index.
        late_frees: the memory that other libraries may still read.

    Raises:
        MissingExtra: cuda-core or cuda-bindings is not installed, is too old, or does not load.
        EngineError: there is no driver or no such GPU.
    """

    def __init__(self, index: int = 0) -> None:
        self._driver, self._cuda = _import_cuda()
        self.index = index
        with _failing(f"opening GPU {index}", "Run 'stylert doctor' to see what is missing."):
            self.driver_call("cuInit", 0)
            before = self.driver_call("cuCtxGetCurrent")
            try:
                self._device = self._cuda.Device(index)
                self._device.set_current()
                self._context = self.driver_call("cuCtxGetCurrent")
                capability = self._device.compute_capability
                self.name = str(self._device.name)
                self.compute_capability = (int(capability[0]), int(capability[1]))
                self._pool = self._open_pool()
                options = self._cuda.StreamOptions(nonblocking=True)
                self._releases: Any = self._device.create_stream(options=options)
            finally:
                self.driver_call("cuCtxSetCurrent", before)
        self.dlpack_device = (CUDA, index)
        self.late_frees = LateFrees(self)

    def _open_pool(self) -> Any:
        pool = self._cuda.DeviceMemoryResource(
            self._device, self._cuda.DeviceMemoryResourceOptions()
        )
        # By default a pool unmaps all that is unused whenever anybody waits for the GPU.
        threshold = self._driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
        everything = self._driver.cuuint64_t(2**64 - 1)
        self.driver_call("cuMemPoolSetAttribute", pool.handle, threshold, everything)
        return pool

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the GPU the calling thread's, and give the thread back its own afterwards."""
        self.driver_call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self.driver_call("cuCtxPopCurrent")

    def open_stream(self) -> Stream:
        """A new stream that does not wait for the default stream."""
        with _failing("creating a stream"):
            options = self._cuda.StreamOptions(nonblocking=True)
            return Stream(self._device.create_stream(options=options))

    def allocate(self, size: int, stream: Stream) -> Memory:
        """Memory of `size` bytes, not zeroed."""
        with _failing(f"allocating {size} bytes"):
            return Memory(self._pool.allocate(size, stream=stream.stream), stream.stream)

    def pinned(self, size: int) -> HostMemory:
        """Host memory of `size` bytes, not zeroed."""
        # Not cuda-core's resource: it waits for a stream whenever it frees.
        return HostMemory(self, size)

    def zero(self, memory: Memory, stream: Stream) -> None:
        """Queue the zeroing of all of a memory."""
        with _failing("zeroing memory"):
            memory.buffer.fill(0, stream=stream.stream)

    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        """Queue a copy between addresses on the device or of pinned memory."""
        self.driver_call("cuMemcpyAsync", target, source, size, stream.handle)

    def record(self, stream: Stream) -> Event:
        """Mark the end of a stream's work so far."""
        with _failing("recording an event"):
            return Event(stream.stream.record())

    def mark(self, stream: Stream) -> Event:
        """Like `record`, with the time."""
        with _failing("recording an event"):
            options = self._cuda.EventOptions(timing_enabled=True)
            return Event(stream.stream.record(options=options))

    def seconds_between(self, start: Event, end: Event) -> float:
        """From one mark to another. Waits on the host until the work before the second is done."""
        end.sync()
        with _failing("reading the time of an event"):
            return float(end.event - start.event) * 1e-3  # cuda-core gives milliseconds

    def wait(self, handle: int, event: Event) -> None:
        """Make a stream of any library, by its handle, wait for an event."""
        self.driver_call("cuStreamWaitEvent", handle, event.event.handle, 0)

    def record_on(self, handle: int) -> Event:
        """Mark the end of a stream's work so far, of any library, by its handle."""
        with _failing("creating an event"):
            event = Event(self._device.create_event())
        self.driver_call("cuEventRecord", event.event.handle, handle)
        return event

    def free_after_default_stream(self, memory: Memory, events: Sequence[Event] = ()) -> None:
        """Free memory once its own stream's and the default stream's work so far is done.

        Args:
            memory: to be freed. The device need not be active.
            events: must have happened, too.
        """
        with self.active(), _failing("freeing memory"):
            # On a stream of its own: nobody else shall wait for the default stream.
            self._releases.wait(memory.stream.record())
            self._releases.wait(self._cuda.LEGACY_DEFAULT_STREAM.record())
            for event in events:
                self.wait(int(self._releases.handle), event)
            memory.free(self._releases)

    def sync(self) -> None:
        """Wait on the host until all work of all libraries is done."""
        self.driver_call("cuCtxSynchronize")

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """Record what `work` queues on the stream, without running it, as a graph.

        Raises:
            EngineError: the work cannot be captured. The stream is usable again.
        """
        # Not with cuda-core's GraphBuilder: one that failed ends a capture of its stream once more
        # when it is collected, which may be another one.
        local = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self.driver_call("cuStreamBeginCapture", stream.handle, local)  # other threads go on
        try:
            work()
        except BaseException:
            with contextlib.suppress(EngineError):  # the first error is the one to tell
                graph = self.driver_call("cuStreamEndCapture", stream.handle)
                self.driver_call("cuGraphDestroy", graph)
            raise
        graph = self.driver_call("cuStreamEndCapture", stream.handle)
        try:
            executable = self.driver_call("cuGraphInstantiate", graph, 0)
        finally:
            self.driver_call("cuGraphDestroy", graph)
        captured = Graph(self, executable)
        self.driver_call("cuGraphUpload", executable, stream.handle)
        return captured

    def close(self) -> None:
        """Give unused memory back. What was allocated and not freed stays valid. Twice is fine.

        It waits on the host for streams of other libraries that may still read what was let go of.
        """
        sweep_capsules()
        self.late_frees.close()
        with _failing("closing the memory pool"):
            self._pool.close()

    def driver_call(self, call: str, *arguments: Any) -> Any:
        """The value that a call of the CUDA driver gives, if it gives one."""
        status, *values = getattr(self._driver, call)(*arguments)
        if int(status) != 0:
            raise EngineError(
                f"CUDA: {call} returned {getattr(status, 'name', status)}, expected CUDA_SUCCESS."
            )
        return values[0] if values else None


class Stream:
    """A queue of work on the device. Never the default stream.

    Attributes:
        handle: the CUstream.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream  # of cuda.core
        self.handle = int(stream.handle)

    def sync(self) -> None:
        """Wait on the host until all work is done."""
        with _failing("running on the GPU"):
            self.stream.sync()


class Event:
    """A point in a stream's work."""

    def __init__(self, event: Any) -> None:
        self.event = event  # of cuda.core

    def sync(self) -> None:
        """Wait on the host until the work before it is done."""
        with _failing("running on the GPU"):
            self.event.sync()


class Memory:
    """Memory on the device, at least 256-byte aligned, and its address, the `pointer`."""

    def __init__(self, buffer: Any, stream: Any) -> None:
        self.buffer = buffer
        self.stream = stream
        self.pointer = int(buffer.handle)
        self._freed = False

    def free(self, stream: Any = None) -> None:
        """Free it once the work on its stream so far is done. Twice is no error."""
        if not self._freed:
            self._freed = True
            with _failing("freeing memory"):
                self.buffer.close(self.stream if stream is None else stream)


class HostMemory:
    """Pinned memory of the host, which the device copies from and to without a detour.

    Attributes:
        array: its bytes.
        pointer: its address.
    """

    def __init__(self, device: Device, size: int) -> None:
        self._device = device
        self._freed = True
        self.pointer = int(device.driver_call("cuMemAllocHost", size))
        self._freed = False
        memory = (ctypes.c_uint8 * size).from_address(self.pointer)
        self.array: np.ndarray[Any, np.dtype[np.uint8]] = np.ctypeslib.as_array(memory)

    def free(self) -> None:
        """Free it. Nothing may be using it. Twice is no error."""
        if not self._freed:
            self._freed = True
            self._device.driver_call("cuMemFreeHost", self.pointer)

    def __del__(self) -> None:
        # At the end of the process the driver may be gone.
        with contextlib.suppress(Exception), self._device.active():
            self.free()


class Graph:
    """Captured work, to be launched again and again. It keeps nothing of what it uses alive."""

    def __init__(self, device: Device, executable: Any) -> None:
        self._device = device
        self._executable = executable

    def launch(self, stream: Stream) -> None:
        """Queue it."""
        self._device.driver_call("cuGraphLaunch", self._executable, stream.handle)

    def free(self) -> None:
        """Free it. It must not be running. Twice is no error."""
        if self._executable is not None:
            executable, self._executable = self._executable, None
            self._device.driver_call("cuGraphExecDestroy", executable)

    def __del__(self) -> None:
        with contextlib.suppress(Exception), self._device.active():
            self.free()


def _import_cuda() -> tuple[Any, Any]:
    """The driver of cuda-bindings, and cuda.core."""
    # Beside [rtx] there may be [cpu], whose ONNX Runtime would collide with that of [gpu].
    gpu = installed_version("onnxruntime-gpu", "tensorrt") or not installed_version("tensorrt-rtx")
    extra = "gpu" if gpu else "rtx"
    driver = import_extra("cuda.bindings.driver", "cuda-bindings", extra=extra)
    return driver, import_extra("cuda.core", "cuda-core", extra=extra)  # it imports the driver


@contextmanager
def _failing(doing: str, remedy: str = "") -> Iterator[None]:
    """Turns what cuda-core raises into an error of ours, of one line."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:  # CUDAError has no public name; no driver is a RuntimeError
        reason = " ".join(str(error).split())[:300]
        raise EngineError(f"CUDA: {doing} failed ({reason}). {remedy}".rstrip()) from error

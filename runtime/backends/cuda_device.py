"""The real `Device`: an NVIDIA GPU through cuda-core and cuda-bindings, without torch."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from stylert.runtime.backends.device import Event, Memory, Stream
from stylert.runtime.backends.dlpack import CUDA
from stylert.runtime.errors import EngineError, MissingExtra

__all__ = ["CudaDevice"]


class CudaDevice:
    """One NVIDIA GPU (CUDA_VISIBLE_DEVICES applies to the index).

    Its memory comes from a stream-ordered pool of its own, so that `close` gives it back to other
    libraries of the process.

    Raises:
        MissingExtra: cuda-core is not installed.
        EngineError: there is no driver or no such GPU.
    """

    def __init__(self, index: int = 0) -> None:
        try:
            import cuda.core
            from cuda.bindings import driver
        except ImportError:
            raise MissingExtra(
                "cuda-core is not installed. Install it: pip install 'stylert[gpu]'"
            ) from None
        self._cuda: Any = cuda.core
        self._driver: Any = driver
        self.index = index
        with _failing(f"opening GPU {index}", "Run 'stylert doctor' to see what is missing."):
            self._check("cuInit", driver.cuInit(0))
            before = self._check("cuCtxGetCurrent", driver.cuCtxGetCurrent())
            try:
                self._device = cuda.core.Device(index)
                self._device.set_current()
                self._context = self._check("cuCtxGetCurrent", driver.cuCtxGetCurrent())
                capability = self._device.compute_capability
                self.name = str(self._device.name)
                self.compute_capability = (int(capability[0]), int(capability[1]))
                self._pinned: Any = cuda.core.LegacyPinnedMemoryResource()
                self._pool: Any = cuda.core.DeviceMemoryResource(
                    self._device, cuda.core.DeviceMemoryResourceOptions()
                )
                options = cuda.core.StreamOptions(nonblocking=True)
                self._releases: Any = self._device.create_stream(options=options)
            finally:
                self._check("cuCtxSetCurrent", driver.cuCtxSetCurrent(before))
        self.dlpack_device = (CUDA, index)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the GPU the calling thread's, and give the thread back its own afterwards."""
        self._check("cuCtxPushCurrent", self._driver.cuCtxPushCurrent(self._context))
        try:
            yield
        finally:
            self._check("cuCtxPopCurrent", self._driver.cuCtxPopCurrent())

    def open_stream(self) -> _CudaStream:
        """A new stream that does not wait for the default stream."""
        with _failing("creating a stream"):
            options = self._cuda.StreamOptions(nonblocking=True)
            return _CudaStream(self._device.create_stream(options=options))

    def allocate(self, size: int, stream: Stream) -> _CudaMemory:
        """Memory of `size` bytes, not zeroed."""
        with _failing(f"allocating {size} bytes"):
            return _CudaMemory(self._pool.allocate(size, stream=_of(stream)), _of(stream))

    def pinned(self, size: int) -> _PinnedMemory:
        """Host memory of `size` bytes, not zeroed."""
        with _failing(f"allocating {size} bytes of pinned host memory"):
            return _PinnedMemory(self._pinned.allocate(size), size)

    def zero(self, memory: Memory, stream: Stream) -> None:
        """Queue the zeroing of all of a memory."""
        assert isinstance(memory, _CudaMemory)
        with _failing("zeroing memory"):
            memory.buffer.fill(0, stream=_of(stream))

    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        """Queue a copy between addresses on the device or of pinned memory."""
        status = self._driver.cuMemcpyAsync(target, source, size, stream.handle)
        self._check("cuMemcpyAsync", status)

    def record(self, stream: Stream) -> _CudaEvent:
        """Mark the end of a stream's work so far."""
        with _failing("recording an event"):
            return _CudaEvent(_of(stream).record())

    def wait(self, handle: int, event: Event) -> None:
        """Make a stream of any library, by its handle, wait for an event."""
        assert isinstance(event, _CudaEvent)
        status = self._driver.cuStreamWaitEvent(handle, event.event.handle, 0)
        self._check("cuStreamWaitEvent", status)

    def free_after_default_stream(self, memory: Memory) -> None:
        """Free memory once its own stream's and the default stream's work so far is done."""
        assert isinstance(memory, _CudaMemory)
        with self.active(), _failing("freeing memory"):
            # On a stream of its own: nobody else shall wait for the default stream.
            self._releases.wait(memory.stream.record())
            self._releases.wait(self._cuda.LEGACY_DEFAULT_STREAM.record())
            memory.buffer.close(self._releases)

    def capture(self, stream: Stream, work: Callable[[], None]) -> _CudaGraph:
        """Record what `work` queues on the stream, without running it, as a graph."""
        with _failing("capturing a CUDA graph"):
            builder = _of(stream).create_graph_builder()
            try:
                builder.begin_building("thread_local")  # other threads may go on using CUDA
                try:
                    work()
                except BaseException:
                    with contextlib.suppress(Exception):  # the first error is the one to tell
                        builder.end_building()
                    raise
                builder.end_building()
                graph = builder.complete()
                graph.upload(_of(stream))
            finally:
                with contextlib.suppress(Exception):
                    builder.close()
        return _CudaGraph(graph)

    def close(self) -> None:
        """Give unused memory back. What was allocated and not freed stays valid."""
        with _failing("closing the memory pool"):
            self._pool.close()

    def _check(self, call: str, returned: tuple[Any, ...]) -> Any:
        """The value that a driver call gave, if it gave one."""
        status = returned[0]
        if int(status) != 0:
            raise EngineError(
                f"CUDA: {call} returned {getattr(status, 'name', status)}, expected CUDA_SUCCESS."
            )
        return returned[1] if len(returned) > 1 else None


class _CudaStream:
    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.handle = int(stream.handle)

    def sync(self) -> None:
        with _failing("running on the GPU"):
            self.stream.sync()


class _CudaEvent:
    def __init__(self, event: Any) -> None:
        self.event = event

    def sync(self) -> None:
        with _failing("running on the GPU"):
            self.event.sync()


class _CudaMemory:
    def __init__(self, buffer: Any, stream: Any) -> None:
        self.buffer = buffer
        self.stream = stream
        self.pointer = int(buffer.handle)

    def free(self) -> None:
        if not self.buffer.is_closed:
            with _failing("freeing memory"):
                self.buffer.close(self.stream)


class _PinnedMemory:
    def __init__(self, buffer: Any, size: int) -> None:
        self._buffer = buffer
        self.pointer = int(buffer.handle)
        memory = (ctypes.c_uint8 * size).from_address(self.pointer)
        self.array: np.ndarray[Any, np.dtype[np.uint8]] = np.ctypeslib.as_array(memory)

    def free(self) -> None:
        if not self._buffer.is_closed:
            with _failing("freeing pinned host memory"):
                self._buffer.close()


class _CudaGraph:
    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def launch(self, stream: Stream) -> None:
        with _failing("launching a CUDA graph"):
            self._graph.launch(_of(stream))

    def free(self) -> None:
        with _failing("freeing a CUDA graph"):
            self._graph.close()


def _of(stream: Stream) -> Any:
    """The stream of cuda.core."""
    assert isinstance(stream, _CudaStream)
    return stream.stream


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

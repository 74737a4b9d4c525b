"""`DeviceArray`: a batch of images that stays on the GPU, for torch, CuPy or JAX to take over."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from stylert.runtime.backends.cuda.device import Device, Event, Memory, Stream
from stylert.runtime.backends.cuda.dlpack import CPU, CUDA, make_capsule, sweep_capsules
from stylert.runtime.backends.cuda.late_frees import Reader, reader_on
from stylert.runtime.errors import EngineError

__all__ = ["DeviceArray"]

_LEGACY_STREAM = 1  # what DLPack's stream None means on CUDA
_UNSAID: Any = object()


class DeviceArray:
    """An array in the GPU's memory, C-contiguous, of its own: no later call writes to it.

        tensor = torch.from_dlpack(array)      # no copy; waits on the GPU, not on the host
        tensor = torch.as_tensor(array, device="cuda")  # no copy; __cuda_array_interface__

    The memory is freed when the array and all who took it over are gone, after the work that the
    default stream has by then. Where DLPack gave it to another stream, it is freed after that
    stream's work, too, when that stream takes the next array, or the generator is closed. Who reads
    it on a stream that DLPack was not told of keeps the array until that work is done: with
    `__cuda_array_interface__`, `stream=-1`, or one stream for the array and another for the work.

    Attributes:
        pointer: address of the first element.
        shape: the sizes.
        dtype: of the elements.
        stream: handle of the stream that fills it.
        ready: when it is filled.
    """

    def __init__(
        self,
        device: Device,
        memory: Memory,
        stream: Stream,
        ready: Event,
        *,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self._device = device
        self._owner = _Owner(device, memory)
        self._producer = stream
        self.ready = ready
        self.pointer = memory.pointer
        self.shape = shape
        self.dtype = dtype
        self.stream = stream.handle

    @classmethod
    def copy_of(
        cls,
        device: Device,
        source: int,
        stream: Stream,
        *,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> DeviceArray:
        """A copy of memory on the device, queued on `stream`. The device must be active."""
        size = math.prod(shape) * dtype.itemsize
        memory = device.allocate(size, stream)
        try:
            device.copy(memory.pointer, source, size, stream)
            ready = device.record(stream)
        except BaseException:
            memory.free()
            raise
        return cls(device, memory, stream, ready, shape=shape, dtype=dtype)

    @classmethod
    def joined(cls, parts: Iterable[DeviceArray], rows: int) -> DeviceArray:
        """One array of `rows` rows: the parts, which share a stream, copied one below the other.

        A part is let go of as soon as its copy is queued, so that two of them are the most that
        lies in memory beside the result.
        """
        memory, filled = None, 0
        try:
            for part in parts:
                device, stream = part._device, part._producer
                with device.active():
                    if memory is None:
                        memory = device.allocate(part.nbytes // len(part) * rows, stream)
                    device.copy(memory.pointer + filled, part.pointer, part.nbytes, stream)
                filled += part.nbytes
            assert memory is not None
            with device.active():
                ready = device.record(stream)
        except BaseException:
            if memory is not None:
                with device.active():
                    memory.free()
            raise
        shape = (rows, *part.shape[1:])
        return cls(device, memory, stream, ready, shape=shape, dtype=part.dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<DeviceArray {self.dtype} {self.shape} on {self._device.name}>"

    def numpy(self) -> np.ndarray:
        """A copy on the host."""
        with self._device.active():
            staging = self._device.pinned(self.nbytes)
            try:
                self._device.copy(staging.pointer, self.pointer, self.nbytes, self._producer)
                self._device.record(self._producer).sync()
                return staging.array.view(self.dtype).reshape(self.shape).copy()
            finally:
                staging.free()

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise TypeError("DeviceArray: it is on the GPU; its numpy() is a copy on the host.")

    def copy(self) -> DeviceArray:
        """A copy on the device."""
        with self._device.active():
            return self.copy_of(
                self._device, self.pointer, self._producer, shape=self.shape, dtype=self.dtype
            )

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device.dlpack_device

    def __dlpack__(
        self,
        *,
        stream: int | None = _UNSAID,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule of this memory; the consumer's stream waits until it is filled.

        Args:
            stream: handle of the consumer's stream, None or 1 = the default one, -1 = no waiting.
                Not given, None is meant, but for who gives `max_version`: that is NumPy, which
                would refuse the capsule.
            max_version: the newest DLPack that the consumer reads, None = before 1.0.
            dl_device: where the consumer wants it, None = here; the CPU is a copy.
            copy: True = always a copy, False = never one, None = where it must be.

        Raises:
            BufferError: it cannot be given that way.
        """
        versioned = max_version is not None and max_version[0] >= 1
        if stream is _UNSAID:
            stream = None
            if max_version is not None and self._is_out_of_reach(dl_device):
                raise BufferError(
                    "DLPack: the array is on the GPU; its numpy() is a copy on the host."
                )
        if dl_device is not None and tuple(dl_device) != self._device.dlpack_device:
            if dl_device[0] != CPU or copy is False:
                raise BufferError(
                    f"DLPack: the array is on device {self._device.dlpack_device}, got a request "
                    f"for {tuple(dl_device)} with copy={copy}."
                )
            array = self.numpy()
            return make_capsule(
                array.ctypes.data,
                self.shape,
                self.dtype,
                device=(CPU, 0),
                owner=array,
                versioned=versioned,
                copied=True,
            )
        source = self.copy() if copy else self
        source._make_wait(stream)
        return make_capsule(
            source.pointer,
            source.shape,
            source.dtype,
            device=self._device.dlpack_device,
            owner=source._owner,
            versioned=versioned,
            copied=bool(copy),
        )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3. It waits on the host: torch ignores the interface's stream."""
        if self._device.dlpack_device[0] != CUDA:
            raise AttributeError("__cuda_array_interface__: this device is not CUDA")
        with self._device.active():
            self.ready.sync()
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "strides": None,
            "stream": None,  # it is filled: nobody has to wait
        }

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the end of the process
            sweep_capsules()  # or one that nobody took would keep the memory

    def _is_out_of_reach(self, dl_device: tuple[int, int] | None) -> bool:
        """Whether a consumer that knows no streams gets memory which it cannot read."""
        here = self._device.dlpack_device
        return here[0] == CUDA and (dl_device is None or tuple(dl_device) == here)

    def _make_wait(self, stream: int | None) -> None:
        if stream == -1:
            return
        with self._device.active():
            if self._device.dlpack_device[0] == CPU:
                if stream is not None:
                    raise BufferError(f"DLPack: got stream {stream} on the CPU, expected None.")
                self.ready.sync()
            elif stream == 0:  # by the standard: it could mean two different streams
                raise BufferError("DLPack: got stream 0, expected None, 1, 2 or a handle.")
            else:
                self._device.wait(_LEGACY_STREAM if stream is None else stream, self.ready)
                if stream not in (None, _LEGACY_STREAM):
                    self._owner.readers.add(reader_on(stream))
                    with contextlib.suppress(EngineError):  # it is of another context
                        self._device.late_frees.visit(stream)


class _Owner:
    """Frees the memory when the last one lets go of it."""

    def __init__(self, device: Device, memory: Memory) -> None:
        self._device = device
        self._memory = memory
        self.readers: set[Reader] = set()  # on streams that are not the default one

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the end of the process the driver may be gone
            if self.readers:
                self._device.late_frees.add(self._memory, self.readers)
            else:
                self._device.free_after_default_stream(self._memory)

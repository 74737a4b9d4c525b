"""Outputs of ONNX Runtime in GPU memory of ours, by IO binding.

In its own memory they would be unsafe to hand on: ONNX Runtime gives it to its next run as soon as
an array is let go of, whatever another library's stream still reads there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from stylert.runtime.backends.cuda.device import Device, Memory
from stylert.runtime.backends.cuda.device_array import DeviceArray
from stylert.runtime.backends.cuda.dlpack import CPU, CUDA
from stylert.runtime.bundle import TensorSpec

__all__ = ["BoundOutputs"]

_DEVICE_TYPES = {CPU: "cpu", CUDA: "cuda"}  # as ONNX Runtime calls them


class BoundOutputs:
    """Runs a session of ONNX Runtime into arrays that stay on the GPU.

    Args:
        device: the GPU that the session runs on.
        specs: the session's outputs.
    """

    def __init__(self, device: Device, specs: Sequence[TensorSpec]) -> None:
        self._device = device
        self._specs = {spec.name: spec for spec in specs}
        with device.active():
            self._stream = device.open_stream()

    def run(
        self, session: Any, feeds: Mapping[str, np.ndarray], outputs: Sequence[str], batch: int
    ) -> list[DeviceArray]:
        """Run it on inputs of the host, and wait until it is done.

        Args:
            session: an `onnxruntime.InferenceSession`.
            feeds: the inputs by name.
            outputs: the names of those that are wanted.
            batch: images in the feeds.
        """
        kind, index = self._device.dlpack_device
        binding = session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        bound: list[tuple[Memory, tuple[int, ...], np.dtype[Any]]] = []
        with self._device.active(), ExitStack() as on_failure:
            for name in outputs:
                spec = self._specs[name]
                dtype = np.dtype(spec.dtype)
                shape = (batch, *(int(size) for size in spec.shape[1:]))
                memory = self._device.allocate(math.prod(shape) * dtype.itemsize, self._stream)
                on_failure.callback(memory.free)
                binding.bind_output(
                    name, _DEVICE_TYPES[kind], index, dtype.type, shape, memory.pointer
                )
                bound.append((memory, shape, dtype))
            self._stream.sync()  # ONNX Runtime's stream may use the memory from here on
            session.run_with_iobinding(binding)  # returns when its stream is done
            ready = self._device.record(self._stream)
            on_failure.pop_all()
        return [
            DeviceArray(self._device, memory, self._stream, ready, shape=shape, dtype=dtype)
            for memory, shape, dtype in bound
        ]

    def close(self) -> None:
        """Give unused memory back; arrays that are still held stay valid."""
        self._device.close()

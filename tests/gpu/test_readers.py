"""Arrays on the GPU, read by other libraries on streams of their own.

A reader here is slow, and its array is let go of while it reads: the memory must not be given to
the next arrays before it is done.
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from stylert.runtime.backends.cuda.device import Device
from stylert.runtime.backends.cuda.device_array import DeviceArray
from stylert.runtime.backends.cuda.dlpack import exported_count

pytestmark = pytest.mark.gpu("cuda")

SHAPE = (4, 512, 512, 3)
TURNS = 12
SLOW = 20_000_000  # cycles: some 10 ms
MakeArray = Callable[[int], DeviceArray]


@pytest.fixture
def device() -> Iterator[Device]:
    opened = Device()
    yield opened
    opened.close()


@pytest.fixture
def make_array(device: Device) -> MakeArray:
    """Makes an array that is full of one number, while the GPU is at work."""
    with device.active():
        stream = device.open_stream()
        staging = device.pinned(int(np.prod(SHAPE)) * 4)

    def make(value: int) -> DeviceArray:
        with device.active():
            stream.sync()
            staging.array.view(np.float32)[:] = value
            return DeviceArray.copy_of(
                device, staging.pointer, stream, shape=SHAPE, dtype=np.dtype(np.float32)
            )

    return make


def read_all(make_array: MakeArray, read: Callable[[DeviceArray], Callable[[], Any]]) -> None:
    """Read a few arrays, each let go of at once; look at what was read when all is queued.

    Args:
        read: queues the reading of one, and gives what brings the result to the host.
    """
    results = []
    for value in range(1, TURNS + 1):
        results.append(read(make_array(value)))
        gc.collect()
    for value, result in enumerate(results, 1):
        assert np.unique(np.asarray(result())).tolist() == [value]
    for _ in range(200):  # JAX lets go on a thread of its own
        if exported_count():
            time.sleep(0.05)
    assert exported_count() == 0


def test_numpy_does_not_read_it(make_array: MakeArray) -> None:
    array = make_array(7)
    with pytest.raises(BufferError, match="its numpy"):
        np.from_dlpack(array)
    assert exported_count() == 0
    assert np.unique(np.from_dlpack(array, device="cpu")).tolist() == [7]
    assert np.unique(array.numpy()).tolist() == [7]


# The stub counts bytes, and the host clears them.
SIZE = 64 << 20 if torch.cuda.is_available() else 1 << 20


def test_memory_is_given_back_in_the_end() -> None:
    free = []
    for _ in range(3):
        device = Device()
        with device.active():
            stream = device.open_stream()
            for _ in range(8):
                memory = device.allocate(SIZE, stream)
                device.zero(memory, stream)
                memory.free()
            stream.sync()
        device.close()
        with device.active():
            free.append(int(device.driver_call("cuMemGetInfo")))
    assert free[0] - free[-1] <= (16 << 20 if torch.cuda.is_available() else 0)


@pytest.mark.gpu("torch")
@pytest.mark.parametrize("own_stream", [True, False])
def test_torch_reads_it(make_array: MakeArray, own_stream: bool) -> None:
    stream = torch.cuda.Stream() if own_stream else torch.cuda.default_stream()

    def read(array: DeviceArray) -> Callable[[], Any]:
        with torch.cuda.stream(stream):
            torch.cuda._sleep(SLOW)
            tensor = torch.from_dlpack(array)
            assert tensor.data_ptr() == array.pointer
            copy = tensor.clone()

        def wait() -> Any:
            stream.synchronize()
            return copy.cpu()

        return wait

    read_all(make_array, read)


@pytest.mark.gpu("cupy")
@pytest.mark.parametrize("non_blocking", [True, False])
def test_cupy_reads_it(make_array: MakeArray, non_blocking: bool) -> None:
    cupy: Any = importlib.import_module("cupy")
    stream = cupy.cuda.Stream(non_blocking=non_blocking)
    wait_on_gpu = cupy.RawKernel(
        """extern "C" __global__ void wait(long long cycles) {
            for (long long start = clock64(); clock64() - start < cycles;);
        }""",
        "wait",
    )

    def read(array: DeviceArray) -> Callable[[], Any]:
        with stream:
            wait_on_gpu((1,), (1,), (np.int64(SLOW),))
            taken = cupy.from_dlpack(array)
            assert taken.data.ptr == array.pointer
            copy = taken.copy()

        def wait() -> Any:
            stream.synchronize()
            return cupy.asnumpy(copy)

        return wait

    read_all(make_array, read)


@pytest.mark.gpu("cupy")
def test_cupy_reads_its_interface(make_array: MakeArray) -> None:
    cupy: Any = importlib.import_module("cupy")
    array = make_array(5)
    assert cupy.unique(cupy.asarray(array)).tolist() == [5]


@pytest.mark.gpu("jax")
def test_jax_reads_it(make_array: MakeArray) -> None:
    """It works on another stream than the one that it names: who reads keeps the array."""
    jax_dlpack: Any = importlib.import_module("jax.dlpack")

    def read(array: DeviceArray) -> Callable[[], Any]:
        taken = jax_dlpack.from_dlpack(array)
        assert taken.unsafe_buffer_pointer() == array.pointer
        result = (taken + 0).block_until_ready()
        return lambda: result

    read_all(make_array, read)

"""`DeviceArray`: who waits for whom, and when its memory is freed."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from stylert.runtime.backends.cuda.device_array import DeviceArray
from stylert.runtime.backends.cuda.dlpack import CPU, CUDA, exported_count


def array_on(device: Any, values: np.ndarray) -> DeviceArray:
    """A copy on the device that is queued, and not done yet."""
    with device.active():
        stream = device.open_stream()
        staging = device.pinned(values.nbytes)
        staging.array[:] = values.reshape(-1).view(np.uint8)
        return DeviceArray.copy_of(
            device, staging.pointer, stream, shape=values.shape, dtype=values.dtype
        )


@pytest.fixture
def values() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (2, 4, 4, 3)).astype(np.uint8)


@pytest.fixture
def on_cuda(fakes: Any) -> Any:
    """A device that says it is CUDA; its memory must not be read by a consumer."""
    return fakes.new_device(dlpack_device=(CUDA, 0))


def test_numpy(fakes: Any, values: np.ndarray) -> None:
    array = array_on(fakes.device, values)
    assert (array.shape, array.dtype, array.ndim) == (values.shape, values.dtype, 4)
    assert (len(array), array.nbytes) == (2, values.nbytes)
    assert "uint8 (2, 4, 4, 3) on Fake GPU" in repr(array)
    assert np.array_equal(array.numpy(), values)
    assert len(fakes.device.pinned_live) == 1  # the test's own


def test_from_dlpack_waits_and_copies_nothing(fakes: Any, values: np.ndarray) -> None:
    import torch

    array = array_on(fakes.device, values)
    tensor = torch.from_dlpack(array)
    view = np.from_dlpack(array)
    assert np.array_equal(tensor.numpy(), values)
    assert tensor.data_ptr() == view.ctypes.data == array.pointer
    tensor[0] = 7
    assert (view[0] == 7).all()


def test_memory_is_freed_after_the_last_consumer(fakes: Any, values: np.ndarray) -> None:
    array = array_on(fakes.device, values)
    view = np.from_dlpack(array)
    del array
    gc.collect()
    fakes.device.finish()
    assert np.array_equal(view, values)
    assert len(fakes.device.live) == 1
    del view
    gc.collect()
    assert not fakes.device.live
    assert exported_count() == 0


def test_memory_is_freed_after_the_default_streams_work(fakes: Any, values: np.ndarray) -> None:
    device = fakes.device
    array = array_on(device, values)
    pointer, read = array.pointer, []
    memory = device.view(pointer, values.nbytes)
    with device.active():
        device.wait(1, array.ready)
    device.default_stream.queue(lambda: read.append(memory.copy()))  # a kernel of the consumer
    del array
    gc.collect()
    device.finish()
    assert np.array_equal(read[0].reshape(values.shape), values)
    assert (memory == 0xFF).all()


def test_copy(fakes: Any, values: np.ndarray) -> None:
    array = array_on(fakes.device, values)
    other = array.copy()
    assert other.pointer != array.pointer
    view = np.from_dlpack(array, copy=True)
    assert view.ctypes.data not in (array.pointer, other.pointer)
    np.from_dlpack(array)[:] = 0
    assert np.array_equal(other.numpy(), values)
    assert np.array_equal(view, values)
    assert np.from_dlpack(array, copy=False).ctypes.data == array.pointer


@pytest.mark.parametrize(("stream", "waiting"), [(None, [1]), (1, [1]), (-1, []), ("own", ["own"])])
def test_the_consumers_stream_waits(
    on_cuda: Any, values: np.ndarray, stream: Any, waiting: list[Any]
) -> None:
    array = array_on(on_cuda, values)
    with on_cuda.active():
        own = on_cuda.open_stream()
    handle = own.handle if stream == "own" else stream
    capsule = array.__dlpack__(stream=handle, max_version=(1, 0))
    assert '"dltensor_versioned"' in repr(capsule)
    assert on_cuda.waits == [own.handle if w == "own" else w for w in waiting]
    assert not on_cuda.calls["sync"] + on_cuda.calls["event_sync"]  # the host did not
    if stream == "own":
        memory = on_cuda.view(array.pointer, values.nbytes)
        assert (memory == 0xFF).all()
        with on_cuda.active():
            own.sync()
        assert np.array_equal(memory.reshape(values.shape), values)


def test_streams_that_mean_nothing(on_cuda: Any, fakes: Any, values: np.ndarray) -> None:
    with pytest.raises(BufferError, match="stream 0"):
        array_on(on_cuda, values).__dlpack__(stream=0)
    with pytest.raises(BufferError, match="stream 3 on the CPU"):
        array_on(fakes.new_device(), values).__dlpack__(stream=3)


def test_numpy_is_told_what_to_do(on_cuda: Any, values: np.ndarray) -> None:
    before = exported_count()
    array = array_on(on_cuda, values)
    for _ in range(3):
        with pytest.raises(BufferError, match=r"^DLPack: .* on the GPU; its numpy\(\) is a copy"):
            np.from_dlpack(array)
    assert not on_cuda.waits
    assert exported_count() == before
    del array
    gc.collect()
    on_cuda.finish()
    assert not on_cuda.live
    assert np.array_equal(np.from_dlpack(array_on(on_cuda, values), device="cpu"), values)


def test_the_default_stream_may_be_said(on_cuda: Any, values: np.ndarray) -> None:
    array = array_on(on_cuda, values)
    assert '"dltensor_versioned"' in repr(array.__dlpack__(stream=None, max_version=(1, 3)))
    assert on_cuda.waits == [1]


def test_a_capsule_that_nobody_takes_is_found_by_the_next_array(
    on_cuda: Any, values: np.ndarray
) -> None:
    first, second = array_on(on_cuda, values), array_on(on_cuda, values)
    capsule = first.__dlpack__(stream=1)
    del first
    gc.collect()
    assert len(on_cuda.live) == 2
    del capsule
    del second
    gc.collect()
    on_cuda.finish()
    assert not on_cuda.live


def test_the_old_form(on_cuda: Any, values: np.ndarray) -> None:
    assert '"dltensor"' in repr(array_on(on_cuda, values).__dlpack__())


def test_to_the_cpu(on_cuda: Any, values: np.ndarray) -> None:
    array = array_on(on_cuda, values)
    assert array.__dlpack_device__() == (CUDA, 0)
    view = np.from_dlpack(array, device="cpu")
    assert np.array_equal(view, values)
    with pytest.raises(BufferError, match="request"):
        array.__dlpack__(dl_device=(CPU, 0), copy=False)
    with pytest.raises(BufferError, match="request"):
        array.__dlpack__(dl_device=(CUDA, 1))


def test_cuda_array_interface(on_cuda: Any, values: np.ndarray) -> None:
    array = array_on(on_cuda, values)
    interface = array.__cuda_array_interface__
    assert interface == {
        "version": 3,
        "shape": values.shape,
        "typestr": "|u1",
        "data": (array.pointer, False),
        "strides": None,
        "stream": None,
    }
    memory = on_cuda.view(array.pointer, values.nbytes)
    assert np.array_equal(memory.reshape(values.shape), values)  # filled before it is told


def test_a_cpu_has_no_cuda_array_interface(fakes: Any, values: np.ndarray) -> None:
    assert not hasattr(array_on(fakes.device, values), "__cuda_array_interface__")


@pytest.mark.parametrize("call", ["allocate", "copy", "record"])
def test_a_failure_leaves_nothing(fakes: Any, values: np.ndarray, refuses: Any, call: str) -> None:
    from stylert.runtime.errors import EngineError

    device = fakes.device
    array = array_on(device, values)
    live = len(device.live)
    device.failing[call] = 0
    with refuses("CUDA", call, error=EngineError):
        array.copy()
    assert len(device.live) == live


def test_a_host_array_is_never_made_by_accident(fakes: Any, values: np.ndarray) -> None:
    with pytest.raises(TypeError, match=r"on the GPU; its numpy\(\)"):
        np.asarray(array_on(fakes.device, values))


def test_joined(fakes: Any, values: np.ndarray) -> None:
    device = fakes.device
    with device.active():
        stream = device.open_stream()
        staging = device.pinned(values.nbytes)
        staging.array[:] = values.reshape(-1)
        row = values[0].nbytes
        parts = (  # the second is as large as two rows
            DeviceArray.copy_of(
                device,
                staging.pointer + start * row,
                stream,
                shape=(rows, *values.shape[1:]),
                dtype=values.dtype,
            )
            for start, rows in ((0, 1), (0, 2), (1, 1))
        )
    with device.active():
        whole = DeviceArray.joined(parts, 4)
    assert not device.calls["sync"] + device.calls["event_sync"]
    assert np.array_equal(whole.numpy(), values[[0, 0, 1, 1]])
    gc.collect()
    assert len(device.live) == 1

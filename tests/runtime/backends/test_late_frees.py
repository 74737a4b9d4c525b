"""Memory that other libraries' streams read: it is freed after that, and not much later."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

from stylert.runtime.backends.cuda.device_array import DeviceArray
from stylert.runtime.backends.cuda.dlpack import CUDA
from stylert.runtime.backends.cuda.late_frees import _MOST

VALUES = np.arange(64, dtype=np.uint8)


@pytest.fixture
def gpu(fakes: Any) -> Any:
    """A device that says it is CUDA."""
    return fakes.new_device(dlpack_device=(CUDA, 0))


def new_array(gpu: Any) -> DeviceArray:
    with gpu.active():
        staging = gpu.pinned(VALUES.nbytes)
        staging.array[:] = VALUES
        return DeviceArray.copy_of(
            gpu, staging.pointer, gpu.open_stream(), shape=VALUES.shape, dtype=VALUES.dtype
        )


def new_stream(gpu: Any) -> Any:
    with gpu.active():
        return gpu.open_stream()


def give(gpu: Any, *streams: Any) -> Any:
    """A new array's memory, which was given to streams and let go of."""
    array = new_array(gpu)
    memory = gpu.view(array.pointer, array.nbytes)
    for stream in streams:
        array.__dlpack__(stream=getattr(stream, "handle", stream), max_version=(1, 0))
    del array
    gc.collect()
    return memory


def test_a_reader_that_is_late_reads_what_it_was_given(gpu: Any) -> None:
    stream, read = new_stream(gpu), []
    memory = give(gpu, stream)
    stream.queue(lambda: read.append(memory.copy()))  # a kernel that has not run yet
    gpu.releases.run_until(gpu.releases.queued)
    assert len(gpu.live) == 1
    give(gpu, stream)
    assert len(gpu.live) == 1  # the second one waits now
    gpu.releases.run_until(gpu.releases.queued)
    assert np.array_equal(read, [VALUES])
    assert (memory == 0xFF).all()
    assert not gpu.calls["sync_all"] + gpu.calls["sync"] + gpu.calls["event_sync"]


def test_all_readers_must_come_again(gpu: Any) -> None:
    one, two, other = (new_stream(gpu) for _ in range(3))
    memory = give(gpu, one, two, one)
    for stream in (one, other, one):
        give(gpu, stream)
        gpu.finish()
        assert np.array_equal(memory, VALUES)
    give(gpu, two)
    gpu.finish()
    assert (memory == 0xFF).all()


@pytest.mark.parametrize("stream", [None, 1, -1])
def test_the_default_stream_is_always_there(gpu: Any, stream: int | None) -> None:
    give(gpu, stream)
    assert not gpu.live


def test_each_thread_has_its_own_stream_of_one_handle(gpu: Any) -> None:
    gpu.streams[2] = gpu.default_stream
    give(gpu, 2)
    other = threading.Thread(target=give, args=(gpu, 2))
    other.start()
    other.join()
    assert len(gpu.live) == 2
    give(gpu, 2)
    assert len(gpu.live) == 2  # the other thread's, and this one


def test_streams_that_never_come_again_cost_little(gpu: Any) -> None:
    for _ in range(3 * _MOST):
        give(gpu, new_stream(gpu))
        assert len(gpu.live) <= _MOST + 2
    assert gpu.calls["sync_all"] == 2


def test_closing_frees_all_and_so_does_what_comes_later(gpu: Any) -> None:
    stream, read = new_stream(gpu), []
    late = new_array(gpu)
    late.__dlpack__(stream=stream.handle)
    memory = give(gpu, stream)
    stream.queue(lambda: read.append(memory.copy()))
    gpu.close()
    assert np.array_equal(read, [VALUES])
    assert len(gpu.live) == 1
    del late
    gc.collect()
    assert not gpu.live


def test_a_stream_of_another_context_waits_and_takes_its_array(gpu: Any) -> None:
    stream = new_stream(gpu)
    give(gpu, stream)
    gpu.failing["record_on"] = 0
    give(gpu, stream)
    assert len(gpu.live) == 2
    gpu.failing["sync_all"] = 0  # somebody captures a CUDA graph
    gpu.close()
    assert len(gpu.live) == 2
    gpu.close()
    assert not gpu.live


def test_several_threads(gpu: Any) -> None:
    streams = [new_stream(gpu) for _ in range(3)]

    def work() -> None:
        for turn in range(60):
            give(gpu, streams[turn % 3], streams[(turn + 1) % 3])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gpu.close()
    gpu.finish()
    assert not gpu.live

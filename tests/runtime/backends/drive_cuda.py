"""Runs the real Device over the real cuda-core on a stub of the driver; see test_cuda_device.

LD_LIBRARY_PATH=<folder of the stub's libcuda.so.1> python drive_cuda.py BUNDLE
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.backends.cuda.device import Device
from stylert.runtime.backends.cuda.device_array import DeviceArray
from stylert.runtime.backends.cuda.dlpack import exported_count, sweep_capsules
from stylert.runtime.backends.cuda.launch_timer import LaunchTimer
from stylert.runtime.backends.tensorrt.session import TensorRTSession
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError
from stylert.runtime.generator import Generator
from stylert.tests.loading import load_file

stub = ctypes.CDLL("libcuda.so.1")
stub.fake_log.restype = ctypes.c_char_p


def calls() -> list[str]:
    """What was called since the last time, with the stream in hex."""
    lines = stub.fake_log().decode().splitlines()
    stub.fake_clear()
    return lines


def refused(call: Any, *words: str) -> None:
    with pytest.raises(EngineError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def memory_and_streams(device: Device) -> None:
    with device.active():
        assert stub.fake_depth() == 1
        stream = device.open_stream()
        memory, host = device.allocate(1000, stream), device.pinned(1000)
        assert memory.pointer % 256 == 0
        device.zero(memory, stream)
        raw = (ctypes.c_uint8 * 1000).from_address(memory.pointer)
        assert not any(raw)
        host.array[:] = 7
        device.copy(memory.pointer + 10, host.pointer, 900, stream)
        assert sum(raw) == 900 * 7
        event = device.record(stream)
        calls()
        device.wait(1, event)
        event.sync()
        stream.sync()
        waits = [f"cuStreamSynchronize {stream.handle:x}"]
        assert calls() == ["cuStreamWaitEvent 1", "cuEventSynchronize 0", *waits]
        timer = LaunchTimer(device)
        for _ in range(2):
            with timer.around(stream):
                device.zero(memory, stream)
        calls()
        assert timer.seconds() == 5e-3
        assert timer.seconds() == 0
        assert calls() == ["cuEventSynchronize 0", "cuEventElapsedTime 0"] * 2
        refused(lambda: device.allocate(1 << 41, stream), "allocating 2199023255552 bytes failed")
        for _ in range(2):
            memory.free()
            host.free()
        assert calls() == [f"cuMemFreeAsync {stream.handle:x}", "cuMemFreeHost 0"]
        del device.pinned(10).array  # nobody frees it
    assert stub.fake_depth() == 0
    gc.collect()
    assert stub.fake_live() == 0


def graphs(device: Device) -> None:
    with device.active():
        stream = device.open_stream()
        calls()
        ran: list[int] = []
        graph = device.capture(stream, lambda: ran.append(1))
        handle = f"{stream.handle:x}"
        assert calls() == [
            "cuStreamBeginCapture 1",  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
            f"cuStreamEndCapture {handle}",
            "cuGraphInstantiate 0",
            "cuGraphDestroy 0",
            f"cuGraphUpload {handle}",
        ]
        graph.launch(stream)
        graph.free()
        graph.free()
        assert calls() == [f"cuGraphLaunch {handle}", "cuGraphExecDestroy 0"]
        refused(lambda: device.capture(stream, stream.sync), "running on the GPU failed")
        assert calls()[-1] == f"cuStreamEndCapture {handle}"  # and so it is usable again

        def invalidate() -> None:
            with contextlib.suppress(EngineError):
                stream.sync()

        refused(lambda: device.capture(stream, invalidate), "cuStreamEndCapture", "INVALIDATED")
        assert calls()[-1] == f"cuStreamEndCapture {handle}"
        os.environ["FAKE_CAPTURE_FAILS"] = "1"
        refused(lambda: device.capture(stream, lambda: None), "cuStreamEndCapture", "INVALIDATED")
        del os.environ["FAKE_CAPTURE_FAILS"]
        device.capture(stream, lambda: None).free()
        assert ran == [1]


def filled(device: Device, stream: Any) -> DeviceArray:
    """Zeros. The device is active."""
    source = device.allocate(96, stream)
    device.zero(source, stream)
    array = DeviceArray.copy_of(
        device, source.pointer, stream, shape=(2, 12), dtype=np.dtype(np.float32)
    )
    source.free()
    return array


def arrays(device: Device) -> None:
    with device.active():
        stream = device.open_stream()
        array = filled(device, stream)
    calls()
    assert not array.numpy().any()
    assert "cuStreamSynchronize" not in " ".join(calls())
    assert array.__cuda_array_interface__["data"] == (array.pointer, False)
    capsule = array.__dlpack__(stream=None, max_version=(1, 0))
    assert calls()[-1] == "cuStreamWaitEvent 1"
    del array
    gc.collect()
    calls()
    assert stub.fake_live() == 1  # the capsule keeps it
    del capsule
    sweep_capsules()
    assert stub.fake_live() == 0
    freed = calls()
    releases = freed[1].split()[1]
    assert freed == [
        f"cuEventRecord {stream.handle:x}",
        f"cuStreamWaitEvent {releases}",
        "cuEventRecord 1",
        f"cuStreamWaitEvent {releases}",
        f"cuMemFreeAsync {releases}",
    ], freed
    assert releases != f"{stream.handle:x}"


def streams_of_others(device: Device) -> None:
    """Memory is freed after the work of the stream that DLPack gave it to, once it comes again."""
    with device.active():
        producer, reader = device.open_stream(), device.open_stream()
        read = [filled(device, producer) for _ in range(2)]
        for array in read:
            array.__dlpack__(stream=reader.handle, max_version=(1, 0))
        del array
        read.clear()
        sweep_capsules()
        assert stub.fake_live() == 2
        following = filled(device, producer)
        calls()
        capsule = following.__dlpack__(stream=reader.handle, max_version=(1, 0))
        came = calls()
        assert came[:2] == [
            f"cuStreamWaitEvent {reader.handle:x}",  # for the new one to be filled
            f"cuEventRecord {reader.handle:x}",  # after all that was read of the old ones
        ], came
        releases = came[-1].split()[1]
        one = [
            f"cuEventRecord {producer.handle:x}",
            f"cuStreamWaitEvent {releases}",
            "cuEventRecord 1",
            f"cuStreamWaitEvent {releases}",
            f"cuStreamWaitEvent {releases}",  # for the reader
            f"cuMemFreeAsync {releases}",
        ]
        assert came[2:] == one * 2, came
        assert stub.fake_live() == 1
        del capsule, following
        sweep_capsules()
    calls()
    device.late_frees.close()
    assert calls() == ["cuCtxSynchronize 0", *one[:4], one[5]]
    assert stub.fake_live() == 0


def refusals(device: Device) -> None:
    """The real NumPy takes nothing of the GPU: it is told so, and nothing stays behind."""
    with device.active():
        stream = device.open_stream()
        array = filled(device, stream)
        for _ in range(3):
            with pytest.raises(BufferError, match="its numpy"):
                np.from_dlpack(array)
            assert exported_count() == 0
        assert np.from_dlpack(array, device="cpu").shape == array.shape
    del array
    gc.collect()
    assert stub.fake_live() == 0


def closing(device: Device) -> None:
    """A capsule that died alone gives its memory back when the device is closed."""
    with device.active():
        capsule = filled(device, device.open_stream()).__dlpack__(stream=None)
    del capsule
    assert stub.fake_live() == 1
    device.close()
    assert stub.fake_live() == 0
    device.close()


def pictures(path: Path) -> None:
    """The whole backend, over the real cuda-core: only TensorRT is a fake."""
    fake: Any = load_file(Path(__file__).with_name("fake_tensorrt.py"))
    host = Host()
    sys.modules["tensorrt"] = fake.module_of("tensorrt", fake.World(host))
    session = TensorRTSession(Bundle.open(path), cuda_graphs=False)
    ours = Generator(Bundle.open(path), session, max_batch=session.max_batch)
    with ours, Generator.open(path, provider="cpu") as reference:
        for noise_mode in ("const", "seeded"):
            options: dict[str, Any] = {"noise_mode": noise_mode, "output": "img"}
            got, want = ours.generate(range(3), **options), reference.generate(range(3), **options)
            assert np.abs(got - want).max() < 1e-4
        array = ours.generate(range(7), on_device=True, output="img")  # split in 4 and 3
        assert isinstance(array, DeviceArray)
        assert np.abs(array.numpy() - reference.generate(range(7), output="img")).max() < 1e-4
    del array
    gc.collect()
    assert stub.fake_live() == 0
    assert stub.fake_depth() == 0


class Host:
    """What the fake TensorRT wants of a device: streams that work at once."""

    def __init__(self) -> None:
        self.streams = defaultdict(Host)
        self.captured = None

    def queue(self, run: Any) -> None:
        run()

    def view(self, pointer: int, size: int) -> np.ndarray:
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(pointer))


def main() -> None:
    device = Device(0)
    assert (device.name, device.compute_capability) == ("Stub", (8, 9))
    opened = calls()
    assert opened[:2] == ["cuMemPoolCreate 0", f"releaseThreshold {2**64 - 1:x}"], opened
    assert stub.fake_depth() == 0  # the thread has its own context back
    refused(lambda: Device(1), "opening GPU 1 failed", "stylert doctor")
    memory_and_streams(device)
    graphs(device)
    arrays(device)
    refusals(device)
    streams_of_others(device)
    closing(device)
    pictures(Path(sys.argv[1]))
    print("all is well")


if __name__ == "__main__":
    main()

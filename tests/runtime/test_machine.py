"""The driver's answers, given by a fake driver library, since most machines have none."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from stylert.runtime.errors import EngineError
from stylert.runtime.machine import Gpu, driver_version, visible_gpus

GPUS = [("NVIDIA A", (8, 9)), ("NVIDIA B", (12, 0))]


class Driver:
    """libcuda.so.1 and libnvidia-ml.so.1 in one, as far as they are called."""

    def __init__(self, init: int = 0) -> None:
        self.init = init

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.init

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(GPUS)
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index + 40  # a handle is not an index
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = GPUS[device.value - 40][0].encode()
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        value._obj.value = GPUS[device.value - 40][1][{75: 0, 76: 1}[attribute]]
        return 0

    def cuGetErrorString(self, status: int, text: Any) -> int:  # noqa: N802
        text._obj.value = b"system has unsupported display driver / cuda driver combination"
        return 0

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        return 0

    def nvmlSystemGetDriverVersion(self, text: Any, size: int) -> int:  # noqa: N802
        text.value = b"580.65.06"
        return 0


def no_library(name: str) -> Driver:
    raise OSError(f"{name}: cannot open shared object file")


def test_gpus_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert visible_gpus() == [Gpu(0, "NVIDIA A", (8, 9)), Gpu(1, "NVIDIA B", (12, 0))]
    assert driver_version() == "580.65.06"


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", no_library)
    assert visible_gpus() == []
    assert driver_version() is None


def test_no_device_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(init=100))
    assert visible_gpus() == []


def test_a_driver_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(init=803))
    with pytest.raises(EngineError, match=r"cuInit returned 803 \(system has unsupported"):
        visible_gpus()


@pytest.mark.gpu
def test_the_real_driver() -> None:
    gpu = visible_gpus()[0]
    assert "NVIDIA" in gpu.name or "GeForce" in gpu.name
    assert gpu.compute_capability >= (5, 0)
    assert driver_version()

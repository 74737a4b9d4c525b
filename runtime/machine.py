"""What this machine has: the CPUs that this process may use, and the NVIDIA GPUs.

The GPUs are asked of the driver's own library through ctypes: `libcuda` comes with the driver and
not with a Python package, so this needs no CUDA toolkit and no torch. The names and numbers are
those of the CUDA driver API (cuda.h) and of NVML (nvml.h).
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from stylert.runtime.errors import EngineError

__all__ = ["CUDA_13_DRIVER", "MAX_THREADS", "Gpu"]
__all__ += ["driver_version", "usable_cpus", "visible_gpus"]

CUDA_13_DRIVER = 580  # the first driver for it
MAX_THREADS = 1024  # more is a mistake, and could take the machine down
_WINDOWS = sys.platform == "win32"
_DRIVER = "nvcuda.dll" if _WINDOWS else "libcuda.so.1"
_MANAGEMENT = "nvml.dll" if _WINDOWS else "libnvidia-ml.so.1"
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{MAJOR,MINOR}


@dataclass(frozen=True)
class Gpu:
    """One GPU as CUDA sees it (CUDA_VISIBLE_DEVICES applies)."""

    index: int  # the device number that CUDA gives it
    name: str
    compute_capability: tuple[int, int]  # major and minor: (8, 9) is sm_89


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, and the quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(count or 1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup, or its quota is 'max'
        return count or 1


def visible_gpus() -> list[Gpu]:
    """The GPUs that CUDA can use here, an empty list where there is no driver or no device.

    Raises:
        EngineError: there is a driver, and it does not start.
    """
    try:
        cuda = ctypes.CDLL(_DRIVER)
    except OSError:
        return []
    status = cuda.cuInit(0)
    if status == _NO_DEVICE:
        return []
    _check(cuda, "cuInit", status)
    count = ctypes.c_int()
    _check(cuda, "cuDeviceGetCount", cuda.cuDeviceGetCount(ctypes.byref(count)))
    return [_gpu(cuda, index) for index in range(count.value)]


def driver_version() -> str | None:
    """The driver's version, e.g. '580.65.06', None where it cannot be asked."""
    try:
        nvml = ctypes.CDLL(_MANAGEMENT)
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    text = ctypes.create_string_buffer(80)  # NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE
    status = nvml.nvmlSystemGetDriverVersion(text, len(text))
    nvml.nvmlShutdown()
    return text.value.decode(errors="replace") if status == 0 else None


def _gpu(cuda: ctypes.CDLL, index: int) -> Gpu:
    device = ctypes.c_int()
    _check(cuda, "cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(device), index))
    name = ctypes.create_string_buffer(256)
    _check(cuda, "cuDeviceGetName", cuda.cuDeviceGetName(name, len(name), device))
    capability = (_attribute(cuda, device, _MAJOR), _attribute(cuda, device, _MINOR))
    return Gpu(index, name.value.decode(errors="replace"), capability)


def _attribute(cuda: ctypes.CDLL, device: ctypes.c_int, attribute: int) -> int:
    value = ctypes.c_int()
    status = cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
    _check(cuda, "cuDeviceGetAttribute", status)
    return value.value


def _check(cuda: ctypes.CDLL, call: str, status: int) -> None:
    if status == 0:
        return
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(status, ctypes.byref(text))
    reason = (text.value or b"unknown error").decode(errors="replace")
    raise EngineError(
        f"NVIDIA driver: {call} returned {status} ({reason}), expected 0. "
        "Check that nvidia-smi works; else reinstall the driver or reboot."
    )

"""What to do when TensorRT does not get along with the NVIDIA driver."""

from __future__ import annotations

import re

from stylert.runtime.machine import CUDA_13_DRIVER, driver_version

__all__ = ["tell_driver"]

# cudaErrorInsufficientDriver is 35, of a driver that is too old, and where there is none.
_INSUFFICIENT = re.compile(r"\berror:? 35\b|driver version is insufficient", re.IGNORECASE)


def tell_driver(package: str, reason: str) -> str:
    """A sentence with the remedy where the driver is the reason, else ''.

    Args:
        package: 'tensorrt', 'tensorrt_lean' or 'tensorrt_rtx'.
        reason: what TensorRT says.
    """
    if not _INSUFFICIENT.search(reason):
        return ""
    version = driver_version()
    found = f"driver {version} is too old" if version else "driver is missing or too old"
    older = f"{package.replace('_', '-')}-cu12"
    return (
        f"The NVIDIA {found}: update it to {CUDA_13_DRIVER} or newer. Or, from 535 on, take CUDA "
        f"12 in a new environment: pip install {older} 'cuda-bindings<13'"
    )

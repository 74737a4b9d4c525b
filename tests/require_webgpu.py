"""The software adapter that tests of WebGPU draw on, and `--require-webgpu`: none is skipped.

It is SwiftShader, which Debian's chromium brings, behind Vulkan's loader (libvulkan1).
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from stylert.runtime.packages import installed_version

DRIVERS = tuple(
    Path(folder) / "vk_swiftshader_icd.json"
    for folder in ("/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome")
)


def add_options(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-webgpu",
        action="store_true",
        help="fail where a test of WebGPU would be skipped",
    )


def find_driver(config: pytest.Config) -> Path:
    """The file that tells Vulkan's loader of SwiftShader; without it the test is skipped."""
    missing = why_not()
    if missing and config.getoption("--require-webgpu"):
        pytest.fail(f"--require-webgpu: {missing}")
    if missing:
        pytest.skip(f"WebGPU: {missing}")
    return next(driver for driver in DRIVERS if driver.is_file())


def why_not() -> str:
    """What is missing, '' = nothing."""
    if installed_version("onnxruntime-ep-webgpu") is None:
        return "onnxruntime-ep-webgpu is not installed"
    if not any(driver.is_file() for driver in DRIVERS):
        return "no SwiftShader (apt install chromium)"
    try:
        ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return "no Vulkan loader (apt install libvulkan1)"
    return ""

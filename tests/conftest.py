"""What all tests share: the GPU switch, the report's header, and the fixtures."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

import pytest

from stylert.runtime.gpus import visible_gpus

TESTS = Path(__file__).parent
REPORTED = ("numpy", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-gpu",
        action="store_true",
        help="fail when there is no NVIDIA GPU, where the gpu tests would be skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--require-gpu") and not visible_gpus():
        raise pytest.UsageError("--require-gpu: got no NVIDIA GPU. Check that nvidia-smi works.")


def pytest_report_header() -> list[str]:
    versions = [f"{name} {_version(name)}" for name in REPORTED]
    gpus = [gpu.name for gpu in visible_gpus()]
    return [
        f"versions: python {platform.python_version()}, {', '.join(versions)}",
        f"gpus: {', '.join(gpus) or 'none'}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if needing and not visible_gpus():
        for item in needing:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU (--require-gpu makes it fail)"))


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "none"


@pytest.fixture(scope="session")
def goldens() -> Path:
    """The checkpoints with what the official implementations draw from them."""
    return TESTS / "goldens"

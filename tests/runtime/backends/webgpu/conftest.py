"""A software adapter, the only one that Vulkan shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylert.tests.loading import load_file

REQUIRE_WEBGPU = load_file(Path(__file__).parents[3] / "require_webgpu.py")


@pytest.fixture
def swiftshader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vulkan's only driver is SwiftShader."""
    monkeypatch.setenv("VK_DRIVER_FILES", str(REQUIRE_WEBGPU.find_driver(request.config)))


@pytest.fixture
def no_driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vulkan's loader finds no driver."""
    REQUIRE_WEBGPU.find_driver(request.config)
    monkeypatch.setenv("VK_DRIVER_FILES", "/nonexistent.json")

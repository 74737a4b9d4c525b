"""Proves that WebGPU works here: the demo network is opened with it, which draws a picture."""

from __future__ import annotations

from stylert.apps.demo import SOURCE
from stylert.runtime import Generator

__all__ = ["probe_webgpu"]


def probe_webgpu() -> str:
    """Draws on a GPU; gives the adapter's name. A software adapter does not count.

    Raises:
        MissingExtra: ONNX Runtime or the plug-in does not load.
        EngineError: there is no GPU with a driver, or it does not draw.
    """
    with Generator.open(SOURCE, provider="webgpu") as generator:
        return str(generator.describe()["device_name"])

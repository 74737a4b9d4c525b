"""Proves that a device of OpenVINO works here: it runs the smallest model with a convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from stylert.apps.checks.loaded_libraries import tell_libraries
from stylert.apps.checks.provider_probe import probe_model
from stylert.runtime.errors import EngineError
from stylert.runtime.packages import import_extra

__all__ = ["list_devices", "probe_device"]


def list_devices() -> list[str]:
    """The names of the devices that OpenVINO finds, as `device` of `stylert.open` takes them.

    Raises:
        MissingExtra: it is not installed, or does not load.
        EngineError: it does not start.
    """
    try:
        return [str(name).lower() for name in _core().available_devices]
    except RuntimeError as error:
        raise EngineError(f"OpenVINO does not start: {_tell(error)}") from error


def probe_device(name: str) -> str:
    """Runs the model on a device; gives the device, and the plug-in and library that ran it.

    Raises:
        EngineError: it does not start, or computes wrongly.
    """
    core, device = _core(), name.upper()
    try:
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(core.read_model(probe_model()), device, options)
        x, w = (np.full((1, 1, 1, 1), value, np.float32) for value in (2.0, 3.0))
        y = float(compiled({"x": x, "w": w})[0].item())
        full_name = core.get_property(device, "FULL_DEVICE_NAME")
        plug_in = core.get_versions(device)[device.partition(".")[0]]
    except (RuntimeError, KeyError) as error:
        raise EngineError(f"{name}: {_tell(error)}") from error
    if y != 6.0:
        raise EngineError(f"{name}: 2 * 3 gave {y}")
    libraries = tell_libraries(f"lib{plug_in.description}")
    return f"{full_name}; {plug_in.description} {plug_in.build_number}; {libraries}"


def _core() -> Any:
    return import_extra("openvino", "openvino", extra="openvino").Core()


def _tell(error: Exception) -> str:
    """What went wrong, without the lines on where in OpenVINO's sources that was."""
    lines = [line for line in str(error).splitlines() if not line.startswith("Exception from ")]
    return " ".join(" ".join(lines).split())[:200] or type(error).__name__

"""The package openvino: its import, its devices, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stylert.runtime.errors import EngineError, InvalidInput, StylertError
from stylert.runtime.packages import import_extra, openvino_distribution

__all__ = ["check_device", "failing", "import_openvino", "list_devices", "tell_line"]

KINDS = ("cpu", "gpu", "npu")  # not AUTO, MULTI or HETERO, which choose by themselves


def import_openvino() -> Any:
    """The module.

    Raises:
        MissingExtra: it is not installed, does not load, or two distributions overwrite each other.
    """
    return import_extra("openvino", openvino_distribution() or "openvino", extra="openvino")


def list_devices(core: Any) -> list[str]:
    """The names of the devices that are here, such as 'cpu', 'gpu.0' and 'gpu.1'."""
    return [str(name).lower() for name in core.available_devices]


def check_device(core: Any, device: str) -> str:
    """The name that OpenVINO has for a device, such as 'CPU' or 'GPU.1'.

    Raises:
        InvalidInput: it is the name of no device.
        EngineError: there is no such device here.
    """
    found = list_devices(core)
    here = f"here are {', '.join(map(repr, found)) or 'none'}"
    kind, _, index = device.partition(".") if isinstance(device, str) else ("", "", "")
    if kind not in KINDS or (index and not index.isdecimal()):
        raise InvalidInput(
            f"device: got {device!r:.40}, expected one of {KINDS}, with '.1' and so on for others "
            f"of a kind; {here}."
        )
    if device not in found and not any(name.startswith(f"{device}.") for name in found):
        raise EngineError(
            f"device: got {device!r}, which OpenVINO does not find; {here}. Install its driver, or "
            "name another one."
        )
    return device.upper()


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Turns what OpenVINO raises into an error of ours, of one line that begins with `what`."""
    try:
        yield
    except (StylertError, MemoryError):
        raise
    except Exception as error:  # RuntimeError mostly, and others of its bindings
        raise EngineError(f"{what}: {tell_line(error)}") from error


def tell_line(error: Exception) -> str:
    """What went wrong, without the lines on where in OpenVINO's sources that was."""
    lines = [line for line in str(error).splitlines() if not line.startswith("Exception from ")]
    return " ".join(" ".join(lines).split())[:300] or type(error).__name__

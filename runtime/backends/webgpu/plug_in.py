"""ONNX Runtime's plug-in for WebGPU: its registration, its adapter, and its errors as ours."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from stylert.runtime.backends.onnxruntime_package import tell_line
from stylert.runtime.backends.webgpu.stderr import hear_dawn
from stylert.runtime.backends.webgpu.vulkan import Adapter, list_adapters
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.packages import import_extra, installed_version, read_release

__all__ = ["DISTRIBUTION", "LOCK", "OTHER_WAY", "PROVIDER", "add_provider", "choose_adapter"]
__all__ += ["plug_in_version", "quiet", "shortened"]

DISTRIBUTION = "onnxruntime-ep-webgpu"
PROVIDER = "WebGpuExecutionProvider"
LOCK = threading.RLock()  # all sessions of a process share one device
OTHER_WAY = "Update the GPU's driver, or take the processor by provider='cpu'."

_NAME = "stylert-webgpu"  # under which the library is registered
_SOFTWARE = "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"
_SILENT, _WARNING = 4, 2  # ONNX Runtime's severities 'fatal', and its default
_LOST = "Start again, with fewer pictures at once; if that fails, too, update the GPU's driver."
_REMEDIES = {  # by what the words have, the first that fits
    "f16": "This adapter has no half precision: take precision='fp32'.",
    "lost": _LOST,
    "download data": _LOST,
    "pipeline": OTHER_WAY,
    "adapter": "Update the GPU's driver; of Mesa's, WebGPU takes version 25 and newer.",
}
_LEAST = (1, 24, 4)  # the oldest ONNX Runtime that takes the plug-in


def plug_in_version() -> str | None:
    """The version that is installed, None if it is not."""
    return installed_version(DISTRIBUTION)


def choose_adapter(ort: Any, device: str | None) -> Adapter:
    """Register the plug-in, and say what draws: never a processor unless it was asked for.

    Args:
        ort: the module onnxruntime.
        device: 'gpu' or None, or 'software': an adapter that is a program on the processor.

    Raises:
        InvalidInput: `device` is something else.
        MissingExtra: the plug-in is not installed, or does not load.
        EngineError: there is no such adapter here, or not that alone.
    """
    if device not in (None, "gpu", "software"):
        raise InvalidInput(
            f"device: got {device!r:.40} with provider 'webgpu', expected 'gpu' or 'software'."
        )
    with LOCK, quiet(ort):
        found = _register(ort)
        adapters = list_adapters() if sys.platform.startswith("linux") else None
    if adapters is None:  # Direct3D or Metal
        kind = ort.OrtHardwareDeviceType.GPU
        adapters = [Adapter(_tell(d), software=d.device.type != kind) for d in found]
    gpus = [adapter for adapter in adapters if not adapter.software]
    if device == "software" and gpus:
        raise EngineError(
            f"device: got 'software', but WebGPU would take the GPU {gpus[0].name}, expected no "
            "GPU. Hide it: VK_DRIVER_FILES names the driver of the software adapter alone."
        )
    names = ", ".join(adapter.name for adapter in adapters) or "none"
    if device != "software" and not gpus:
        raise EngineError(
            f"provider 'webgpu': no GPU has a driver here (adapters: {names}). Install the GPU's "
            "Vulkan driver (Debian: apt install mesa-vulkan-drivers), or take the processor by "
            "provider='cpu'; a software adapter by device='software'."
        )
    if not adapters:
        raise EngineError(
            "device: got 'software', but there is no adapter. Install Mesa 25 or newer (Debian: "
            "apt install mesa-vulkan-drivers), or name a driver by VK_DRIVER_FILES."
        )
    return (gpus or adapters)[0]


def add_provider(ort: Any, options: Any) -> None:
    """Put the plug-in's device, and no other, into the `SessionOptions` of a session."""
    options.add_provider_for_devices(_register(ort)[:1], {})
    options.log_severity_level = _SILENT  # what it says of an error is in the exception, too
    # A node that it cannot run must be an error, not a slow detour.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")


@contextmanager
def quiet(ort: Any) -> Iterator[list[str]]:
    """Keep drivers and ONNX Runtime from writing to stderr while something is opened.

    Yields:
        What Dawn, the WebGPU of ONNX Runtime, wanted to write: filled when the block ends.
    """
    with LOCK, hear_dawn() as heard:
        # Wayland's library complains where there is no such folder; that there is none is no error.
        set_here = "XDG_RUNTIME_DIR" not in os.environ
        if set_here:
            os.environ["XDG_RUNTIME_DIR"] = os.sep + "nonexistent"
        ort.set_default_logger_severity(_SILENT)
        try:
            yield heard
        finally:
            ort.set_default_logger_severity(_WARNING)
            if set_here:
                os.environ.pop("XDG_RUNTIME_DIR", None)


def shortened(error: Exception, heard: Sequence[str] = ()) -> str:
    """What ONNX Runtime says, in at most 250 characters, and what to do where that is known.

    Args:
        error: of ONNX Runtime.
        heard: what Dawn said meanwhile, see `quiet`; its first line tells why.
    """
    words = tell_line(error)[:250].rstrip(" .")
    if heard:
        words = f"{words} ({heard[0][:150].rstrip(' .')})"
    for sign, remedy in _REMEDIES.items():
        if sign in words:
            return f"{words}. {remedy}"
    return words


def _register(ort: Any) -> list[Any]:
    """The plug-in's devices; it is registered when it is first asked for."""
    module = import_extra("onnxruntime_ep_webgpu", DISTRIBUTION, extra="webgpu")
    if (
        not hasattr(ort, "register_execution_provider_library")
        or read_release(ort.__version__) < _LEAST
    ):
        least = ".".join(map(str, _LEAST))
        raise EngineError(
            f"provider 'webgpu': got ONNX Runtime {ort.__version__}, expected >= {least}. Run: "
            "pip install --upgrade onnxruntime"
        )
    if not (found := _list_devices(ort)):
        # Without this variable there is no device on a machine without a GPU. Whether a processor
        # may be one is decided by `choose_adapter`, not by what was registered first.
        before = os.environ.get(_SOFTWARE)
        os.environ[_SOFTWARE] = "1"
        try:
            ort.register_execution_provider_library(_NAME, module.get_library_path())
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            words = tell_line(error)[:200]
            raise EngineError(f"provider 'webgpu': the plug-in does not load: {words}") from error
        finally:
            if before is None:
                del os.environ[_SOFTWARE]
            else:
                os.environ[_SOFTWARE] = before
        found = _list_devices(ort)
    if not found:
        raise EngineError(
            "provider 'webgpu': the plug-in lists no device. Update the GPU's driver."
        )
    return found


def _list_devices(ort: Any) -> list[Any]:
    # By the provider's name: a software adapter's device is of the type CPU.
    return [device for device in ort.get_ep_devices() if device.ep_name == PROVIDER]


def _tell(device: Any) -> str:
    """A name for people."""
    metadata = dict(device.device.metadata)
    return str(metadata.get("Description") or device.device.vendor or "GPU")

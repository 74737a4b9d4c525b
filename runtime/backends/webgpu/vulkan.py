"""The adapters that Vulkan has, asked of its loader: the plug-in does not say which one it takes.

The names and numbers are those of vulkan_core.h. Only what tells a processor from a GPU is read.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from stylert.runtime.errors import EngineError

__all__ = ["Adapter", "list_adapters"]

LOADER = "libvulkan.so.1"
_CPU = 4  # VK_PHYSICAL_DEVICE_TYPE_CPU
_CREATE_INSTANCE = 1  # VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO
_PROPERTIES = 824  # bytes of VkPhysicalDeviceProperties, on 64 bits
_NAME = 20, 256  # where its deviceName is, and how long
_NO_DRIVER = -9  # VK_ERROR_INCOMPATIBLE_DRIVER


@dataclass(frozen=True)
class Adapter:
    """What draws: a GPU, or a program that does its work on the processor."""

    name: str
    software: bool


class _CreateInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


def list_adapters() -> list[Adapter]:
    """Every adapter that has a driver here; none where there is no driver at all.

    Raises:
        EngineError: Vulkan's loader is not installed, or does not start.
    """
    try:
        vulkan = ctypes.CDLL(LOADER)
    except OSError:
        raise EngineError(
            f"WebGPU needs Vulkan's loader {LOADER}, which is not installed. Install it (Debian: "
            "apt install libvulkan1), and the GPU's Vulkan driver."
        ) from None
    instance, info = ctypes.c_void_p(), _CreateInfo(type=_CREATE_INSTANCE)
    status = vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance))
    if status == _NO_DRIVER:
        return []
    if status:
        raise EngineError(
            f"Vulkan: vkCreateInstance returned {status}, expected 0. Check that vulkaninfo works."
        )
    try:
        count = ctypes.c_uint32()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
        devices = (ctypes.c_void_p * count.value)()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
        return [_describe(vulkan, ctypes.c_void_p(device)) for device in devices[: count.value]]
    finally:
        vulkan.vkDestroyInstance(instance, None)


def _describe(vulkan: ctypes.CDLL, device: ctypes.c_void_p) -> Adapter:
    properties = ctypes.create_string_buffer(_PROPERTIES * 2)
    vulkan.vkGetPhysicalDeviceProperties(device, properties)
    start, length = _NAME
    name = properties.raw[start : start + length].partition(b"\0")[0].decode(errors="replace")
    kind = int.from_bytes(properties.raw[start - 4 : start], "little")
    return Adapter(name, software=kind == _CPU)

"""What this machine's processor is: whatever was compiled or timed is for it alone."""

from __future__ import annotations

import platform
from pathlib import Path

__all__ = ["multiplies_bytes", "processor_features", "processor_name"]

_CPUINFO = Path("/proc/cpuinfo")
# Instructions that add products of bytes in 32 bits: x86 calls them VNNI, ARM dot product.
_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "asimddp"}
_TOLD = ("model name", "flags", "Features", "CPU implementer", "CPU part")


def processor_features() -> str:
    """Its model and instruction sets, where Linux tells them; else its name alone."""
    told = [f"{name}: {value}" for name, value in _read() if name in _TOLD]
    return "\n".join(dict.fromkeys(told)) or processor_name()  # cores are alike, or of two kinds


def processor_name() -> str:
    """Its name for people, such as 'AMD EPYC'."""
    names = [value for name, value in _read() if name == "model name"]
    return names[0] if names else platform.processor() or platform.machine()


def multiplies_bytes() -> bool:
    """Whether integer convolutions are exact; without such instructions products overflow 16 bits.

    False where the system does not tell.
    """
    flags = [value.split() for name, value in _read() if name in ("flags", "Features")]
    return bool(flags) and all(_DOT_PRODUCTS & {*of_core} for of_core in flags)


def _read() -> list[tuple[str, str]]:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [(name.strip(), value.strip()) for name, _, value in pairs]

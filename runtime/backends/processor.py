"""What this machine's processor is: whatever was compiled or timed is for it alone."""

from __future__ import annotations

import platform
from pathlib import Path

__all__ = ["processor_features", "processor_name"]

_CPUINFO = Path("/proc/cpuinfo")
_TOLD = ("model name", "flags", "Features", "CPU implementer", "CPU part")


def processor_features() -> str:
    """Its model and instruction sets, where Linux tells them; else its name alone."""
    told = [f"{name}: {value}" for name, value in _read() if name in _TOLD]
    return "\n".join(dict.fromkeys(told)) or processor_name()  # cores are alike, or of two kinds


def processor_name() -> str:
    """Its name for people, such as 'AMD EPYC'."""
    names = [value for name, value in _read() if name == "model name"]
    return names[0] if names else platform.processor() or platform.machine()


def _read() -> list[tuple[str, str]]:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [(name.strip(), value.strip()) for name, _, value in pairs]

"""On what a benchmark ran: the CPU, the system, this code's commit, the hour and the load."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.backends.processor import processor_name
from stylert.runtime.errors import EngineError
from stylert.runtime.machine import driver_version, usable_cpus, visible_gpus

__all__ = ["describe_machine", "machine_cpu_seconds"]

ROOT = Path(__file__).resolve().parents[2]


def describe_machine() -> dict[str, Any]:
    """Return what a reader of the numbers must know; None where the system does not tell."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain")
    return {
        "cpu": processor_name(),
        "cpus": os.cpu_count(),
        "usable_cpus": usable_cpus(),
        "memory_mb": _memory_mb(),
        "gpus": _gpu_names(),
        "driver": driver_version(),  # of the GPU
        "platform": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit,
        "dirty": None if changes is None else changes != "",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load_average": _load_average(),  # over 1, 5 and 15 minutes, before the benchmark
    }


def machine_cpu_seconds() -> float | None:
    """Return the seconds that all CPUs have worked, for whomever; None where nothing tells."""
    try:
        fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
        user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None


def _memory_mb() -> float | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return round(int(line.split()[1]) * 1024 / 1e6)
    return None


def _gpu_names() -> list[str]:
    with contextlib.suppress(EngineError):  # a driver that does not start
        return [gpu.name for gpu in visible_gpus()]
    return []


def _load_average() -> list[float] | None:
    with contextlib.suppress(AttributeError, OSError):  # Windows has none
        return [round(load, 2) for load in os.getloadavg()]
    return None


def _git(*arguments: str) -> str | None:
    """Ask git about this code; None if it is not a checkout (an installed wheel, for one)."""
    if not (ROOT / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()

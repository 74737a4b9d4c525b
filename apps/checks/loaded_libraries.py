"""Which shared libraries this process has loaded: what really runs, whatever pip says."""

from __future__ import annotations

from pathlib import Path

__all__ = ["tell_libraries"]

_MAPS = Path("/proc/self/maps")  # of Linux


def tell_libraries(*words: str) -> str:
    """The libraries whose names or folders hold one of these words: 'libx.so.1 in /folder'.

    Where the system does not tell, that is said.
    """
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "this system does not tell with which library"
    paths = {Path(line.partition("/")[2]) for line in lines if ".so" in line and "/" in line}
    found = sorted(
        path for path in paths if any(word in f"{path.parent.name}/{path.name}" for word in words)
    )
    folders = dict.fromkeys(path.parent for path in found)
    return "; ".join(
        f"{', '.join(path.name for path in found if path.parent == folder)} in /{folder}"
        for folder in folders
    )

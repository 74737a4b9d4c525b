"""Where files of this user lie that belong to no bundle: data that matters, and caches."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["find_cache_folder", "find_data_folder"]


def find_data_folder() -> Path:
    """StyleRT's folder for what must not be lost. It may not exist.

    Raises:
        OSError: this user has no home.
    """
    windows, mac = ("AppData", "Local"), ("Library", "Application Support")
    return _find("XDG_DATA_HOME", windows, mac, (".local", "share")) / "stylert"


def find_cache_folder() -> Path:
    """StyleRT's folder for what costs only time when it is lost. It may not exist.

    Raises:
        OSError: this user has no home.
    """
    windows, mac = ("AppData", "Local"), ("Library", "Caches")
    folder = _find("XDG_CACHE_HOME", windows, mac, (".cache",)) / "stylert"
    return folder / "cache" if sys.platform == "win32" else folder  # data lies there, too


def _find(
    variable: str, windows: tuple[str, ...], mac: tuple[str, ...], others: tuple[str, ...]
) -> Path:
    """The folder that the variable names, else the system's own below the user's home."""
    named = Path(os.environ.get(variable, ""))
    if named.is_absolute():  # the XDG specification: others are to be ignored
        return named
    local = os.environ.get("LOCALAPPDATA")
    if sys.platform == "win32" and local:
        return Path(local)
    below = {"win32": windows, "darwin": mac}.get(sys.platform, others)
    try:
        return Path.home().joinpath(*below)
    except RuntimeError as error:
        raise OSError(str(error)) from None

"""Packages that only some installations have, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from stylert.runtime.errors import MissingExtra
from stylert.runtime.packages import install_command

__all__ = ["import_package"]


def import_package(module: str, title: str, extra: str) -> Any:
    """Import a module.

    Args:
        module: its dotted name.
        title: of the package, for the message.
        extra: that brings it.

    Raises:
        MissingExtra: it is not installed, or not whole; the message has the command.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:  # the last is tritonclient's, of grpc
        reason = " ".join(str(error).split())
        raise MissingExtra(
            f"{title} cannot be imported ({reason:.120}). Run: {install_command(extra)}"
        ) from None

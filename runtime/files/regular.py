"""What users name as a file is one: a pipe would be waited for, and a device has no end."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["check_regular", "open_file"]


def check_regular(path: str | Path) -> None:
    """Refuse a named pipe, the pipe of a shell's `<(...)`, a socket and a device.

    Most formats are read from more than one place of the file, which a pipe does not allow.

    Raises:
        OSError: it is none of a file and a folder, or is not there.
    """
    mode = Path(path).stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        reason = "it is a device or a pipe, expected a file"
        raise OSError(errno.ESPIPE, reason, str(path))


def open_file(path: str | Path) -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe or a device.
    """
    check_regular(path)
    return Path(path).open("rb")

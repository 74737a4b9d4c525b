"""Files that a command is about to write, checked before anything is drawn."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import holds_channels, image_format

__all__ = ["check_channels", "check_new", "check_picture", "check_styles", "check_writable"]


def check_new(path: Path, *, force: bool) -> None:
    """Refuse to replace a file, unless `force` is given."""
    if path.exists() and not force:
        raise InvalidInput(f"{path} exists. Pass force=True to replace it, or choose another name.")
    check_writable(path)


def check_styles(name: str, path: Path, *, force: bool) -> None:
    """Check the file of ws that an argument of this name asks for."""
    if path.suffix != ".npz":
        raise InvalidInput(f"{name}: got {path}, expected the name of a .npz file")
    check_new(path, force=force)


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be written where it is to be, before the work that it is to keep.

    Raises:
        OSError: a folder of that name, or above it something that is no folder, or one that this
            user may not write to.
    """
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if path.is_dir():
        wrong = errno.EISDIR
    elif not above.is_dir():
        wrong = errno.ENOTDIR
    elif not os.access(above, os.W_OK | os.X_OK):
        wrong = errno.EACCES
    else:
        return
    raise OSError(wrong, os.strerror(wrong), str(path))


def check_picture(path: Path, *, quality: int | None = None, force: bool) -> None:
    """Check the file of one picture.

    Raises:
        InvalidInput: a suffix that nothing here can write, a folder, a quality of what has none,
            or a file that is there.
    """
    kind = image_format(path)
    if quality is not None and kind not in ("JPEG", "WEBP"):
        raise InvalidInput(f"quality: got one for {path}, expected a .jpg or .webp file")
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder, expected the name of one picture")
    check_new(path, force=force)


def check_channels(path: Path, channels: int) -> None:
    """Refuse a file that cannot hold pictures of so many channels, before they are drawn."""
    if not holds_channels(image_format(path), channels):
        raise InvalidInput(
            f"{path}: got pictures of {channels} channels, which no {path.suffix} file holds; "
            f"expected {'.png' if holds_channels('PNG', channels) else '.npy'}"
        )

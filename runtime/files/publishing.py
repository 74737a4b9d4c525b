"""Publishing: what is written appears whole or not at all, and survives a power cut.

It is written beside its place, brought to the disk, and renamed. Whatever ends that early, Ctrl-C
too, leaves all as it was.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from stylert.runtime.errors import InvalidInput

__all__ = [
    "check_folder",
    "naming",
    "publish_bytes",
    "publish_file",
    "publish_folder",
    "sync_file",
    "sync_files",
    "sync_folder",
]

PARTIAL = ".partial"  # what the names of unfinished files and folders end with
SYNCS = 8  # files at a time: the disk then takes them together, in an eighth of the time


@contextmanager
def publish_file(
    path: str | Path, *, overwrite: bool = True, beside: Path | None = None, sync: bool = True
) -> Iterator[Path]:
    """Write a file: the block writes the one that it is given, which then gets the name `path`.

        with publish_file("ws.npy") as partial, partial.open("wb") as file:
            numpy.save(file, ws)

    Missing folders are made. Errors of the system are told of `path`.

    Args:
        path: the file.
        overwrite: replace one that is there.
        beside: the file's name until then, in the same file system; None = a new one.
        sync: bring it to the disk, too. Without, it is whole unless the machine loses its power.

    Raises:
        FileExistsError: there is one, and `overwrite` is not given.
        OSError: the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    partial = beside or path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    with naming(path), _make_parents(path):
        try:
            yield partial
            if sync:
                sync_file(partial)
            if not overwrite and path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        if sync:
            sync_folder(path.parent)


def publish_bytes(
    path: str | Path,
    data: bytes,
    *,
    overwrite: bool = True,
    beside: Path | None = None,
    sync: bool = True,
) -> None:
    """Write a file of these bytes; see `publish_file`."""
    with publish_file(path, overwrite=overwrite, beside=beside, sync=sync) as partial:
        partial.write_bytes(data)


def check_folder(path: Path, *, force: bool, kind: str, files: Collection[str]) -> None:
    """Refuse a folder that must not be replaced, before any work is done.

    Args:
        path: where something is to be written.
        force: replace one of its kind.
        kind: what is to be written, in words.
        files: names that each of its kind has.

    Raises:
        InvalidInput: it exists, and is of another kind or `force` is not given, or it holds the
            current folder.
    """
    if not path.exists():
        return
    empty = path.is_dir() and not any(path.iterdir())
    if not empty and not all((path / name).is_file() for name in files):
        raise InvalidInput(
            f"{path} exists and is no {kind}: it is left as it is. Choose another name."
        )
    if not empty and not force:
        raise InvalidInput(f"{path} exists. Pass force=True to replace it, or choose another name.")
    if Path.cwd().is_relative_to(os.path.realpath(path)):  # a shell in there would be nowhere
        raise InvalidInput(
            f"{path} is the current folder, or one above it: it cannot be replaced from inside. "
            "Choose another name."
        )


@contextmanager
def publish_folder(path: str | Path) -> Iterator[Path]:
    """Write a folder: the block fills the one that it is given, which then gets the name `path`.

    One that is there is replaced; it stays until the new one is complete. Where `path` is a link,
    what it points to is. Missing folders above it are made, and what killed processes left beside
    it is removed. Errors of the system are told of `path`.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    with naming(Path(path)):
        place = Path(os.path.realpath(path))
        partial = place.with_name(f".{place.name}.{os.getpid()}{PARTIAL}")
        _remove_leftovers(place)
        with _make_parents(place):
            try:
                partial.mkdir()
                yield partial
                _sync_all(partial)
                _put_folder(partial, place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            sync_folder(place.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Tell errors of the system of this path: no file, or an unfinished one, helps nobody."""
    try:
        yield
    except OSError as error:
        named = (error.filename, error.filename2)  # of a copy it is the source, then the target
        parts = [part for name in named for part in Path(str(name)).parts]
        if error.filename is not None and not any(part.endswith(PARTIAL) for part in parts):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def sync_file(path: Path) -> None:
    """Bring the bytes of a file to the disk."""
    _sync(path, os.O_RDWR)  # Windows syncs only what may be written


def sync_files(paths: Iterable[Path]) -> None:
    """Bring the bytes of many files to the disk."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(SYNCS, thread_name_prefix="sync") as pool:
        list(pool.map(sync_file, paths))


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can (not on Windows)."""
    with suppress(OSError):
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    number = os.open(path, flags)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sync_all(folder: Path) -> None:
    """Bring a folder to the disk with all that is in it."""
    paths = list(folder.rglob("*"))
    sync_files(path for path in paths if path.is_file())
    for inner in (*(path for path in paths if path.is_dir()), folder):
        sync_folder(inner)


@contextmanager
def _make_parents(path: Path) -> Iterator[None]:
    """Make the missing folders above a path; after a failure they are removed again."""
    missing = list(takewhile(lambda folder: not folder.exists(), path.parents))
    try:
        if missing:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # it holds something by now, or was never made
                folder.rmdir()
        raise


def _put_folder(partial: Path, place: Path) -> None:
    """Rename a folder; an older one stays until the new one is there."""
    if not place.exists():
        partial.rename(place)
        return
    old = place.with_name(f".{place.name}.{os.getpid()}.old")
    try:
        place.rename(old)
        partial.rename(place)
    except BaseException:
        if not place.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(place: Path) -> None:
    """Remove what processes left beside a folder when they were killed."""
    made_here = re.compile(re.escape(f".{place.name}.") + r"(\d{1,9})\.(partial|old)")
    with suppress(OSError):  # no such folder, or not ours to read
        for path in place.parent.iterdir():
            match = made_here.fullmatch(path.name)
            if match is None or _is_another_alive(int(match[1])):
                continue
            # Killed in the middle of `_put_folder`, the old one is the only one that there is.
            if match[2] == "partial" or place.exists():
                shutil.rmtree(path, ignore_errors=True)


def _is_another_alive(pid: int) -> bool:
    if pid == os.getpid():  # one that is dead had our number, as in a container
        return False
    if sys.platform == "win32":  # where os.kill(pid, 0) is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True

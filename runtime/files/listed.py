"""The files of a bundle, as its manifest lists them: plain names, whole, and closed in themselves.

Whoever wrote the bundle wrote the list, too. So a file is no link that leads out of the bundle, and
a graph names no other file than those that are listed: a backend would read it. What is read long
after that is still the file that was checked.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylert.runtime.errors import BundleError
from stylert.runtime.files.external_data import find_external_files

__all__ = ["Stamp", "check_files", "check_name", "find_file", "hash_file", "make_entry"]

Stamp = tuple[int, int]  # of a file: bytes, and when it was written; cheaper to compare than a hash

_PLAIN = re.compile(r"\w[\w.-]{0,99}", re.ASCII)  # the same file on all systems, and no folder
_AGAIN = "Copy the bundle again, or export the checkpoint again."
_CONVERTED = (
    " Some converters and optimizers rewrite the graph that they are given: give them a copy."
)


def check_name(name: Any, *, ending: str = "") -> str:
    """The name of a file of a bundle.

    Raises:
        ValueError: it is none, or might lie elsewhere.
    """
    if not isinstance(name, str) or not _PLAIN.fullmatch(name) or not name.endswith(ending):
        of = f"ending in {ending}, of" if ending else "of"
        raise ValueError(f"got the file {name!r:.40}, expected a name {of} letters, digits, . _ -")
    return name


def check_files(
    path: Path, files: Mapping[str, Mapping[str, Any]], *, check_hash: bool
) -> dict[str, Stamp]:
    """Refuse a bundle whose files are not those of the list.

    Args:
        path: the bundle.
        files: the list: 'bytes' and 'sha256' by name.
        check_hash: compare the SHA-256, too.

    Returns:
        The stamps of the files that were checked, for `find_file`.

    Raises:
        BundleError: a file is missing, another one, or reaches out of the bundle.
    """
    stamps = {}
    for name, entry in files.items():
        stamps[name] = _check_file(path, name, entry, check_hash=check_hash)
        if name.endswith(".onnx"):
            _check_graph(path, name, files)
    return stamps


def find_file(
    path: Path, name: str, files: Mapping[str, Mapping[str, Any]], stamps: Mapping[str, Stamp]
) -> Path:
    """Path of a file, which is still the one that was checked when the bundle was opened.

    Args:
        path: the bundle.
        name: of the file.
        files: the list: 'sha256' by name.
        stamps: those of `check_files`; a file without one was not checked.

    Raises:
        BundleError: it is gone, or another one.
    """
    for part in (name, f"{name}.data"):
        if part not in stamps:
            continue
        try:
            same = _stamp(path / part) == stamps[part]
            same = same or hash_file(path / part) == files[part]["sha256"]
        except OSError as error:
            raise BundleError(
                f"Bundle {path}: {part} cannot be read any more ({error.strerror})."
            ) from None
        if not same:
            raise BundleError(
                f"Bundle {path}: {part} was replaced since the bundle was opened. Open it again."
            )
    return path / name


def make_entry(path: Path) -> dict[str, Any]:
    """What the manifest says of a file: its bytes and their SHA-256."""
    return {"bytes": path.stat().st_size, "sha256": hash_file(path)}


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _check_file(path: Path, name: str, entry: Mapping[str, Any], *, check_hash: bool) -> Stamp:
    file = path / name
    if not file.is_file():
        raise BundleError(f"Bundle {path}: {name} is missing. {_AGAIN}")
    if not file.resolve().is_relative_to(path.resolve()):
        raise BundleError(
            f"Bundle {path}: {name} is a link to a file outside of the bundle. If you know that "
            f"file, copy the bundle without links: cp -rL {shlex.quote(str(path))} COPY"
        )
    stamp = size, _ = _stamp(file)
    advice = _AGAIN + (_CONVERTED if name.endswith(".onnx") else "")
    if size != entry.get("bytes"):
        raise BundleError(
            f"Bundle {path}: {name} has {size} bytes, expected {entry.get('bytes')!r:.40}. {advice}"
        )
    if check_hash and (digest := hash_file(file)) != entry.get("sha256"):
        raise BundleError(
            f"Bundle {path}: {name} was changed: its SHA-256 is {digest[:12]}..., expected "
            f"{ascii(str(entry.get('sha256')))[1:13]}.... {advice}"
        )
    return stamp


def _stamp(file: Path) -> Stamp:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _check_graph(path: Path, name: str, listed: Mapping[str, Any]) -> None:
    try:
        reached = find_external_files(path / name)
    except ValueError as error:
        raise BundleError(f"Bundle {path}: {name} is no ONNX file ({error}). {_AGAIN}") from None
    if outside := sorted(reached - listed.keys()):
        raise BundleError(
            f"Bundle {path}: {name} would read the file {outside[0]!r:.80}, expected one that "
            "manifest.json lists. Do not use this bundle; export the checkpoint yourself."
        )

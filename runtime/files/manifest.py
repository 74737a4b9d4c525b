"""The file manifest.json of a bundle: read, of this schema, and sealed with its own SHA-256."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stylert.runtime.errors import BundleError, InvalidInput
from stylert.runtime.files.json_files import read_json
from stylert.runtime.files.publishing import publish_bytes

__all__ = ["MANIFEST", "SCHEMA", "check_place", "check_text", "extend_manifest"]
__all__ += ["publish_manifest", "read_manifest", "sealed"]

MANIFEST = "manifest.json"
SCHEMA = 1  # goes up when an older runtime could misread a newer bundle
MAX_MANIFEST = 2**25  # bytes; StyleGAN-XL's with a w_avg for each of 1000 classes has half of it


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the SHA-256 of its content, whatever the order of the keys."""
    return {**manifest, "sha256": _digest(manifest)}


def _digest(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def publish_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a bundle, sealed, in place of one that is there.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    text = json.dumps(sealed(manifest), indent=1, allow_nan=False) + "\n"
    publish_bytes(folder / MANIFEST, text.encode())


def extend_manifest(
    folder: Path,
    manifest: Mapping[str, Any],
    *,
    files: Mapping[str, Mapping[str, Any]],
    graphs: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    **facts: Any,
) -> None:
    """List more in a bundle that is there: the last step of each addition to one.

    It comes after the files: so a bundle whose power went never lists what it has not.

    Args:
        folder: the bundle's directory.
        manifest: the manifest so far.
        files: entries of the new files by name.
        graphs: what is told of the new graphs by name.
        **facts: further keys, in place of those that are there.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    added = {"files": files, "graphs": graphs}
    parts = {key: {**manifest[key], **more} for key, more in added.items()}
    publish_manifest(folder, {**manifest, **parts, **facts})


def check_place(path: Path) -> None:
    """Refuse the folder of a bundle whose path is no UTF-8: neither ONNX Runtime nor onnx opens it.

    Raises:
        InvalidInput: so it is, as of an old ZIP file, or where the locale is C.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InvalidInput(
            f"Bundle {str(path)!a}: the path is no UTF-8, and ONNX Runtime opens nothing else. "
            "Rename the folder, or set LC_ALL=C.UTF-8 if its name is right."
        ) from None


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the bundle in a folder; what is in it is not checked.

    Raises:
        BundleError: there is no bundle, or one of another schema.
        InvalidInput: the path is no UTF-8.
    """
    check_place(path)
    out = shlex.quote(str(path))
    if not path.exists():
        raise BundleError(f"No bundle at {path}. Make one: stylert export CHECKPOINT --out {out}")
    file = path / MANIFEST
    if not path.is_dir():
        raise BundleError(
            f"{path} is a file, expected the folder of a bundle. Of a checkpoint, make one: "
            "stylert export CHECKPOINT --out BUNDLE. An archive has to be unpacked first."
        )
    if not file.is_file():
        raise BundleError(
            f"{path} is not a bundle: expected a directory with a {MANIFEST}. "
            "Make one: stylert export CHECKPOINT --out BUNDLE"
        )
    try:
        manifest = read_json(file, most=MAX_MANIFEST)
    except (OSError, ValueError) as error:
        raise BundleError(f"Bundle {path}: cannot read {MANIFEST} ({error}).") from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise BundleError(f"Bundle {path}: {MANIFEST} has no valid 'schema' (got {schema!r:.40}).")
    if schema > SCHEMA:
        raise BundleError(
            f"Bundle {path} is of schema {schema}, this StyleRT reads {SCHEMA}. "
            "Install a newer StyleRT, or export the checkpoint again with this one."
        )
    if schema < SCHEMA:
        raise BundleError(
            f"Bundle {path} is of schema {schema}, this StyleRT reads {SCHEMA}. Export the "
            f"checkpoint again: stylert export {_source(manifest)} --out {out} --force"
        )
    return dict(manifest)


def check_text(value: Any) -> str:
    """A text of one line.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"got {value!r:.40}, expected a text")
    return value


def _source(manifest: Mapping[str, Any]) -> str:
    """The file that a bundle of any schema says it was made of; a manifest may say anything."""
    try:
        file = check_text(manifest["provenance"]["source"]["file"])
    except (KeyError, TypeError, ValueError):
        return "CHECKPOINT"
    return shlex.quote(file) if len(file) <= 200 else "CHECKPOINT"

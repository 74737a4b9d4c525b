"""Bundles whose manifest says something else: sealed again, as whoever wrote them would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stylert.runtime.bundle import MANIFEST, hash_file, sealed

__all__ = ["change_manifest", "list_file"]


def change_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, and seal it."""
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(sealed(manifest)), encoding="utf-8")


def list_file(bundle: Path, name: str) -> None:
    """Enter a file into the manifest as it is now."""
    file = bundle / name
    entry = {"bytes": file.stat().st_size, "sha256": hash_file(file)}
    change_manifest(bundle, lambda manifest: manifest["files"].update({name: entry}))

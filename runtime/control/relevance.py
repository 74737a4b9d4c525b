"""Relevance tables: how much each style of a generator changes each direction of a prompt space.

A table is made once for a generator and a pair of networks that embed pictures and prompts, and is
kept in the bundle: relevance-NAME.npz with `table` [S, d] float32, and in the manifest what prompts
it is for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.arguments import shown
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.style_space import find_style_space, read_style_space
from stylert.runtime.errors import BundleError, InvalidInput
from stylert.runtime.files.listed import make_entry
from stylert.runtime.files.manifest import MANIFEST, check_text, extend_manifest
from stylert.runtime.files.publishing import publish_file
from stylert.runtime.latents import check_floats

__all__ = ["RelevanceTable", "list_relevance", "read_relevance", "write_relevance"]

MOST_FEATURES = 2**13  # d; those of CLIP are 512 to 1024

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class RelevanceTable:
    """How much each style changes what is measured.

    Attributes:
        name: such as 'vit-b-32': small letters, digits, - and _.
        prompt_space: what measures: a text of one line that tells one pair of networks from others,
            such as the SHA-256 of its text tower.
        table: [S, d] float32, a row for each style in the order of the style space.
    """

    name: str
    prompt_space: str
    table: np.ndarray


def list_relevance(bundle: Bundle) -> dict[str, str]:
    """The prompt space of each table of a bundle, by its name.

    Raises:
        BundleError: the manifest is damaged.
    """
    return {name: entry["prompt_space"] for name, entry in _read_entries(bundle).items()}


def read_relevance(bundle: Bundle, name: str) -> RelevanceTable:
    """A table of a bundle.

    Raises:
        InvalidInput: the bundle has none of that name, or no style space.
        BundleError: its file is damaged.
    """
    size = find_style_space(bundle, read_style_space(bundle)).size
    entries = _read_entries(bundle)
    if name not in entries:
        there = ", ".join(map(repr, entries)) or "a name, but the bundle has no tables"
        raise InvalidInput(f"name: got {shown(name)}, expected {there}.")
    d = entries[name]["features"]
    with bundle.arrays(_name_file(name), 4 * size * d + 4096) as (headers, arrays):
        if headers != {"table": ((size, d), np.dtype(np.float32))}:
            raise ValueError(f"it holds {headers!r:.80}, expected a table of {size} x {d}")
        table = arrays["table"]
        if not np.isfinite(table).all():
            raise ValueError("it has a NaN or infinity")
    return RelevanceTable(name, entries[name]["prompt_space"], table)


def write_relevance(path: str | Path, table: RelevanceTable, *, force: bool = False) -> Path:
    """Keep a table in a bundle.

    Args:
        path: the bundle's directory.
        table: to be kept.
        force: replace one of that name.

    Returns:
        The file.

    Raises:
        InvalidInput: no style space, another number of styles, a name that is none, or a table of
            that name that is there.
        BundleError: no bundle, or a damaged one.
        OSError: the disk is full, or the folder cannot be written.
    """
    bundle = Bundle.open(path)
    size = find_style_space(bundle, read_style_space(bundle)).size
    if not isinstance(table.name, str) or not _NAME.fullmatch(table.name):
        raise InvalidInput(
            f"name: got {shown(table.name)}, expected up to 40 small letters, digits, - and _."
        )
    numbers = check_floats("table", table.table)
    if numbers.ndim != 2 or len(numbers) != size or not 0 < numbers.shape[1] <= MOST_FEATURES:
        raise InvalidInput(f"table: got shape {numbers.shape}, expected ({size}, d).")
    entries = _read_entries(bundle)
    if table.name in entries and not force:
        raise InvalidInput(f"{path} has a table {table.name!r}. Pass force=True to replace it.")
    file = bundle.path / _name_file(table.name)
    with publish_file(file) as partial:
        with partial.open("wb") as stream:
            np.savez(stream, table=numbers)
        listed = {file.name: make_entry(partial)}
    told = {"prompt_space": table.prompt_space, "features": numbers.shape[1]}
    tables = {**entries, table.name: told}
    extend_manifest(bundle.path, bundle.manifest, files=listed, relevance=tables)
    return file


def _read_entries(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """What the manifest tells of each table."""
    found: dict[str, dict[str, Any]] = {}
    try:
        for name, entry in bundle.manifest.get("relevance", {}).items():
            features = entry["features"]
            whole = type(features) is int and 0 < features <= MOST_FEATURES
            if not whole or not _NAME.fullmatch(name):
                raise ValueError(f"a table is {name!r:.40} of {features!r:.20}")
            found[name] = {"prompt_space": check_text(entry["prompt_space"]), "features": features}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"Bundle {bundle.path}: {MANIFEST} does not say what its relevance tables are "
            f"({error}). Export the checkpoint again."
        ) from None
    return found


def _name_file(name: str) -> str:
    return f"relevance-{name}.npz"

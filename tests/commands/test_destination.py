"""Where images go: what a path and options mean, and what does not go together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from stylert.commands.destination import (
    cells_of_picture,
    is_picture,
    refuse_storage,
    storage_of,
)

Refuses = Callable[..., AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a file and two folders in it."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("folder.png").mkdir()
    Path("folder.zip").mkdir()


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a/one.png", True), ("one.JPG", True), ("one.webp", True), ("folder.png", False)]
    + [(name, False) for name in ("images", "set.zip", "x.tar", "x.xyz", ".", "")],
)
def test_what_names_a_picture(path: str, expected: bool) -> None:
    assert is_picture(Path(path)) is expected


def test_the_cells_of_a_picture(refuses: Refuses) -> None:
    path = Path("a.png")
    assert cells_of_picture(path, images=1, grid=None) == (1, 1)
    assert cells_of_picture(path, images=5, grid="3x2") == (3, 2)
    assert cells_of_picture(path, images=5, grid="auto") == (None, None)
    with refuses("a.png is one file for 2 images; pass a folder, or --grid for one picture"):
        cells_of_picture(path, images=2, grid=None)
    with refuses("--grid: got '3x1'"):
        cells_of_picture(path, images=5, grid="3x1")


def test_one_picture_without_storage() -> None:
    refuse_storage(Path("a.png"), container=None, shard_size=None, image_format=None)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("container", "--container"),
        ("shard_size", "--shard-size"),
        ("image_format", "--format"),
        ("compression", "--compression"),
    ],
)
def test_one_picture_has_no_storage(refuses: Refuses, name: str, option: str) -> None:
    with refuses(f"{option}: got one for a.png, which is one picture; expected a folder"):
        refuse_storage(Path("a.png"), **{name: 1})


@pytest.mark.parametrize(
    ("path", "options", "expected"),
    [
        ("images", {}, {"container": "folder"}),
        ("set.zip", {}, {"container": "zip"}),
        ("folder.zip", {}, {"container": "folder"}),
        ("shards", {"shard_size": 10}, {"container": "webdataset", "shard_size": 10}),
        ("set.zip", {"container": "folder"}, {"container": "folder"}),
        ("file", {"container": "zip"}, {"container": "zip"}),  # to be replaced, or gone on with
        (
            "images",
            {"image_format": "jpeg", "quality": 80, "compression": None},
            {"container": "folder", "image_format": "jpeg", "quality": 80},
        ),
    ],
)
def test_how_images_are_stored(path: str, options: dict[str, Any], expected: Any) -> None:
    assert storage_of(Path(path), **options) == expected


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("x.tar", {}, "x.tar: shards are written into a folder; pass --out FOLDER --shard-size N"),
        ("x", {"shard_size": 1, "container": "zip"}, "--shard-size: got one for a zip, expected"),
        ("file", {}, "file is a file; --out names a folder, or pass --grid for one picture"),
        ("file", {"shard_size": 1}, "file is a file; --out names a folder"),
    ],
)
def test_what_does_not_go_together(
    refuses: Refuses, path: str, options: dict[str, Any], message: str
) -> None:
    with refuses(message):
        storage_of(Path(path), **options)

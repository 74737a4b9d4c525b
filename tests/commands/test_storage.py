"""Where images go: what a path and options mean, and what does not go together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from stylert.commands.storage import Storage, is_picture

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
    + [("one.npy", True), ("one.tiff", True)]
    + [(name, False) for name in ("images", "set.zip", "x.tar", "x.xyz", ".", "")],
)
def test_what_names_a_picture(path: str, expected: bool) -> None:
    assert is_picture(Path(path)) is expected


def test_one_picture_without_storage() -> None:
    assert Storage(quality=90).to_picture_options(Path("a.png")) == {}


def test_one_array(refuses: Refuses) -> None:
    form = {"image_format": "npy", "dtype": "uint8"}
    assert Storage().to_picture_options(Path("a.npy")) == form
    floats = Storage(dtype="float32")
    assert floats.to_picture_options(Path("a.NPY")) == {**form, "dtype": "float32"}
    with refuses("dtype: got one for a.png, expected a .npy file"):
        floats.to_picture_options(Path("a.png"))


@pytest.mark.parametrize("name", ["container", "shard_size", "image_format", "compression"])
def test_one_picture_has_no_storage(refuses: Refuses, name: str) -> None:
    options: dict[str, Any] = {name: 1}
    with refuses(f"{name}: got one for a.png, which is one picture"):
        Storage(**options).to_picture_options(Path("a.png"))


@pytest.mark.parametrize(
    ("path", "options", "expected"),
    [
        ("images", {}, {"container": "folder"}),
        ("set.zip", {}, {"container": "zip"}),
        ("set.ZIP", {}, {"container": "zip"}),
        ("folder.zip", {"shard_size": 9}, {"container": "webdataset", "shard_size": 9}),
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
    assert Storage(**options).to_options(Path(path)) == expected


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        (
            "x.zip",
            {"shard_size": 9},
            "shard_size: got one for x.zip, a zip file, expected a folder",
        ),
        ("x.TAR", {}, "x.TAR: shards need a folder"),
        ("x.tar", {}, "x.tar: shards need a folder, and shard_size=1000 or another"),
        ("walk.MP4", {}, "walk.MP4 is a video, expected pictures. Films: stylert video"),
        ("x", {"shard_size": 1, "container": "zip"}, "shard_size: got one for a zip, expected"),
        ("file", {}, "file is a file, expected the name of a folder"),
        ("file", {"shard_size": 1}, "file is a file, expected the name of a folder"),
    ],
)
def test_what_does_not_go_together(
    refuses: Refuses, path: str, options: dict[str, Any], message: str
) -> None:
    with refuses(message):
        Storage(**options).to_options(Path(path))

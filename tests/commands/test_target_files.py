"""Files to write: what is refused, and what is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylert.commands.target_files import check_channels, check_new, check_picture, check_writable
from stylert.runtime.images import save_image

Refuses = Callable[..., AbstractContextManager[None]]
PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_picture_in_a_new_folder() -> None:
    path = Path("a/b/one.png")
    check_picture(path, force=False)
    save_image(PICTURE, path)
    with Image.open("a/b/one.png") as image:
        assert np.array_equal(np.asarray(image), PICTURE)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_file_has_95_unless_another_quality_is_asked_for(suffix: str) -> None:
    """As data sets have it."""
    for quality in (None, 95, 75):
        save_image(PICTURE, Path(f"{quality}{suffix}"), quality=quality)
    told = {q: Path(f"{q}{suffix}").read_bytes() for q in (None, 95, 75)}
    assert told[None] == told[95] != told[75]


def test_the_quality_is_the_files() -> None:
    for name, quality in (("low.jpg", 1), ("high.jpg", 100)):
        check_picture(Path(name), quality=quality, force=False)
        save_image(PICTURE, Path(name), quality=quality)
    assert Path("low.jpg").stat().st_size < Path("high.jpg").stat().st_size


def test_a_file_is_replaced_with_force_alone(refuses: Refuses) -> None:
    path = Path("one.png")
    path.write_text("old")
    for check in (check_new, check_picture):
        with refuses("one.png exists. Pass force=True to replace it, or choose another name."):
            check(path, force=False)
        check(path, force=True)
    save_image(PICTURE, path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("path", "quality", "message"),
    [
        ("one", None, "one: cannot write '', use .png, .jpg, .webp, .tiff or .npy."),
        ("one.xyz", None, "one.xyz: cannot write '.xyz'"),
        ("one.png", 90, "quality: got one for one.png, expected a .jpg or .webp file"),
        ("folder.png", None, "folder.png is a folder, expected the name of one picture"),
    ],
)
def test_what_is_refused(refuses: Refuses, path: str, quality: int | None, message: str) -> None:
    Path("folder.png").mkdir()
    with refuses(message):
        check_picture(Path(path), quality=quality, force=True)


def test_a_place_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    Path("folder/inner").mkdir(parents=True)
    for check in (check_writable, partial(check_new, force=True)):
        check(Path("folder/new/one"))
        check(Path("file"))
        with pytest.raises(NotADirectoryError) as caught:
            check(Path("file/one"))
        assert caught.value.filename == "file/one"
        with pytest.raises(IsADirectoryError):
            check(Path("folder"))
    # Root may write anywhere, so the system's answer is put in its mouth.
    asked = []
    monkeypatch.setattr("os.access", lambda path, mode: asked.append((path, mode)))
    with pytest.raises(PermissionError) as denied:
        check_writable(Path("folder/new/one"))
    assert denied.value.filename == "folder/new/one"
    assert asked == [(Path("folder").absolute(), os.W_OK | os.X_OK)]


@pytest.mark.parametrize(
    ("path", "channels", "expected"),
    [("a.png", 13, ".npy"), ("a.tiff", 5, ".npy"), ("a.jpg", 4, ".png"), ("a.jpg", 13, ".npy")],
)
def test_channels_that_a_file_does_not_hold(
    refuses: Refuses, path: str, channels: int, expected: str
) -> None:
    with refuses(
        f"{path}: got pictures of {channels} channels, which no .", f"expected {expected}"
    ):
        check_channels(Path(path), channels)
    for fitting in ("a.npy", *(("a.webp", "a.tif") if channels < 5 else ())):
        check_channels(Path(fitting), channels)

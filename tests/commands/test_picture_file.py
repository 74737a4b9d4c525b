"""One picture's file: what is refused, and what is written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylert.commands.picture_file import PictureFile

Refuses = Callable[..., AbstractContextManager[None]]
PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_picture_in_a_new_folder() -> None:
    file = PictureFile(Path("a/b/one.png"))
    file.check_new(force=False)
    file.write(PICTURE)
    with Image.open("a/b/one.png") as image:
        assert np.array_equal(np.asarray(image), PICTURE)


def test_the_quality_is_the_files() -> None:
    for name, quality in (("low.jpg", 1), ("high.jpg", 100)):
        PictureFile(Path(name), quality).write(PICTURE)
    assert Path("low.jpg").stat().st_size < Path("high.jpg").stat().st_size


def test_a_file_is_replaced_with_force_alone(refuses: Refuses) -> None:
    Path("one.png").write_text("old")
    file = PictureFile(Path("one.png"))
    with refuses("one.png exists. Pass --force to replace it, or choose another --out."):
        file.check_new(force=False)
    file.check_new(force=True)
    file.write(PICTURE)
    assert Path("one.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("path", "quality", "message"),
    [
        ("one", None, "one: cannot write '', use .png, .jpg or .webp."),
        ("one.xyz", None, "one.xyz: cannot write '.xyz'"),
        ("one.png", 90, "--quality: got one for one.png, expected a .jpg or .webp file"),
        ("folder.png", None, "folder.png is a folder; --out names one picture"),
    ],
)
def test_what_is_refused(refuses: Refuses, path: str, quality: int | None, message: str) -> None:
    Path("folder.png").mkdir()
    with refuses(message):
        PictureFile(Path(path), quality)

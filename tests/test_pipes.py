"""Everything that reads a file which users name refuses a pipe, and does not wait for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylert.apps.evaluation.data_pictures import open_data
from stylert.apps.photos.alignment import read_landmarks
from stylert.apps.projection.result_file import read_state
from stylert.export.checkpoints.reader import read_checkpoint
from stylert.export.encoders.reader import read_encoder
from stylert.export.latent_file import read_latents
from stylert.runtime import Generator
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.latent_files import is_pickled
from stylert.runtime.files.pictures import read_picture, read_planes
from stylert.runtime.files.regular import open_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes")
SAID = "it is a device or a pipe, expected a file"
READERS: list[Callable[[Path], object]] = [
    *(read_picture, read_planes, read_latents, read_checkpoint, read_encoder),
    *(read_state, read_landmarks),
]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "x.tar"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_is_refused(read: Callable[[Path], object], pipe: Path) -> None:
    with pytest.raises(InvalidInput, match=SAID):
        read(pipe)


def test_a_pipe_in_the_place_of_latents(generator: Generator, pipe: Path) -> None:
    assert not is_pickled(pipe)
    for read in (generator.load_ws, generator.load_direction):
        with pytest.raises(InvalidInput, match=f"Cannot read '{pipe}': {SAID}"):
            read(pipe)


def test_a_pipe_among_the_pictures_of_a_training(generator: Generator, pipe: Path) -> None:
    with pytest.raises(InvalidInput, match=f"data: got {pipe.parent}, .*: {SAID}$"):
        open_data(pipe.parent, generator.spec)
    pipe.rename(picture := pipe.with_suffix(".png"))
    pictures: Any = open_data(picture.parent, generator.spec)
    with pytest.raises(InvalidInput, match=f"x.png is no picture .*{SAID}"):
        pictures.read(range(1))


def test_a_device_and_the_pipe_of_a_shell(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    for place in ("/dev/zero", f"/dev/fd/{reading}"):
        if Path(place).exists():
            with pytest.raises(OSError, match=SAID) as caught:
                open_file(place)
            assert caught.value.filename == place
    os.close(reading)
    os.close(writing)
    (tmp_path / "x").write_bytes(b"there")
    (tmp_path / "link").symlink_to("x")
    with open_file(tmp_path / "link") as file:
        assert file.read() == b"there"

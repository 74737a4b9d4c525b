"""Images: bytes as the original tools make them, grids, and files that are whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert.runtime.images import make_grid, save_image, to_uint8


def noise(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("value", "byte"),
    [(-5, 0), (-1.004, 0), (-1, 0), (0, 128), (0.0039, 128), (0.004, 128), (1, 255), (5, 255)],
)
def test_bytes_are_the_original_tools(value: float, byte: int) -> None:
    img = np.full((1, 1, 1, 1), value, np.float32)
    assert to_uint8(img).tolist() == [[[[byte]]]]


def test_channels_go_last() -> None:
    img = np.random.RandomState(0).uniform(-1, 1, (2, 3, 4, 5)).astype(np.float32)
    image = to_uint8(img)
    assert image.shape == (2, 4, 5, 3)
    assert image.flags.c_contiguous
    assert image[1, 2, 3, 0] == int(img[1, 0, 2, 3] * 127.5 + 128)


@pytest.mark.parametrize(
    ("count", "columns", "size"),
    [(1, None, (1, 1)), (5, None, (2, 3)), (9, None, (3, 3)), (4, 1, (4, 1)), (3, 7, (1, 7))],
)
def test_a_grid_is_filled_row_by_row(
    count: int, columns: int | None, size: tuple[int, int]
) -> None:
    images = noise(count, 2, 3, 4)
    grid = make_grid(images, columns)
    rows, columns = size
    assert grid.shape == (rows * 2, columns * 3, 4)
    for i in range(rows * columns):
        y, x = 2 * (i // columns), 3 * (i % columns)
        expected = images[i] if i < count else np.zeros((2, 3, 4))
        assert np.array_equal(grid[y : y + 2, x : x + 3], expected)


@pytest.mark.parametrize("columns", [0, -1])
def test_a_grid_has_columns(refuses: Any, columns: int) -> None:
    with refuses(f"columns: got {columns}, expected an integer of at least 1"):
        make_grid(noise(4, 2, 2, 3), columns)


@pytest.mark.parametrize("shape", [(1, 4, 2, 2, 3), (2, 2, 3), (), (0, 2, 2, 3), (2, 0, 2, 3)])
def test_a_grid_is_of_pictures(refuses: Any, shape: tuple[int, ...]) -> None:
    with refuses(f"images: got shape {shape}, expected [N, H, W, C]"):
        make_grid(np.zeros(shape, np.uint8))


def test_rows_without_images_are_black(refuses: Any) -> None:
    images = noise(3, 2, 2, 3)
    grid = make_grid(images, 2, 4)
    assert np.array_equal(grid[:4], make_grid(images, 2))
    assert grid.shape == (8, 4, 3)
    assert not grid[4:].any()
    with refuses("rows: got 1, expected an integer of at least 2"):
        make_grid(images, 2, 1)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("suffix", [".png", ".PNG", ".webp"])
def test_an_image_comes_back(tmp_path: Path, channels: int, mode: str, suffix: str) -> None:
    image, path = noise(5, 7, channels), tmp_path / f"image{suffix}"
    save_image(image, str(path))
    with Image.open(path) as opened:
        assert opened.size == (7, 5)
        if suffix != ".webp":  # which has no gray
            assert opened.mode == mode
            assert np.array_equal(np.asarray(opened).reshape(image.shape), image)
    assert os.listdir(tmp_path) == [path.name]


def test_an_image_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_text("old")
    save_image(noise(5, 7, 3), path)
    with Image.open(path) as opened:
        assert opened.size == (7, 5)


@pytest.mark.parametrize(
    ("image", "name", "message"),
    [
        (noise(5, 7, 3).astype(np.float32), "a.png", "image: got float32 (5, 7, 3), expected"),
        (noise(5, 7), "a.png", "image: got uint8 (5, 7), expected"),
        (noise(1, 5, 7, 3), "a.png", "image: got uint8 (1, 5, 7, 3), expected"),
        (noise(5, 7, 5), "a.png", "image: got uint8 (5, 7, 5), expected"),
        (noise(5, 7, 0), "a.png", "image: got uint8 (5, 7, 0), expected"),
        (noise(0, 7, 3), "a.png", "use .png"),
        (noise(5, 7, 4), "a.jpg", "cannot write mode RGBA as JPEG; use .png"),
        (noise(5, 70_000, 3), "a.jpg", "use .png"),
        (noise(5, 7, 3), "a", "cannot write ''"),
        (noise(5, 7, 3), "a.txt", "cannot write '.txt', use .png"),
        (noise(5, 7, 3), ".png", "cannot write '', use .png"),
    ],
)
def test_what_cannot_be_saved(
    tmp_path: Path, refuses: Any, image: np.ndarray, name: str, message: str
) -> None:
    with refuses(message):
        save_image(image, tmp_path / name)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_an_interrupted_write_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, step: str
) -> None:
    (tmp_path / "image.png").write_text("old")

    def interrupted(path: Path, *_: object) -> None:
        if step == "write_bytes":
            with path.open("wb") as file:
                file.write(b"half")
        raise error

    monkeypatch.setattr(Path, step, interrupted)
    with pytest.raises(type(error)):
        save_image(noise(5, 7, 3), tmp_path / "image.png")
    assert os.listdir(tmp_path) == ["image.png"]
    assert (tmp_path / "image.png").read_text() == "old"


FULL_DISK = """
import resource, signal, sys
import numpy as np
from stylert.runtime.images import save_image
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
image = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
for name in sys.argv[1:]:
    try:
        save_image(image, name)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_disk_that_is_full_is_an_error_of_the_system(tmp_path: Path) -> None:
    names = ["a.png", "a.jpg", "a.webp", "a.bmp"]
    code = [sys.executable, "-c", FULL_DISK, *names]
    done = subprocess.run(code, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "".join(f"{name}: File too large\n" for name in names), done.stderr
    assert not os.listdir(tmp_path)


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    save_image(noise(5, 7, 3), tmp_path / "a" / "b" / "image.png")
    assert os.listdir(tmp_path / "a" / "b") == ["image.png"]


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError):
        save_image(noise(5, 7, 3), tmp_path / "folder.png")
    assert os.listdir(tmp_path) == ["folder.png"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            save_image(noise(5, 7, 3), tmp_path / "image.png")
    finally:
        tmp_path.chmod(0o700)

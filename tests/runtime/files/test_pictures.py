"""Pictures that users bring: every mode, turned, transparent, huge, cut off."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert.runtime.errors import InvalidInput, StylertWarning
from stylert.runtime.files.pictures import (
    MAX_PIXELS,
    list_pictures,
    make_grey,
    read_picture,
    read_planes,
    resize_picture,
)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """[6, 4, 3]: no two rows or columns are alike."""
    return np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3


def write(path: Path, picture: Image.Image, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def test_rgb(tmp_path: Path, pixels: np.ndarray) -> None:
    file = write(tmp_path / "a.png", Image.fromarray(pixels))
    np.testing.assert_array_equal(read_picture(file), pixels)
    np.testing.assert_array_equal(read_picture(str(file)), pixels)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb_and_grey(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    picture = Image.fromarray(pixels).convert(mode)
    file = write(tmp_path / f"a{'.tif' if mode == 'CMYK' else '.png'}", picture)
    np.testing.assert_array_equal(read_picture(file), np.asarray(picture.convert("RGB")))
    grey = np.asarray(picture.convert("L"))[:, :, None]
    np.testing.assert_array_equal(read_picture(file, channels=1), grey)


def test_sixteen_bits_keep_their_upper_half(tmp_path: Path) -> None:
    values = (np.arange(24, dtype=np.uint16) * 2730).reshape(6, 4)
    file = write(tmp_path / "a.png", Image.fromarray(values))
    np.testing.assert_array_equal(read_picture(file, channels=1)[:, :, 0], values >> 8)


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif(tmp_path: Path, pixels: np.ndarray, orientation: int, turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = write(tmp_path / "a.png", Image.fromarray(pixels), exif=exif)
    np.testing.assert_array_equal(read_picture(file), np.rot90(pixels, turned))


def test_transparent_pixels_are_laid_on_white(tmp_path: Path, pixels: np.ndarray) -> None:
    alpha = np.full((6, 4, 1), 255, np.uint8)
    rgba = np.concatenate([pixels, alpha], axis=2)
    np.testing.assert_array_equal(
        read_picture(write(tmp_path / "whole.png", Image.fromarray(rgba))), pixels
    )
    rgba[2:, :, 3] = 0
    file = write(tmp_path / "holes.png", Image.fromarray(rgba))
    with pytest.warns(StylertWarning, match="white"):
        seen = read_picture(file)
    np.testing.assert_array_equal(seen[:2], pixels[:2])
    assert (seen[2:] == 255).all()
    np.testing.assert_array_equal(read_picture(file, channels=4), rgba)


def test_labels_are_read_as_they_are(tmp_path: Path) -> None:
    labels = np.arange(24, dtype=np.uint8).reshape(6, 4) % 19
    file = write(tmp_path / "grey.png", Image.fromarray(labels))
    np.testing.assert_array_equal(read_planes(file), labels)
    palette = Image.fromarray(labels).convert("P")
    palette.putpalette([255 - i // 3 for i in range(768)])
    np.testing.assert_array_equal(read_planes(write(tmp_path / "p.png", palette)), labels)
    with pytest.raises(InvalidInput, match="mode RGB"):
        read_planes(write(tmp_path / "rgb.png", Image.new("RGB", (4, 4))))


def test_resizing_averages(pixels: np.ndarray) -> None:
    assert resize_picture(pixels, 6, 4) is pixels
    half = resize_picture(
        np.tile(np.array([[0, 200], [200, 0]], np.uint8), (4, 4))[..., None], 4, 4
    )
    assert half.shape == (4, 4, 1)
    assert (abs(half.astype(int) - 100) <= 2).all()


def test_arrays_are_writable(tmp_path: Path, pixels: np.ndarray) -> None:
    """torch.from_numpy warns of others."""
    file = write(tmp_path / "a.png", Image.fromarray(pixels))
    rgb, grey = read_picture(file), read_picture(file, channels=1)
    resized = [resize_picture(image, 3, 2) for image in (rgb, grey)]
    planes = read_planes(write(tmp_path / "planes.png", Image.fromarray(pixels[:, :, 0])))
    for array in (rgb, grey, *resized, make_grey(pixels), planes):
        assert array.flags.writeable


def test_folders(tmp_path: Path, pixels: np.ndarray) -> None:
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in list_pictures(tmp_path)] == ["a.JPG", "b.png"]
    assert list_pictures(tmp_path / "b.png") == [tmp_path / "b.png"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InvalidInput, match="without pictures"):
        list_pictures(tmp_path / "none")


def make_huge_png(path: Path) -> Path:
    """A picture of a few bytes that claims more pixels than are taken."""
    side = int(MAX_PIXELS**0.5) + 1

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b""))
    return path


def test_bad_input(tmp_path: Path, pixels: np.ndarray) -> None:
    big = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    cases = {
        "is no picture": tmp_path / "text.png",
        "million": make_huge_png(tmp_path / "huge.png"),
    }
    (tmp_path / "text.png").write_text("no picture")
    for suffix in ("png", "jpg", "webp", "gif"):
        data = write(tmp_path / f"whole.{suffix}", Image.fromarray(big)).read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) // 2])
        cases[f"cut.{suffix}"] = tmp_path / f"cut.{suffix}"
    cases["No such file"] = tmp_path / "missing.png"
    cases["directory"] = tmp_path
    floats = np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 4)
    for words, array in {  # clipped to bytes, the first would be black
        "a picture of floats": floats,
        "a picture of 32 bits": (floats * 2**30).astype(np.int32),
    }.items():
        cases[words] = write(tmp_path / f"{array.dtype}.tif", Image.fromarray(array))
    for words, file in cases.items():
        with pytest.raises(InvalidInput, match=re.escape(words)) as caught:
            read_picture(file)
        assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInput, match="channels"):
        read_picture(tmp_path / "whole.png", channels=2)
    with pytest.raises(InvalidInput, match="path: got int"):
        read_picture(3)  # type: ignore[arg-type]

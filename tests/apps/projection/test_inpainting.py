"""Inpainting: the photo stays, the hole is never read, and proposals differ."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert.apps.projection import read_mask, read_photos
from stylert.apps.projection.inpainting import SETTINGS, Inpainting, composite, feather, inpaint
from stylert.apps.projection.photos import fit_picture, make_mask
from stylert.runtime.generator import Generator

Refuses = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    mask = np.ones((1, 1, 16, 16), np.float32)
    mask[..., 4:12, 6:14] = 0
    return mask


def fill(generator: Generator, image: np.ndarray, mask: np.ndarray, **options: Any) -> Inpainting:
    settings = replace(SETTINGS, steps=15)
    return inpaint(generator, image, mask, seeds_start=20, settings=settings, **options)


def test_the_photo_stays_and_the_hole_is_not_read(
    small: Generator, drawn: np.ndarray, mask: np.ndarray
) -> None:
    found = fill(small, drawn[0], mask, variants=3)
    seen = mask[0, 0] > 0
    assert found.images.shape == (3, 16, 16, 3)
    for image in found.images:
        np.testing.assert_array_equal(image[seen], drawn[0][seen])
    assert (np.diff(found.psnr) <= 0).all()
    assert len({image.tobytes() for image in found.images}) == 3
    other = drawn[0].copy()
    other[~seen] = np.random.RandomState(0).randint(0, 256, other[~seen].shape)
    again = fill(small, other, mask, variants=3)
    np.testing.assert_array_equal(again.images, found.images)
    np.testing.assert_array_equal(again.ws, found.ws)


def test_feathers_and_composites(mask: np.ndarray) -> None:
    share = feather(mask, 2)
    assert (share[mask[0, 0] > 0] == 0).all()
    assert share[4, 6] == pytest.approx(1 / 3)
    assert share[5, 7] == pytest.approx(2 / 3)
    assert share[8, 10] == 1
    np.testing.assert_array_equal(feather(mask, 0), 1 - mask[0, 0])
    photo = np.full((16, 16, 3), 200, np.uint8)
    photo[mask[0, 0] == 0] = 13
    (mixed,) = composite(photo, np.full((1, 16, 16, 3), 50, np.uint8), mask, share)
    assert mixed[8, 10].tolist() == [50] * 3
    assert mixed[4, 6].tolist() == [150] * 3  # a third of 50, and of what is around it
    assert mixed[0, 0].tolist() == [200] * 3


def test_masks_of_files(small: Generator, tmp_path: Path, refuses: Refuses) -> None:
    pixels = np.full((40, 32), 255, np.uint8)
    pixels[10:20, 8:18] = 0
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png", small.spec, like=(40, 32))
    assert mask.shape == (1, 1, 16, 16)
    assert set(np.unique(mask)) == {0, 1}
    # The middle 32 rows are halved; what the hole touches is hidden, too.
    assert not mask[0, 0, 3:8, 4:9].any()
    assert mask[0, 0, 12:].all()
    with refuses("32x40", "expected 10x10"):
        read_mask(tmp_path / "mask.png", small.spec, like=(10, 10))
    for name, value in (("white", 255), ("black", 0)):
        Image.fromarray(np.full((20, 20), value, np.uint8)).save(tmp_path / "mask.png")
        with refuses(f"all {name}"):
            read_mask(tmp_path / "mask.png", small.spec, like=(20, 20))


def test_masks_without_a_pixel_that_is_seen(
    small: Generator, drawn: np.ndarray, mask: np.ndarray, refuses: Refuses
) -> None:
    """Nothing could be spread from the rim of such a hole: it would look for one for ever."""
    with refuses("mask: got no pixel that is seen"):
        fill(small, drawn[0], np.zeros_like(mask))


@pytest.mark.parametrize("size", [11, 16, 40, 100])
def test_nothing_of_the_hole_is_read(size: int, small: Generator) -> None:
    """Not even by the resizing, whose kernel is wide and has zeros in its midst."""
    random = np.random.default_rng(size)
    pixels = np.full((size, size, 1), 255, np.uint8)
    hole = slice(size // 2, size // 2 + max(size // 6, 1))
    pixels[hole, hole] = 0
    photo = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
    other = photo.copy()
    other[hole, hole] = 255 - other[hole, hole]
    kept = make_mask(pixels, small.spec, like=(size, size))[0, 0] > 0
    one, two = fit_picture(photo, small.spec), fit_picture(other, small.spec)
    np.testing.assert_array_equal(one[kept], two[kept])
    assert kept.any()
    assert (one != two).any()


def test_photos_of_any_shape_are_cut_from_the_middle(small: Generator, tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(np.full((7, 5), 255, np.uint8)).save(tmp_path / "grey.png")
    photos = read_photos([tmp_path / "wide.png", tmp_path / "grey.png"], small.spec)
    assert photos.shape == (2, 16, 16, 3)
    assert (photos == 255).all()


def test_what_does_not_fit_is_refused(
    small: Generator, drawn: np.ndarray, mask: np.ndarray, refuses: Refuses
) -> None:
    with refuses("mask: got shape"):
        fill(small, drawn[0], mask[..., :8])
    with refuses("variants"):
        fill(small, drawn[0], mask, variants=0)
    with refuses("seeds_start: got 20"):
        fill(small, drawn[0], mask, variants=21)

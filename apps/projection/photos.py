"""Photos and masks as a generator's pictures: cut to its shape from the middle, and resized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stylert.runtime import GeneratorSpec, InvalidInput
from stylert.runtime.files.pictures import read_picture, resize_picture

__all__ = ["CHANNELS", "check_channels", "fit_picture", "make_mask", "read_mask", "read_photos"]

CHANNELS = (1, 3, 4)  # of photos
HALF = 128  # from which on a mask's byte means 1
LANCZOS = 3  # pixels to each side, of the larger of the two sizes


def read_photos(
    paths: Sequence[str | Path],
    spec: GeneratorSpec,
    *,
    crop: Callable[[np.ndarray, Path], np.ndarray] = lambda image, path: image,
) -> np.ndarray:
    """Read photos, whatever their mode and size, as pictures of a generator.

    Args:
        paths: the files.
        spec: of the generator.
        crop: gives the part [h, w, C] of a photo that is looked at, such as a face in it.

    Returns:
        [N, H, W, C] uint8.

    Raises:
        InvalidInput: no picture, a damaged or huge one, or a generator of other channels than 1, 3
            and 4.
    """
    check_channels(spec)
    read = (crop(read_picture(path, channels=spec.img_channels), Path(path)) for path in paths)
    photos = [fit_picture(image, spec) for image in read]
    if not photos:
        raise InvalidInput("paths: got none, expected at least one picture.")
    return np.stack(photos)


def check_channels(spec: GeneratorSpec) -> None:
    """Refuse a generator whose pictures are like no photo.

    Raises:
        InvalidInput: it draws other channels than `CHANNELS`.
    """
    if spec.img_channels not in CHANNELS:
        raise InvalidInput(
            f"generator: it draws {spec.img_channels} channels, expected 1, 3 or 4, as photos have."
        )


def read_mask(path: str | Path, spec: GeneratorSpec, *, like: tuple[int, int]) -> np.ndarray:
    """Read a mask: white is to be seen, black is a hole.

    Args:
        path: a picture of the photo's size.
        spec: of the generator.
        like: height and width of the photo.

    Returns:
        [1, 1, H, W] float32 of 0 and 1.

    Raises:
        InvalidInput: another size, or it is all black or all white.
    """
    return make_mask(read_picture(path, channels=1), spec, like=like, name=str(path))


def make_mask(
    pixels: np.ndarray, spec: GeneratorSpec, *, like: tuple[int, int], name: str = "mask"
) -> np.ndarray:
    """The mask of a grey picture [h, w, 1] uint8; see `read_mask`. Errors tell the name."""
    if pixels.shape[:2] != like:
        raise InvalidInput(
            f"{name}: got a mask of {pixels.shape[1]}x{pixels.shape[0]} pixels, expected "
            f"{like[1]}x{like[0]}, as the photo."
        )
    hole = _cut(pixels, spec)[:, :, 0] < HALF
    reaches = [
        _find_reach(n, of)
        for n, of in zip((spec.img_height, spec.img_width), hole.shape, strict=True)
    ]
    # A pixel that anything of the hole is read for is hidden.
    touched = reaches[0] @ hole.astype(np.float32) @ reaches[1].T
    mask: np.ndarray = (touched == 0).astype(np.float32)[None, None]
    if mask.min() == mask.max():
        kind = "white: nothing is to be filled" if mask.max() else "black: nothing is to be seen"
        raise InvalidInput(
            f"{name}: the mask is all {kind}; expected white to keep, black to fill."
        )
    return mask


def fit_picture(image: np.ndarray, spec: GeneratorSpec) -> np.ndarray:
    """Cut the largest part of the generator's shape out of the middle, and resize it.

    Args:
        image: [h, w, C] uint8.
        spec: of the generator.

    Returns:
        [H, W, C] uint8.
    """
    return resize_picture(_cut(image, spec), spec.img_height, spec.img_width, kind="lanczos")


def _cut(image: np.ndarray, spec: GeneratorSpec) -> np.ndarray:
    """The largest part [h, w, C] of the generator's shape, out of the middle."""
    H, W = spec.img_height, spec.img_width
    h, w = image.shape[:2]
    high, wide = min(h, w * H // W) or 1, min(w, h * W // H) or 1
    top, left = (h - high) // 2, (w - wide) // 2
    return image[top : top + high, left : left + wide]


def _find_reach(n: int, of: int) -> np.ndarray:
    """Which of the pixels each of n resized ones is made from by 'lanczos', [n, of] float32."""
    if n == of:
        return np.eye(n, dtype=np.float32)
    scale = of / n
    places = (np.arange(n)[:, None] + 0.5) * scale - (np.arange(of) + 0.5)
    return (np.abs(places) < LANCZOS * max(scale, 1)).astype(np.float32)

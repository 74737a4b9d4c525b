"""Images on disk and grids: the little that the runtime needs of Pillow."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np

from stylert.runtime.arguments import check_integer
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import publish_bytes
from stylert.runtime.latents import read_array

__all__ = ["NPY", "encode_image", "make_grid", "holds_channels", "image_format", "save_image"]
__all__ += ["FILE_QUALITY", "to_uint8"]

NPY = "NPY"  # an array as numpy.save writes it: any channels, uint8 or float32

# Of files of JPEG and WebP where none is asked for; from it on a JPEG keeps each pixel's colour.
FILE_QUALITY = 95


def to_uint8(img: np.ndarray) -> np.ndarray:
    """Turn img [N, C, H, W] float32 in [-1, 1] into uint8 [N, H, W, C] as the original tools do.

    The value is img * 127.5 + 128, clipped to [0, 255] and truncated.
    """
    scaled = np.clip(img.transpose(0, 2, 3, 1) * np.float32(127.5) + np.float32(128), 0, 255)
    return np.ascontiguousarray(scaled.astype(np.uint8))


def make_grid(
    images: np.ndarray, columns: int | None = None, rows: int | None = None
) -> np.ndarray:
    """Lay images [N, H, W, C] out in rows; the rest of the grid is black.

    Args:
        images: uint8.
        columns: images a row, None = as square as it gets.
        rows: None = as many as it takes.

    Returns:
        [rows * H, columns * W, C] uint8.

    Raises:
        InvalidInput: another shape, no columns, or too few rows for the images.
    """
    images = read_array("images", images, "[N, H, W, C]")
    if images.ndim != 4 or not images.size:
        raise InvalidInput(f"images: got shape {images.shape}, expected [N, H, W, C].")
    N, H, W, C = images.shape
    columns = math.ceil(math.sqrt(N)) if columns is None else columns
    check_integer("columns", columns, 1)
    needed = math.ceil(N / columns)
    rows = needed if rows is None else rows
    check_integer("rows", rows, needed)
    cells = np.zeros((rows * columns, H, W, C), images.dtype)
    cells[:N] = images
    cells = cells.reshape(rows, columns, H, W, C).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(cells.reshape(rows * H, columns * W, C))


def image_format(path: Path) -> str:
    """Name of the format that the suffix of a file chooses: 'PNG', 'JPEG', 'NPY', ...

    Raises:
        InvalidInput: nothing here can write it.
    """
    from PIL import Image

    if path.suffix.lower() == ".npy":
        return NPY
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise InvalidInput(
            f"{path}: cannot write '{path.suffix}', use .png, .jpg, .webp, .tiff or .npy."
        )
    return str(kind)


def holds_channels(kind: str, channels: int) -> bool:
    """Whether a format of `image_format` can hold images of so many channels."""
    if kind == NPY:
        return channels >= 1
    return channels in ((1, 3) if kind == "JPEG" else (1, 2, 3, 4))


def encode_image(
    image: np.ndarray,
    kind: str,
    *,
    quality: int | None = None,
    compression: int | None = None,
    method: int | None = None,
) -> bytes:
    """The bytes of an image file. The same image gives the same bytes, in any thread.

    Pillow lets other threads run meanwhile.

    Args:
        image: [H, W, C] uint8 with 1, 2, 3 or 4 channels; for 'NPY' any, and float32, too.
        kind: the format as Pillow calls it: 'PNG', 'JPEG', 'WEBP', ...; or 'NPY'.
        quality: of JPEG and WebP, 1 to 100; JPEG keeps the full chroma from 95 on. None = Pillow's.
        compression: of PNG, 0 (none) to 9; the pixels are the same. None = Pillow's, 6.
        method: of WebP, 0 (fast) to 6 (small). None = Pillow's, 4.

    Raises:
        InvalidInput: another shape or dtype, or what the format cannot hold.
    """
    from PIL import Image

    image = read_array("image", image, "uint8 [H, W, C]")
    if kind == NPY and image.ndim == 3:
        array = io.BytesIO()
        np.save(array, np.ascontiguousarray(image))
        return array.getvalue()
    if image.dtype != np.uint8 or image.ndim != 3 or not 1 <= image.shape[2] <= 4:
        raise InvalidInput(
            f"image: got {image.dtype} {image.shape}, expected uint8 [H, W, C] with C of 1 to 4. "
            "A .npy file holds others."
        )
    options = {"quality": quality, "compress_level": compression, "method": method}
    if kind == "JPEG" and quality is not None and quality >= FILE_QUALITY:
        options["subsampling"] = 0
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    encoded = io.BytesIO()
    try:
        picture.save(encoded, format=kind, **{k: v for k, v in options.items() if v is not None})
    except (OSError, ValueError, SystemError) as error:  # e.g. 'cannot write mode RGBA as JPEG'
        raise InvalidInput(f"image: {error}; use .png.") from None
    return encoded.getvalue()


def save_image(image: np.ndarray, path: str | Path, *, quality: int | None = None) -> None:
    """Write an image as `encode_image` does; the suffix chooses the format.

    The file appears whole or not at all.

    Args:
        image: the pixels.
        path: the file; missing folders are made.
        quality: of JPEG and WebP, see `encode_image`; None = 95.

    Raises:
        InvalidInput: another shape or dtype, or a suffix that Pillow cannot write.
        OSError: the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    kind = image_format(path)
    if quality is None and kind in ("JPEG", "WEBP"):
        quality = FILE_QUALITY
    # First to memory: so a full disk is no error of the encoder's.
    publish_bytes(path, encode_image(image, kind, quality=quality))

"""Images on disk and grids: the little that the runtime needs of Pillow."""

from __future__ import annotations

import io
import math
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from stylert.runtime.errors import InvalidInput

__all__ = ["grid_of", "image_format", "save_image", "to_uint8"]


def to_uint8(img: np.ndarray) -> np.ndarray:
    """Turn img [N, C, H, W] float32 in [-1, 1] into uint8 [N, H, W, C] as the original tools do.

    The value is img * 127.5 + 128, clipped to [0, 255] and truncated.
    """
    scaled = np.clip(img.transpose(0, 2, 3, 1) * np.float32(127.5) + np.float32(128), 0, 255)
    return np.ascontiguousarray(scaled.astype(np.uint8))


def grid_of(images: np.ndarray, columns: int | None = None, rows: int | None = None) -> np.ndarray:
    """Lay images [N, H, W, C] out in rows; the rest of the grid is black.

    Args:
        images: uint8.
        columns: images a row, None = as square as it gets.
        rows: None = as many as it takes.

    Returns:
        [rows * H, columns * W, C] uint8.

    Raises:
        InvalidInput: no columns, or too few rows for the images.
    """
    N, H, W, C = images.shape
    columns = math.ceil(math.sqrt(N)) if columns is None else columns
    if columns < 1:
        raise InvalidInput(f"columns: got {columns}, expected at least 1.")
    needed = math.ceil(N / columns)
    rows = needed if rows is None else rows
    if rows < needed:
        raise InvalidInput(f"rows: got {rows}, expected at least {needed} for {N} images.")
    cells = np.zeros((rows * columns, H, W, C), images.dtype)
    cells[:N] = images
    cells = cells.reshape(rows, columns, H, W, C).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(cells.reshape(rows * H, columns * W, C))


def image_format(path: Path) -> str:
    """Name of the format that the suffix of a file chooses: 'PNG', 'JPEG', 'WEBP', ...

    Raises:
        InvalidInput: Pillow cannot write it.
    """
    from PIL import Image

    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise InvalidInput(f"{path}: cannot write '{path.suffix}', use .png, .jpg or .webp.")
    return str(kind)


def save_image(image: np.ndarray, path: str | Path) -> None:
    """Write an image [H, W, C] uint8 with 1, 2, 3 or 4 channels; the suffix chooses the format.

    The file appears whole or not at all.

    Raises:
        InvalidInput: another shape or dtype, or a suffix that Pillow cannot write.
        OSError: the disk is full, or the folder cannot be written.
    """
    from PIL import Image

    path = Path(path)
    kind = image_format(path)
    if image.dtype != np.uint8 or image.ndim != 3 or not 1 <= image.shape[2] <= 4:
        raise InvalidInput(
            f"image: got {image.dtype} {image.shape}, expected uint8 [H, W, C] with C of 1 to 4."
        )
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    encoded = io.BytesIO()  # first to memory: so a full disk is no error of the encoder's
    try:
        picture.save(encoded, format=kind)
    except (OSError, ValueError, SystemError) as error:  # e.g. 'cannot write mode RGBA as JPEG'
        raise InvalidInput(f"{path}: {error}; use .png.") from None
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(encoded.getbuffer())
        partial.replace(path)
    except OSError as error:  # names no file, or the partial one
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)

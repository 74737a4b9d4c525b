"""Pictures that users bring: a file -> bytes, whatever its mode, turned as its camera was.

Nothing of a picture is decoded before its size is checked: a few kilobytes can claim terabytes.
"""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from stylert.runtime.errors import InvalidInput, StylertWarning
from stylert.runtime.files.regular import check_regular

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_PIXELS", "list_pictures", "make_grey", "read_picture", "read_planes"]
__all__ += ["resize_picture"]

MAX_PIXELS = 100_000_000  # no camera of today makes more; 300 MB of bytes

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the channels
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I")  # the last by older versions of Pillow
_WITH_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")


def read_picture(
    path: str | Path | BinaryIO,
    *,
    channels: int = 3,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] | None = None,
) -> np.ndarray:
    """Read a picture as Pillow can, and turn it as its EXIF data say.

    Grey, palettes, CMYK and 16 bits become the mode that is asked for. Where pixels are
    transparent and no alpha is asked for, they are laid on white, which a warning says. Pictures of
    floats or of 32 bits are refused: nobody knows which of their numbers is white.

    Args:
        path: the file, or an open one, whose `name` errors tell; of an animation, the first frame
            is taken.
        channels: 1 for grey, 3 for RGB, 4 for RGBA.
        max_pixels: that it may have.
        formats: Pillow's names of those that are read, by their content; None = all. Some of them
            run programs (EPS): not for what strangers send.

    Returns:
        [H, W, channels] uint8, writable.

    Raises:
        InvalidInput: no such file, no picture, a damaged one, one of floats or of 32 bits, or more
            than `max_pixels` pixels.
    """
    if channels not in _MODES:
        raise InvalidInput(f"channels: got {channels!r}, expected 1, 3 or 4.")
    name = path if isinstance(path, (str, Path)) else getattr(path, "name", "picture")
    picture = _convert(_open(path, name, max_pixels, formats), name, _MODES[channels])
    pixels = np.array(picture)  # writable
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def read_planes(path: str | Path) -> np.ndarray:
    """Read the numbers in a picture of one channel as they are, those of a palette, too.

    That is how label maps are stored: a pixel's number is its class.

    Returns:
        [H, W] uint8.

    Raises:
        InvalidInput: see `read_picture`; or it has several channels.
    """
    picture = _open(path, path)
    if picture.mode not in ("L", "P", "1"):
        raise InvalidInput(
            f"{path}: got a picture of mode {picture.mode}, expected one channel (L or P) whose "
            "numbers are the classes."
        )
    return np.asarray(picture).astype(np.uint8)


def resize_picture(
    image: np.ndarray, height: int, width: int, *, kind: str = "bilinear"
) -> np.ndarray:
    """Resize a picture, averaging where it shrinks, as Pillow does.

    Args:
        image: [H, W, C] uint8 with 1, 3 or 4 channels.
        height: of the result.
        width: of the result.
        kind: Pillow's name of the filter, 'bilinear' or 'lanczos'.

    Returns:
        [height, width, C] uint8; `image` itself if that is its size.
    """
    from PIL import Image

    if image.shape[:2] == (height, width):
        return image
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    resized = np.array(picture.resize((width, height), Image.Resampling[kind.upper()]))
    return resized.reshape(height, width, image.shape[2])


def make_grey(image: np.ndarray) -> np.ndarray:
    """A picture [H, W, 1 or 3] uint8 in grey, [H, W, 1]: the luma of ITU-R BT.601."""
    from PIL import Image

    if image.shape[2] == 1:
        return image
    return np.array(Image.fromarray(image).convert("L"))[:, :, None]


def list_pictures(path: str | Path) -> list[Path]:
    """The picture, or the pictures of a folder by their names, in order.

    Raises:
        InvalidInput: the folder has none.
    """
    from PIL import Image

    path = Path(path)
    if not path.is_dir():
        return [path]
    known = Image.registered_extensions()
    found = sorted(
        file for file in path.iterdir() if file.suffix.lower() in known and file.is_file()
    )
    if not found:
        raise InvalidInput(f"{path}: got a folder without pictures, expected .png, .jpg or .webp.")
    return found


def _open(
    file: str | Path | BinaryIO,
    path: str | Path,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] | None = None,
) -> Image.Image:
    """The decoded picture, the right way up."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not isinstance(file, (str, os.PathLike)) and not hasattr(file, "read"):
        raise InvalidInput(f"path: got {type(file).__name__}, expected the path of a picture.")
    try:
        if isinstance(file, (str, os.PathLike)):
            check_regular(file)
        # Pillow's own warning of a bomb comes earlier than our bound, and would be noise.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=formats) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    raise InvalidInput(
                        f"{path}: got {width}x{height} pixels, expected at most "
                        f"{_count(max_pixels)}. Shrink it first."
                    )
                return ImageOps.exif_transpose(picture)  # decodes it
    except InvalidInput:
        raise
    except UnidentifiedImageError:
        others = " or another of Pillow's formats" if formats is None else ""
        raise InvalidInput(
            f"{path}: it is no picture, expected .png, .jpg, .webp{others}."
        ) from None
    except Image.DecompressionBombError:
        raise InvalidInput(
            f"{path}: got too many pixels, expected at most {_count(max_pixels)}. Shrink it first."
        ) from None
    # What Pillow's decoders raise of damaged files is not one kind.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error) as error:
        reason = getattr(error, "strerror", None)
        told = reason or f"it is damaged ({' '.join(str(error).split())}); get it again"
        raise InvalidInput(f"Cannot read {str(path)!r}: {told}.") from None
    except MemoryError:
        raise InvalidInput(f"Cannot read {str(path)!r}: it does not fit into memory.") from None


def _count(pixels: int) -> str:
    return f"{pixels // 1_000_000} million" if pixels >= 1_000_000 else str(pixels)


def _convert(picture: Any, path: str | Path, mode: str) -> Image.Image:
    """The picture in a mode, what is transparent laid on white."""
    from PIL import Image

    if picture.mode == "F" or (picture.mode == "I" and not _fits_sixteen_bits(picture)):
        kind = "floats" if picture.mode == "F" else "32 bits"
        raise InvalidInput(
            f"{path}: got a picture of {kind}, expected 8 or 16 bits a channel. Convert it first."
        )
    if picture.mode in _SIXTEEN_BITS:  # Pillow would clip all above 255 to white
        picture = Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8))
    has_alpha = picture.mode in _WITH_ALPHA or "transparency" in picture.info
    if mode != "RGBA" and has_alpha:
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema()[0] < 255:
            warnings.warn(
                f"{path}: what is transparent in it is laid on white.", StylertWarning, stacklevel=3
            )
            white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
            picture = Image.alpha_composite(white, picture)
    converted: Image.Image = picture if picture.mode == mode else picture.convert(mode)
    return converted


def _fits_sixteen_bits(picture: Any) -> bool:
    low, high = picture.getextrema()
    return bool(low >= 0 and high < 2**16)

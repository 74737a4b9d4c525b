"""From images to the bytes of an answer: one image, a grid, or a zip file, in some format."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np

from stylert.apps.serving.requests import Format, Layout
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import encode_image, holds_channels, make_grid

__all__ = ["MEDIA_TYPES", "Encoding", "accepted", "list_formats"]

MEDIA_TYPES: dict[str, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "npy": "application/x-npy",
}
ZIP = "application/zip"

_COMPRESSION = 1  # of PNG: some percent larger, and several times faster than Pillow's 6
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same images make the same zip file


@dataclass(frozen=True)
class Encoding:
    """How the images of a request are answered.

    Raises:
        InvalidInput: choices that do not go together.
    """

    format: Format
    layout: Layout | None  # None: one array of all images
    quality: int | None = None
    columns: int | None = None  # of a grid, None = as square as it gets

    @classmethod
    def chosen(
        cls,
        *,
        images: int,
        format: Format,
        layout: Layout | None,
        quality: int | None,
        columns: int | None,
        output: str,
    ) -> Encoding:
        """Fill in the layout that fits, and check the rest."""
        if layout is None and format != "npy":
            layout = "image" if images == 1 else "grid"
        if layout == "image" and images != 1:
            raise InvalidInput(
                f"layout: got 'image' for {images} images, expected 'grid' or 'zip'."
            )
        if output == "img" and (format != "npy" or layout == "grid"):
            raise InvalidInput("output: got 'img', expected the format 'npy' without a grid.")
        if quality is not None and format not in ("jpeg", "webp"):
            raise InvalidInput(f"quality: got one for {format}, expected jpeg or webp.")
        return cls(format, layout, quality, columns)

    @property
    def media_type(self) -> str:
        """What the header Content-Type says."""
        return ZIP if self.layout == "zip" else MEDIA_TYPES[self.format]

    def encode(self, images: np.ndarray) -> bytes:
        """The body of the answer.

        Args:
            images: uint8 [N, H, W, C], or float32 [N, C, H, W].

        Raises:
            InvalidInput: the format cannot hold such images.
        """
        if self.layout == "zip":
            return self._zip(images)
        if self.layout == "grid":
            return self._one(make_grid(images, columns=self.columns))
        return self._one(images if self.layout is None else images[0])

    def _one(self, image: np.ndarray) -> bytes:
        if self.format != "npy":
            compression = _COMPRESSION if self.format == "png" else None
            return encode_image(
                image, self.format.upper(), quality=self.quality, compression=compression
            )
        file = io.BytesIO()
        np.lib.format.write_array(file, np.ascontiguousarray(image), allow_pickle=False)
        return file.getvalue()

    def _zip(self, images: np.ndarray) -> bytes:
        file = io.BytesIO()
        suffix = {"jpeg": "jpg"}.get(self.format, self.format)
        with zipfile.ZipFile(file, "w") as archive:
            for i, image in enumerate(images):
                entry = zipfile.ZipInfo(f"{i:04d}.{suffix}", _LONG_AGO)
                archive.writestr(entry, self._one(image))
        return file.getvalue()


def list_formats(channels: int) -> list[str]:
    """The formats that can hold a network's pictures."""
    return [name for name in MEDIA_TYPES if holds_channels(name.upper(), channels)]


def accepted(header: str | None) -> str | None:
    """The media type that a header Accept likes best: an image's, 'application/zip', or npy's.

    Returns:
        None if it takes anything, and '' if it takes nothing that there is.
    """
    if header is None or not header.strip():
        return None
    liked = sorted(_media_ranges(header), key=lambda part: -part[1])
    for media_type, weight in liked:
        if weight > 0:
            # What posts JSON often asks for JSON back (curl --json): it means the errors.
            if media_type in ("*/*", "image/*", "application/json"):
                return None
            if media_type in (*MEDIA_TYPES.values(), ZIP):
                return media_type
    return ""


def _media_ranges(header: str) -> list[tuple[str, float]]:
    """The types of a header Accept with their weights."""
    ranges = []
    for part in header.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        ranges.append((media_type, weight))
    return ranges

"""`PictureFile`: where one picture goes, checked before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import image_format, save_image

__all__ = ["PictureFile"]


@dataclass(frozen=True)
class PictureFile:
    """A file for one picture.

    Raises:
        InvalidInput: a suffix that Pillow cannot write, a folder, or a quality of what has none.
    """

    path: Path  # .png, .jpg or .webp, or another format that Pillow writes
    quality: int | None = None  # of JPEG and WebP, 1 to 100, None = Pillow's

    def __post_init__(self) -> None:
        kind = image_format(self.path)
        if self.quality is not None and kind not in ("JPEG", "WEBP"):
            raise InvalidInput(f"--quality: got one for {self.path}, expected a .jpg or .webp file")
        if self.path.is_dir():
            raise InvalidInput(f"{self.path} is a folder; --out names one picture")

    def check_new(self, *, force: bool) -> None:
        """Refuse to replace a file, unless `force` is given.

        Raises:
            InvalidInput: it is there.
        """
        if self.path.exists() and not force:
            raise InvalidInput(
                f"{self.path} exists. Pass --force to replace it, or choose another --out."
            )

    def write(self, picture: np.ndarray) -> None:
        """Write a picture [H, W, C] uint8, whole or not at all; missing folders are made.

        Raises:
            InvalidInput: another shape or dtype, or what the format cannot hold.
            OSError: the disk is full, or the folder cannot be written.
        """
        save_image(picture, self.path, quality=self.quality)

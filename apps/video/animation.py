"""Frames to an animated .gif or .webp by Pillow, which holds all of them until the end."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.apps.video.pixels import over_black
from stylert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ANIMATIONS", "Animation"]

ANIMATIONS = {".gif": "GIF", ".webp": "WebP"}
MAX_BYTES = 2**30  # of all frames: 16 seconds of 1024x1024 RGB at 20 frames a second

_LARGEST = {".gif": 65535, ".webp": 16383}  # of a side
_TICK = {".gif": 10, ".webp": 1}  # milliseconds: what a format counts time in
_SHORTEST = {".gif": 20, ".webp": 1}  # milliseconds; browsers take less for 100
_QUALITY = 90


class Animation:
    """An animated picture. A .gif has 256 colours a frame, and counts hundredths of a second.

    Args:
        path: the file to write; its name may have any suffix.
        suffix: '.gif' or '.webp'.
        shape: [H, W, C] of the frames, with 1, 3 or 4 channels.
        rate: frames a second.
        total: how many frames there will be, if known.
        quality: of .webp, None = 90.
        repeat: start over for ever.

    Raises:
        InvalidInput: more or faster frames than the format holds, or larger ones.
    """

    def __init__(
        self,
        path: Path,
        suffix: str,
        shape: tuple[int, int, int],
        *,
        rate: Fraction,
        total: int | None,
        quality: int | None,
        repeat: bool,
    ) -> None:
        self.codec = ANIMATIONS[suffix]
        height, width, _ = shape
        if max(height, width) > _LARGEST[suffix]:
            raise InvalidInput(
                f"frames: got {width}x{height} pixels, expected sides of up to {_LARGEST[suffix]} "
                f"for {suffix}. Make the grid smaller."
            )
        if 1000 / rate < _SHORTEST[suffix]:
            raise InvalidInput(
                f"fps: got {float(rate):g}, expected at most {1000 // _SHORTEST[suffix]} for "
                f"{suffix}."
            )
        self._path, self._suffix, self._rate = path, suffix, rate
        self._options: dict[str, Any] = {"quality": quality or _QUALITY} if suffix != ".gif" else {}
        if suffix == ".webp":
            self._options["loop"] = 0 if repeat else 1
        elif repeat:  # a .gif without the word plays once
            self._options["loop"] = 0
        self._most = MAX_BYTES // (height * width * max(3, shape[2]))
        self._pictures: list[Image] = []
        self._check(total or 0)

    def add(self, image: np.ndarray) -> None:
        """Take the next frame: [H, W, C] uint8."""
        from PIL import Image

        self._check(len(self._pictures) + 1)
        if image.shape[2] == 4 and self._suffix == ".gif":
            image = over_black(image)
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        if self._suffix == ".gif" and picture.mode == "RGB":
            picture = _of_256_colours(picture)  # at once: a third of the memory
        self._pictures.append(picture)

    def finish(self) -> int:
        """Write the file; how many frames it has: Pillow makes one of those that are equal."""
        from PIL import Image

        first, *rest = self._pictures
        kind = self._suffix[1:].upper()
        with self._path.open("wb") as file:
            first.save(
                file,
                format=kind,
                save_all=True,
                append_images=rest,
                duration=self._durations(),
                **self._options,
            )
        with Image.open(self._path) as written:
            return int(getattr(written, "n_frames", 1))

    def close(self) -> None:
        """Free the frames."""
        self._pictures.clear()

    def _check(self, frames: int) -> None:
        if frames > self._most:
            raise InvalidInput(
                f"frames: got {frames}, expected at most {self._most} of this size for "
                f"{self._suffix}, which needs all of them in memory. Write .mp4, or a folder."
            )

    def _durations(self) -> list[int]:
        """Milliseconds of every frame, rounded such that the whole stays in time."""
        tick = _TICK[self._suffix]
        frames = range(len(self._pictures) + 1)
        ends = [round(Fraction(1000 * i, tick) / self._rate) for i in frames]
        return [(end - start) * tick for start, end in pairwise(ends)]


def _of_256_colours(picture: Image) -> Image:
    """A picture with a palette of its own, dithered."""
    from PIL.Image import Dither, Quantize

    # 1 ms at 256x256, where median cut takes 700; and dithered, it is nearer to the picture.
    palette = picture.quantize(256, method=Quantize.FASTOCTREE)
    return picture.quantize(palette=palette, dither=Dither.FLOYDSTEINBERG)

"""Frames to H.264 or VP9 by PyAV, which brings FFmpeg's libraries along."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from stylert.apps.video.pixels import even_sides, rgb
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra, StylertWarning
from stylert.runtime.packages import install_command

__all__ = ["CONTAINERS", "Container", "Encoder", "VideoStream", "pyav"]

_LARGEST = 16384  # of a side: H.264 and libvpx go up to here
# The same for all machines: so that the same frames give the same bytes.
_THREADS = "4"
_BT709 = 1  # of ITU-T H.273: primaries, transfer and matrix; what players expect of HD
_LIMITED = 1  # luma from 16 to 235


@dataclass(frozen=True)
class Encoder:
    """An encoder of FFmpeg, and how it is set."""

    name: str
    codec: str
    options: tuple[tuple[str, str], ...]
    takes_crf: bool = True


@dataclass(frozen=True)
class Container:
    """A kind of file: its encoders, the best first, and how coarse a crf may be."""

    format: str
    encoders: tuple[Encoder, ...]
    crf: int
    worst_crf: int
    options: tuple[tuple[str, str], ...] = ()


_H264 = Encoder("libx264", "H.264", (("preset", "medium"), ("threads", _THREADS)))
# For FFmpeg without x264. Its scale of quality is its own: 2 is next to no loss; 118 a step.
_MPEG4 = Encoder(
    "mpeg4", "MPEG-4 part 2", (("flags", "+qscale"), ("global_quality", "236")), takes_crf=False
)
_VP9_OPTIONS = (("b", "0"), ("deadline", "good"), ("cpu-used", "4"), ("threads", _THREADS))
_VP9 = Encoder("libvpx-vp9", "VP9", (*_VP9_OPTIONS, ("row-mt", "1")))

_INDEX_FIRST = (("movflags", "+faststart"),)  # a browser plays it while it loads
CONTAINERS: dict[str, Container] = {
    ".mp4": Container("mp4", (_H264, _MPEG4), 18, 51, _INDEX_FIRST),
    ".mov": Container("mov", (_H264, _MPEG4), 18, 51, _INDEX_FIRST),
    ".mkv": Container("matroska", (_H264, _MPEG4), 18, 51, (("fflags", "+bitexact"),)),
    ".webm": Container("webm", (_VP9,), 24, 63, (("fflags", "+bitexact"),)),
}


class VideoStream:
    """A video file that takes frames. The same frames give the same bytes, by the same PyAV.

    Pixels are stored as nearly all players want them: YUV 4:2:0, BT.709, limited range. That needs
    even sides: an odd one is padded by one row or column, a copy of the last. Gray becomes colour;
    what is transparent is shown over black.

    Args:
        path: the file to write; its name may have any suffix.
        suffix: '.mp4', '.mov', '.mkv' or '.webm'.
        shape: [H, W, C] of the frames, with 1, 3 or 4 channels.
        rate: frames a second.
        crf: how much may be lost, None = hard to see.

    Raises:
        InvalidInput: sides beyond what the codec takes.
        MissingExtra: PyAV is not installed.
        EngineError: the encoder does not start.
    """

    def __init__(
        self,
        path: Path,
        suffix: str,
        shape: tuple[int, int, int],
        *,
        rate: Fraction,
        crf: int | None = None,
    ) -> None:
        height, width, _ = shape
        if max(height, width) > _LARGEST:
            raise InvalidInput(
                f"frames: got {width}x{height} pixels, expected sides of up to {_LARGEST}. Make "
                "the grid smaller."
            )
        self._av = pyav()
        kind = CONTAINERS[suffix]
        encoder = _encoder(self._av, kind, suffix, crf)
        self.codec = f"{encoder.codec} ({encoder.name})"
        self._frames = 0
        options = dict(encoder.options)
        if encoder.takes_crf:
            options["crf"] = str(kind.crf if crf is None else crf)
        with self._failing():
            self._file = self._av.open(
                str(path), "w", format=kind.format, options=dict(kind.options)
            )
            self._stream: Any = self._file.add_stream(encoder.name, rate=rate, options=options)
            self._stream.width, self._stream.height = width + width % 2, height + height % 2
            self._stream.pix_fmt = "yuv420p"
            context = self._stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED

    def add(self, image: np.ndarray) -> None:
        """Take the next frame: [H, W, C] uint8."""
        from av.video.reformatter import Colorspace

        with self._failing():
            frame = self._av.VideoFrame.from_ndarray(even_sides(rgb(image)), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            frame.pts = self._frames
            self._frames += 1
            self._file.mux(self._stream.encode(frame))

    def finish(self) -> int:
        """Write what the encoder still holds, and the index; how many frames the file has."""
        with self._failing():
            self._file.mux(self._stream.encode(None))
            self._file.close()
        return self._frames

    def close(self) -> None:
        """Free the encoder and the file, as it is."""
        with suppress(Exception):  # it may want to write to a full disk again
            self._file.close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """FFmpeg's errors as errors of the system, or of StyleRT."""
        try:
            yield
        except self._av.FFmpegError as error:
            number = getattr(error, "errno", 0)
            if number in errno.errorcode and number != errno.EINVAL:  # that one is the encoder's
                raise OSError(number, os.strerror(number)) from error
            raise EngineError(
                f"{self.codec}: the encoder failed ({' '.join(str(error).split())})."
            ) from error


def pyav() -> ModuleType:
    """PyAV, which writes videos.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtra(
            f"PyAV, which writes videos: {error}. Install: "
            f"{install_command('video')}; or write .gif, .webp, or a folder of frames."
        ) from None
    return av


def _encoder(av: Any, kind: Container, suffix: str, crf: int | None) -> Encoder:
    """The best encoder that this build of FFmpeg has."""
    there = [encoder for encoder in kind.encoders if encoder.name in av.codecs_available]
    best = kind.encoders[0]
    if not there:
        raise EngineError(
            f"{best.codec}: this PyAV has no encoder for {suffix} ({best.name}). Install PyAV from "
            "PyPI: pip install --force-reinstall --no-deps av"
        )
    chosen = there[0]
    if chosen is not best:
        if crf is not None and not chosen.takes_crf:
            raise InvalidInput(f"crf: got {crf}, but this PyAV has no {best.name}, which takes it.")
        warnings.warn(
            f"This PyAV has no {best.name}: the video is {chosen.codec}, which browsers do not "
            "play.",
            StylertWarning,
            stacklevel=2,
        )
    return chosen

"""`VideoFile`: where frames go and as what."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from stylert.apps.video.animation import ANIMATIONS, Animation
from stylert.apps.video.frame_folder import FrameFolder, is_frame
from stylert.apps.video.pixels import FRAME_CHANNELS
from stylert.apps.video.stream import CONTAINERS, VideoStream, pyav
from stylert.runtime.arguments import check_integer, shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import publish_file, publish_folder
from stylert.runtime.latents import read_array

__all__ = ["VideoFile", "WrittenVideo", "write_video"]

_MOST_FPS = 1000
_CLOSE = 1e-3
_DENOMINATOR = 1001

FrameSink: TypeAlias = VideoStream | Animation | FrameFolder  # takes frames one by one


@dataclass(frozen=True)
class WrittenVideo:
    """What was written.

    Attributes:
        path: the file, or the folder of frames.
        frames: how many the file holds: a .gif or .webp has one for equal ones in a row.
        width: of the frames that were given; a video of an odd size is padded to an even one.
        height: the same.
        seconds: how long it plays; of a .webp whose frames are all equal, how long it would.
        codec: for instance 'H.264 (libx264)'.
        drawn: how many frames were given.
    """

    path: Path
    frames: int
    width: int
    height: int
    seconds: float
    codec: str
    drawn: int


@dataclass(frozen=True)
class VideoFile:
    """Where frames are written, and how.

    Attributes:
        path: .mp4, .mov or .mkv (H.264), .webm (VP9), .gif or .webp, or else a folder of PNG files.
        fps: frames a second, above 0 and up to 1000; 29.97 stands for 30000/1001.
        crf: of a video, 0 (nothing is lost) to 51, .webm: 63; None = 18, .webm: 24, where a loss is
            hard to see.
        quality: of .webp, 1 to 100, None = 90.
        repeat: whether a .gif or .webp starts over for ever.
        force: replace what is there; a folder only if it holds nothing but frames.

    Raises:
        InvalidInput: a value out of range, a suffix of no video, options that do not go together,
            or something is there.
        MissingExtra: PyAV is not installed (.mp4, .mov, .mkv, .webm).
    """

    path: Path
    fps: float = 30
    crf: int | None = None
    quality: int | None = None
    repeat: bool = True
    force: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.path, (str, os.PathLike)):
            raise InvalidInput(f"path: got {shown(self.path)}, expected a str or Path.")
        object.__setattr__(self, "path", Path(self.path))
        suffix = self.path.suffix.lower()
        if suffix and suffix not in (*CONTAINERS, *ANIMATIONS) and not self.path.is_dir():
            expected = ", ".join((*CONTAINERS, *ANIMATIONS))
            raise InvalidInput(
                f"{self.path}: got {suffix!r}, expected {expected}, or a folder's name without a "
                "suffix, for a PNG file a frame."
            )
        real = isinstance(self.fps, (int, float, Fraction)) and not isinstance(self.fps, bool)
        if not (real and math.isfinite(self.fps) and 0 < self.fps <= _MOST_FPS and self.rate):
            raise InvalidInput(
                f"fps: got {shown(self.fps)}, expected a number above 0 and up to {_MOST_FPS}."
            )
        self._check_options()
        self._check_target()
        if self._suffix in CONTAINERS:
            pyav()

    @property
    def rate(self) -> Fraction:
        """Frames a second, exactly: 29.97 means 30000/1001, as in television."""
        of_television = Fraction(round(self.fps * 1.001) * 1000, 1001)
        if 0 < abs(self.fps - of_television) < _CLOSE:
            return of_television
        return Fraction(self.fps).limit_denominator(_DENOMINATOR)

    @property
    def _suffix(self) -> str:
        """The suffix that says what is written; '' for a folder."""
        suffix = self.path.suffix.lower()
        known = suffix in CONTAINERS or suffix in ANIMATIONS
        return suffix if known and not self.path.is_dir() else ""

    def write(
        self,
        frames: Iterable[np.ndarray],
        *,
        total: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> WrittenVideo:
        """Write frames as they come.

        Args:
            frames: [H, W, C] uint8 with 1, 3 or 4 channels, all of one shape. A video, and a .gif,
                shows what is transparent over black.
            total: how many there will be, if known: for `progress`, and to refuse at once what is
                too long for a .gif or .webp.
            progress: called with (frames done, total) for every frame.

        Raises:
            InvalidInput: no frames, ones of another shape or dtype, or more than the format holds.
            EngineError: the encoder failed.
            OSError: the disk is full, or the folder cannot be written.
        """
        publish = publish_file if self._suffix else publish_folder
        with publish(self.path) as partial:
            written = self._encode(partial, frames, total, progress)
            if self.path.is_dir():  # what has come into it meanwhile must not be lost
                self._check_target()
        return written

    def _encode(
        self,
        partial: Path,
        frames: Iterable[np.ndarray],
        total: int | None,
        progress: Callable[[int, int], None] | None,
    ) -> WrittenVideo:
        sink: FrameSink | None = None
        done, shape = 0, (0, 0, 0)
        try:
            for frame in frames:
                image = read_array(f"frame {done}", frame, "uint8 [H, W, C]")
                if sink is None:
                    shape = _checked_shape(image)
                    sink = self._open(partial, shape, total)
                elif image.shape != shape or image.dtype != np.uint8:
                    raise InvalidInput(
                        f"frame {done}: got {image.dtype} {image.shape}, expected uint8 {shape}."
                    )
                sink.add(image)
                done += 1
                if progress is not None:
                    progress(done, total or done)
            if sink is None:
                raise InvalidInput("frames: got none, expected at least one.")
            held = sink.finish()
        finally:
            if sink is not None:
                sink.close()
        height, width, _ = shape
        seconds = float(done / self.rate)
        return WrittenVideo(self.path, held, width, height, seconds, sink.codec, drawn=done)

    def _open(self, partial: Path, shape: tuple[int, int, int], total: int | None) -> FrameSink:
        if self._suffix in CONTAINERS:
            return VideoStream(partial, self._suffix, shape, rate=self.rate, crf=self.crf)
        if self._suffix in ANIMATIONS:
            options: dict[str, Any] = {"quality": self.quality, "repeat": self.repeat}
            return Animation(partial, self._suffix, shape, rate=self.rate, total=total, **options)
        return FrameFolder(partial)

    def _check_options(self) -> None:
        if self.crf is not None:
            if self._suffix not in CONTAINERS:
                raise InvalidInput(
                    f"crf: got {shown(self.crf)} for {self.path}, expected a video: "
                    f"{', '.join(CONTAINERS)}."
                )
            check_integer("crf", self.crf, 0, CONTAINERS[self._suffix].worst_crf)
        if self.quality is not None:
            if self._suffix != ".webp":
                raise InvalidInput(
                    f"quality: got {shown(self.quality)} for {self.path}, expected .webp."
                    + (" Pass a crf." if self._suffix in CONTAINERS else "")
                )
            check_integer("quality", self.quality, 1, 100)

    def _check_target(self) -> None:
        """Refuse to replace what was not asked for."""
        if not self.path.exists() and not self.path.is_symlink():
            return
        if not self.path.is_dir():
            if not self.force:
                raise InvalidInput(
                    f"{self.path} exists. Pass force=True to replace it, or choose another name."
                )
            return
        others = [entry.name for entry in self.path.iterdir() if not is_frame(entry.name)]
        if others:
            raise InvalidInput(
                f"{self.path} holds {shown(min(others))}, expected a new folder, an empty one, or "
                "one of frames alone. Choose another name."
            )
        if any(self.path.iterdir()) and not self.force:
            raise InvalidInput(
                f"{self.path} holds frames. Pass force=True to replace them, or choose another "
                "name."
            )


def write_video(
    frames: Iterable[np.ndarray],
    path: str | Path,
    *,
    fps: float = 30,
    crf: int | None = None,
    quality: int | None = None,
    repeat: bool = True,
    force: bool = False,
) -> WrittenVideo:
    """Write frames as a video, an animation or a folder of PNG files; see `VideoFile`.

    Args:
        frames: [H, W, C] uint8, such as those of `Generator.interpolate`.
        path: .mp4, .mov, .mkv, .webm, .gif or .webp; or else a folder.
        fps: frames a second.
        crf: of a video, 0 (nothing is lost) to 51; None = 18.
        quality: of .webp, 1 to 100.
        repeat: whether a .gif or .webp starts over for ever.
        force: replace what is there.

    Raises:
        InvalidInput: see `VideoFile` and `VideoFile.write`.
        MissingExtra: PyAV is not installed.
        EngineError: the encoder failed.
        OSError: the disk is full, or the folder cannot be written.
    """
    file = VideoFile(Path(path), fps=fps, crf=crf, quality=quality, repeat=repeat, force=force)
    return file.write(frames)


def _checked_shape(image: np.ndarray) -> tuple[int, int, int]:
    """The shape of the first frame."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in FRAME_CHANNELS:
        raise InvalidInput(
            f"frame 0: got {image.dtype} {image.shape}, expected uint8 [H, W, C] with C of 1, 3 or "
            "4. Pictures of other channels can be saved one by one, as .npy."
        )
    height, width, channels = image.shape
    return height, width, channels

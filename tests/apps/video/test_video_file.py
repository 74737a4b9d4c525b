"""Frames to files and back: what players see, what is refused, and what is left after an error."""

from __future__ import annotations

import errno
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import stylert.apps.video.animation
import stylert.apps.video.stream as stream
from stylert.apps.video import VideoFile, write_video
from stylert.apps.video.pixels import over_black
from stylert.runtime.errors import EngineError, MissingExtra, StylertWarning

H, W = 48, 64
SUFFIXES = [".mp4", ".mov", ".mkv", ".webm", ".gif", ".webp", ""]


def smooth(count: int, *, height: int = H, width: int = W, channels: int = 3) -> list[np.ndarray]:
    """Frames with colours that move slowly, each frame of its own."""
    y, x, c = np.ogrid[:height, :width, :channels]
    waves = [np.sin(x / 20 + y / 17 + 2 * c + i / 5) for i in range(count)]
    return [np.round(127.5 + 100 * wave).astype(np.uint8) for wave in waves]


def luma(rgb: np.ndarray) -> np.ndarray:
    """Y' of BT.709 in the limited range, by its definition."""
    return 16 + 219 / 255 * (rgb.astype(float) @ [0.2126, 0.7152, 0.0722])


def decoded_luma(path: Path) -> np.ndarray:
    """[N, H, W] as it is stored."""
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray(format="yuv420p") for frame in file.decode(video=0)]
    return np.stack(frames)[:, : frames[0].shape[0] * 2 // 3]


def decoded_rgb(path: Path) -> np.ndarray:
    """[N, H, W, 3], from YUV by the definition of BT.709."""
    images = []
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            planes = frame.to_ndarray(format="yuv420p").astype(float)
            height, width = frame.height, frame.width
            y = (planes[:height] - 16) * 255 / 219
            rest = planes[height:].reshape(2, height // 2, width // 2)
            u, v = ((p.repeat(2, 0).repeat(2, 1) - 128) * 255 / 224 for p in rest)
            red, blue = y + 1.5748 * v, y + 1.8556 * u
            images.append(np.stack([red, (y - 0.2126 * red - 0.0722 * blue) / 0.7152, blue], -1))
    return np.stack(images).clip(0, 255)


def animation(path: Path) -> tuple[list[np.ndarray], list[int], Any]:
    """The frames of a .gif or .webp, their milliseconds, and what says how often they repeat."""
    images, durations = [], []
    with Image.open(path) as file:
        repeats = file.info.get("loop")
        for i in range(file.n_frames):
            file.seek(i)
            images.append(np.asarray(file.convert("RGBA" if file.mode == "RGBA" else "RGB")))
            durations.append(file.info["duration"])
    return images, durations, repeats


def psnr(a: Any, b: Any) -> float:
    return float(10 * np.log10(255**2 / np.mean((np.asarray(a, float) - np.asarray(b)) ** 2)))


# --- What is written.


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "h264"), (".mov", "h264"), (".mkv", "h264"), (".webm", "vp9")],
)
@pytest.mark.parametrize("fps", [30, 29.97])
def test_a_video_decodes_to_the_frames(tmp_path: Path, suffix: str, codec: str, fps: float) -> None:
    frames = smooth(40)
    path = tmp_path / f"walk{suffix}"
    written = write_video(frames, path, fps=fps)
    rate = Fraction(30) if fps == 30 else Fraction(30000, 1001)
    assert (written.path, written.frames, written.width, written.height) == (path, 40, W, H)
    assert written.seconds == pytest.approx(40 / float(rate))
    assert os.listdir(tmp_path) == [path.name]
    with av.open(str(path)) as file:
        (video,) = file.streams
        context = video.codec_context
        assert context.name.startswith(codec) or codec in context.name
        assert (context.width, context.height) == (W, H)
        assert (context.pix_fmt, context.colorspace, context.color_range) == ("yuv420p", 1, 1)
        times = [frame.time for frame in file.decode(video)]
        tick = float(video.time_base)
    assert len(times) == 40
    assert np.allclose(times, np.arange(40) / float(rate), atol=tick)
    # Measured: 49 and 36.6 dB (H.264), 51 and 36.9 dB (VP9): half the colour is stored.
    assert psnr(luma(np.stack(frames)), decoded_luma(path)) > 45
    assert psnr(np.stack(frames), decoded_rgb(path)) > 34


def test_crf_0_keeps_the_luma(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (H, W, 3), np.uint8) for _ in range(5)]
    write_video(frames, tmp_path / "exact.mp4", crf=0)
    difference = decoded_luma(tmp_path / "exact.mp4") - luma(np.stack(frames))
    assert np.abs(difference).max() <= 1  # the rounding of the conversion
    write_video(frames, tmp_path / "coarse.mp4", crf=40)
    sizes = [(tmp_path / name).stat().st_size for name in ("exact.mp4", "coarse.mp4")]
    assert sizes[1] < sizes[0] / 4


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    contents = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}{suffix}"
        write_video(iter(smooth(20)), path)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]


def test_odd_sides_are_padded_by_their_last_pixels(tmp_path: Path) -> None:
    frames = smooth(3, height=33, width=41)
    written = write_video(frames, tmp_path / "odd.mp4", crf=0)
    assert (written.width, written.height) == (41, 33)
    got = decoded_luma(tmp_path / "odd.mp4")
    assert got.shape == (3, 34, 42)
    padded = np.pad(luma(np.stack(frames)), ((0, 0), (0, 1), (0, 1)), mode="edge")
    assert np.abs(got - padded).max() <= 1


def test_gray_and_transparent_pictures(tmp_path: Path) -> None:
    gray = smooth(3, channels=1)
    write_video(gray, tmp_path / "gray.mp4", crf=0)
    expected = np.repeat(np.stack(gray), 3, axis=-1)
    assert np.abs(decoded_rgb(tmp_path / "gray.mp4") - expected).max() <= 3
    write_video(gray, tmp_path / "gray.gif")
    assert np.array_equal(np.stack(animation(tmp_path / "gray.gif")[0]), expected)
    clear = smooth(3, channels=4)
    write_video(clear, tmp_path / "clear.mp4", crf=0)
    shown = np.stack([over_black(frame) for frame in clear])
    assert np.abs(decoded_luma(tmp_path / "clear.mp4") - luma(shown)).max() <= 1
    write_video(clear, tmp_path / "clear.webp", quality=100)
    kept = np.stack(animation(tmp_path / "clear.webp")[0])
    assert kept.shape == (3, H, W, 4)
    assert np.abs(kept[..., 3].astype(int) - np.stack(clear)[..., 3]).max() <= 2


def test_over_black() -> None:
    pixels = np.array([[[200, 100, 7, 255], [200, 100, 7, 0], [200, 100, 7, 128]]], np.uint8)
    assert over_black(pixels).tolist() == [[[200, 100, 7], [0, 0, 0], [100, 50, 4]]]


@pytest.mark.parametrize("repeat", [True, False])
def test_an_animated_gif(tmp_path: Path, repeat: bool) -> None:
    frames = smooth(31)
    write_video(frames, tmp_path / "walk.gif", fps=30, repeat=repeat)
    images, durations, repeats = animation(tmp_path / "walk.gif")
    assert len(images) == 31
    assert set(durations) == {30, 40}  # hundredths of a second, and yet in time
    assert sum(durations) == 1030
    assert repeats == (0 if repeat else None)
    assert psnr(frames, images) > 38  # 256 colours; measured 41


@pytest.mark.parametrize("repeat", [True, False])
def test_an_animated_webp(tmp_path: Path, repeat: bool) -> None:
    frames = smooth(31)
    write_video(frames, tmp_path / "walk.webp", fps=30, repeat=repeat)
    images, durations, repeats = animation(tmp_path / "walk.webp")
    assert len(images) == 31
    assert (set(durations), sum(durations)) == ({33, 34}, 1033)
    assert repeats == (0 if repeat else 1)
    assert psnr(frames, images) > 38  # measured 41
    write_video(frames, tmp_path / "coarse.webp", quality=30)
    assert psnr(frames, images) > psnr(frames, animation(tmp_path / "coarse.webp")[0]) + 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_frames_that_are_told_are_those_of_the_file(tmp_path: Path, suffix: str) -> None:
    """Pillow makes one frame of equal ones in a row, which then stands as long as they would."""
    first, second = smooth(2)
    written = write_video([first, first, first, second, first], tmp_path / f"walk{suffix}", fps=10)
    if suffix in (".gif", ".webp"):
        images, durations, _ = animation(written.path)
        assert (len(images), durations) == (3, [300, 100, 100])
    elif suffix:
        images = list(decoded_luma(written.path))
    else:
        images = [np.asarray(Image.open(file)) for file in written.path.iterdir()]
    assert (written.frames, written.drawn) == (len(images), 5)
    assert written.seconds == pytest.approx(0.5)
    still = write_video([first, first], tmp_path / f"still{suffix}")
    assert (still.frames, still.drawn) == (1 if suffix in (".gif", ".webp") else 2, 2)


def test_a_folder_of_frames(tmp_path: Path) -> None:
    frames = smooth(12)
    written = write_video(frames, tmp_path / "new" / "frames")
    assert written.codec == "PNG"
    names = sorted(os.listdir(written.path))
    assert names == [f"frame{i:06d}.png" for i in range(12)]
    for name, frame in zip(names, frames, strict=True):
        with Image.open(written.path / name) as image:
            assert np.array_equal(np.asarray(image), frame)
    assert os.listdir(tmp_path / "new") == ["frames"]


def test_progress_and_the_codec_are_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    file = VideoFile(tmp_path / "walk.mp4")
    written = file.write(smooth(3), total=3, progress=lambda *now: told.append(now))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert written.codec == "H.264 (libx264)"


def test_frames_are_taken_one_by_one(tmp_path: Path) -> None:
    """The next frame is drawn when the last one is with the encoder: memory stays flat."""
    waiting = [0]

    class Sink:
        codec = "none"

        def add(self, image: np.ndarray) -> None:
            waiting[0] -= 1

        def finish(self) -> int:
            (tmp_path / f".walk.mp4.{os.getpid()}.partial").write_bytes(b"")
            return 5

        def close(self) -> None:
            pass

    def frames() -> Iterator[np.ndarray]:
        for frame in smooth(5):
            assert waiting[0] == 0
            waiting[0] += 1
            yield frame

    class Recorded(VideoFile):
        def _open(self, *_: Any) -> Any:
            return Sink()

    assert Recorded(tmp_path / "walk.mp4").write(frames()).frames == 5


# --- What is in the way.


def test_nothing_is_replaced_unless_it_is_asked_for(tmp_path: Path, refuses: Any) -> None:
    path = tmp_path / "walk.mp4"
    path.write_text("old")
    with refuses("walk.mp4 exists. Pass force=True"):
        write_video(smooth(1), path)
    assert path.read_text() == "old"
    write_video(smooth(2), path, force=True)
    assert len(decoded_luma(path)) == 2


def test_a_folder_is_replaced_if_it_holds_frames_alone(tmp_path: Path, refuses: Any) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    write_video(smooth(3), folder)  # an empty one is as good as none
    with refuses("holds frames. Pass force=True"):
        write_video(smooth(1), folder)
    write_video(smooth(2), folder, force=True)
    assert len(os.listdir(folder)) == 2
    (folder / "notes.txt").write_text("mine")
    with refuses("holds 'notes.txt', expected a new folder"):
        write_video(smooth(1), folder, force=True)
    assert len(os.listdir(folder)) == 3
    assert os.listdir(tmp_path) == ["frames"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_video(smooth(2), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(os.listdir(tmp_path / "real")) == 2


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_leaves_nothing(
    tmp_path: Path, suffix: str, error: type[BaseException]
) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield from smooth(60)  # more than the encoder holds back
        in_memory = suffix in (".gif", ".webp")
        assert in_memory == (not os.listdir(tmp_path))
        raise error

    with pytest.raises(error):
        write_video(frames(), tmp_path / f"walk{suffix}")
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_a_full_disk_is_told_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = av.open
    monkeypatch.setattr(
        av, "open", lambda _, *rest, **options: open_("/dev/full", *rest, **options)
    )
    with pytest.raises(OSError, match="No space left") as caught:
        write_video(smooth(60), tmp_path / "walk.mp4")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "walk.mp4")
    assert not os.listdir(tmp_path)


# --- What is refused.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": "walk.avi"}, "walk.avi: got '.avi', expected .mp4, .mov, .mkv, .webm, .gif, .we"),
        ({"path": 7}, "path: got 7, expected a str or Path."),
        ({"fps": 0}, "fps: got 0, expected a number above 0 and up to 1000."),
        ({"fps": 1e-9}, "fps: got 1e-09"),
        ({"fps": float("nan")}, "fps: got nan"),
        ({"fps": 2000}, "fps: got 2000"),
        ({"fps": "30"}, "fps: got '30'"),
        ({"fps": True}, "fps: got True"),
        ({"crf": 52}, "crf: got 52, expected an integer of 0 to 51."),
        ({"path": "a.webm", "crf": 64}, "crf: got 64, expected an integer of 0 to 63."),
        ({"path": "a.gif", "crf": 3}, "crf: got 3 for a.gif, expected a video"),
        ({"path": "frames", "crf": 3}, "crf: got 3 for frames, expected a video"),
        ({"quality": 90}, "quality: got 90 for a.mp4, expected .webp. Pass a crf."),
        ({"path": "a.webp", "quality": 101}, "quality: got 101, expected an integer of 1 to 100."),
        ({"path": "a.gif", "quality": 9}, "quality: got 9 for a.gif, expected .webp."),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refuses: Any,
    options: dict[str, Any],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with refuses(words):
        VideoFile(**{"path": "a.mp4", **options})
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([], "frames: got none, expected at least one."),
        ([np.zeros((4, 4), np.uint8)], "frame 0: got uint8 (4, 4), expected uint8 [H, W, C]"),
        ([np.zeros((4, 4, 2), np.uint8)], "frame 0: got uint8 (4, 4, 2)"),
        ([np.zeros((4, 4, 3))], "frame 0: got float64 (4, 4, 3)"),
        (
            [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)],
            "frame 1: got uint8 (4, 6, 3), expected uint8 (4, 4, 3).",
        ),
    ],
)
def test_frames_that_do_not_fit(
    tmp_path: Path, refuses: Any, frames: list[np.ndarray], words: str
) -> None:
    for suffix in (".mp4", ".gif", ""):
        with refuses(words):
            write_video(frames, tmp_path / f"walk{suffix}")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("suffix", "largest"), [(".mp4", 16384), (".webm", 16384), (".gif", 65535), (".webp", 16383)]
)
def test_sides_beyond_the_format(tmp_path: Path, refuses: Any, suffix: str, largest: int) -> None:
    wide = np.zeros((1, largest + 1, 3), np.uint8)
    with refuses(f"got {largest + 1}x1 pixels, expected sides of up to {largest}"):
        write_video([wide], tmp_path / f"walk{suffix}")


def test_animations_that_are_too_long_or_fast(
    tmp_path: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stylert.apps.video.animation, "MAX_BYTES", 10 * H * W * 3)
    write_video(smooth(10), tmp_path / "ten.gif")
    with refuses("frames: got 11, expected at most 10 of this size for .webp", "Write .mp4"):
        write_video(smooth(11), tmp_path / "eleven.webp")
    drawn = itertools.count()
    frames = (frame for frame in smooth(20) if next(drawn) >= 0)
    with refuses("frames: got 20, expected at most 10"):
        VideoFile(tmp_path / "known.gif").write(frames, total=20)
    assert next(drawn) == 1  # it was refused at once
    with refuses("fps: got 60, expected at most 50 for .gif."):
        write_video(smooth(1), tmp_path / "fast.gif", fps=60)


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Any) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with refuses("PyAV", "[video]'", error=MissingExtra):
        VideoFile(tmp_path / "walk.mp4")
    write_video(smooth(2), tmp_path / "walk.gif")
    write_video(smooth(2), tmp_path / "frames")


def test_a_pyav_without_x264(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Any) -> None:
    missing = av.codecs_available - {"libx264", "libvpx-vp9"}
    monkeypatch.setattr(av, "codecs_available", missing)
    frames = smooth(20)
    with pytest.warns(StylertWarning, match="no libx264: the video is MPEG-4 part 2"):
        written = write_video(frames, tmp_path / "walk.mp4")
    assert written.codec == "MPEG-4 part 2 (mpeg4)"
    assert psnr(luma(np.stack(frames)), decoded_luma(written.path)) > 38
    with refuses("crf: got 20, but this PyAV has no libx264"):
        write_video(frames, tmp_path / "b.mp4", crf=20)
    with refuses("VP9: this PyAV has no encoder for .webm (libvpx-vp9).", error=EngineError):
        write_video(frames, tmp_path / "walk.webm")
    assert os.listdir(tmp_path) == ["walk.mp4"]


def test_an_encoder_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Any
) -> None:
    broken = replace(stream.CONTAINERS[".mp4"].encoders[0], options=(("profile", "none"),))
    container = replace(stream.CONTAINERS[".mp4"], encoders=(broken,))
    monkeypatch.setitem(stream.CONTAINERS, ".mp4", container)
    with refuses("H.264 (libx264): the encoder failed (", error=EngineError):
        write_video(smooth(2), tmp_path / "walk.mp4")
    assert not os.listdir(tmp_path)

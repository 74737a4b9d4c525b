"""The commands mix, edit and video: the pixels that they write, and what they refuse."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

import stylert
from stylert import cli
from stylert.runtime.control.interpolation import cubic, make_frame_times
from stylert.runtime.generator import Generator


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on stderr."""
        (line,) = self.err.splitlines()
        assert line.startswith("error: "), self.err
        assert not self.out
        return line.removeprefix("error: ")


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Runs a command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(name: str, bundle: Path, arguments: str = "") -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([name, str(bundle), "--provider", "cpu", *shlex.split(arguments)])
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return command


@pytest.fixture(scope="module")
def moving_bundle(bundle_of: Callable[[str], Path]) -> Path:
    """StyleGAN3-R, 64x64."""
    return bundle_of("sg3-r-64")


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def frames_in(folder: str | Path) -> np.ndarray:
    return np.stack([pixels(path) for path in sorted(Path(folder).iterdir())])


def tiles(picture: np.ndarray, side: int = 32) -> np.ndarray:
    """[rows, columns, side, side, C] of a figure."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    return picture.reshape(rows, side, columns, side, -1).transpose(0, 2, 1, 3, 4)


def close(a: np.ndarray, b: Any) -> bool:
    """The same but for the rounding of another batch."""
    b = np.asarray(b)
    return a.shape == b.shape and bool(np.abs(a.astype(int) - b).max() <= 1)


# --- mix


def test_mix_is_the_generators(
    run: Callable[..., Done], bundle: Path, generator: Generator
) -> None:
    done = run("mix", bundle, "--rows 0-1 --columns 5,3,5 --layers middle --out new/mix.png")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("Wrote new/mix.png: 128x96 pixels.\n")
    got = tiles(pixels("new/mix.png"))
    assert close(got[1:, 1:], generator.mix([0, 1], [5, 3, 5], layers="middle"))
    assert close(got[0, 1:], generator.generate([5, 3, 5]))
    assert close(got[1:, 0], generator.generate([0, 1]))
    assert not got[0, 0].any()
    assert not close(got[1, 1], got[1, 0])


def test_mix_takes_classes_of_rows_and_columns(
    run: Callable[..., Done], conditional_bundle: Path, conditional: Generator
) -> None:
    options = (
        "--rows 1,2 --class 3,0 --columns 5-7 --column-class 0,2,4 --layers coarse --no-framed"
    )
    assert run("mix", conditional_bundle, f"{options} --out m.png").code == 0
    classes: dict[str, Any] = {"class_idx": [3, 0], "column_class_idx": [0, 2, 4]}
    expected = conditional.mix([1, 2], [5, 6, 7], layers="coarse", **classes)
    assert close(tiles(pixels("m.png")), expected)


def test_mix_passes_its_options_on(
    run: Callable[..., Done], conditional_bundle: Path, conditional: Generator
) -> None:
    options = "--truncation-psi coarse=0.5,3-4=0.8 --class 2 --noise seeded --noise-seed 9"
    done = run(
        "mix",
        conditional_bundle,
        f"--rows 1 --columns 2,3 --layers 0-2,5 --no-framed --out m.png --json {options}",
    )
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert (found["files"], found["width"], found["height"]) == (["m.png"], 64, 32)
    expected = conditional.mix(
        [1],
        [2, 3],
        layers="0-2,5",
        truncation_psi={"coarse": 0.5, "3-4": 0.8},
        class_idx=2,
        noise_mode="seeded",
        noise_seed=9,
    )
    assert close(tiles(pixels("m.png")), expected)


def test_mix_and_edit_take_all_that_generate_does(
    run: Callable[..., Done], moving_bundle: Path, conditional_bundle: Path
) -> None:
    moved = "--translate 0.25,0 --rotate 90 --truncation-psi 0.5"
    mix = "--rows 1 --columns 2 --layers 0-3 --no-framed"
    assert run("mix", moving_bundle, f"{mix} {moved} --out m.png").code == 0
    edit = "--seed 1 --direction sefa_all_0 --strengths 0"
    assert run("edit", moving_bundle, f"{edit} {moved} --out e.png").code == 0
    options: dict[str, Any] = {"translate": (0.25, 0), "rotate": 90}
    with stylert.open(moving_bundle, provider="cpu") as generator:
        left, top = generator.styles([1, 2], truncation_psi=0.5)[:, None]
        mixed = np.concatenate([top[:, :4], left[:, 4:]], axis=1)
        assert close(pixels("m.png"), generator.synthesize(mixed, **options)[0])
        assert close(pixels("e.png"), generator.synthesize(left, **options)[0])
    labels = "--labels 0.5,0,0.5,0,0"
    assert run("edit", conditional_bundle, f"{edit} {labels} --out l.png").code == 0
    with stylert.open(conditional_bundle, provider="cpu") as generator:
        expected = generator.generate(1, labels=[0.5, 0, 0.5, 0, 0])
    assert close(pixels("l.png"), expected[0])


def test_mix_takes_ws_of_files(
    run: Callable[..., Done], bundle: Path, generator: Generator, tmp_path: Path
) -> None:
    ws = generator.styles([1, 2], truncation_psi=0.6)
    np.save(tmp_path / "a.npy", ws)
    np.savez(tmp_path / "b.npz", w=ws[:1])
    done = run("mix", bundle, "--rows a.npy --columns 4 --layers 0 --out m.png --truncation-psi 1")
    assert (done.code, done.err) == (0, "")
    expected = generator.mix(ws, generator.styles([4], truncation_psi=1), layers=0)
    assert close(tiles(pixels("m.png"))[1:, 1:], expected)
    done = run("mix", bundle, "--rows a.npy --columns b.npz --layers 0 --out n.jpg --quality 90")
    assert (done.code, done.err) == (0, "")
    done = run("mix", bundle, "--rows a.npy --columns b.npz --layers 0 --out o.png --class 1")
    assert done.code == 2
    assert "--class: got one for ws of a file, expected seeds" in done.error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--rows 1 --columns 2 --layers nose", "--layers: got 'nose', expected 'all' (0-7)"),
        ("--rows 1 --columns 2 --layers fine", "'fine', which this generator is too small for"),
        ("--rows x --columns 2 --layers 0", "'--rows': got 'x', expected a list such as 0-31,40"),
        ("--rows 1 --columns 0-100000 --layers 0", "'--columns': got '0-100000', expected up to"),
        ("--rows 1 --columns 2 --layers 0 --truncation-psi a=b", "'--truncation-psi': got 'a=b'"),
        ("--rows 1 --columns 2 --layers 0 --truncation-psi nose=1", "layers: got 'nose'"),
        ("--rows 1 --columns 2 --layers 0 --class 1", "--class: "),
        ("--rows 1 --columns 2 --layers 0 --noise loud", "--noise: got 'loud'"),
        ("--rows no.npy --columns 2 --layers 0", "Cannot read 'no.npy': No such file"),
        ("--rows no.pt --columns 2 --layers 0", "Cannot read 'no.pt': No such file"),
        ("--rows 1 --layers 0", "Missing option '--columns'"),
        ("--rows 1 --columns 2", "Missing option '--layers'"),
        ("--rows 1 --columns 2 --layers 0 --quality 9", "--quality: got one for new/m.png"),
    ],
)
def test_mix_refuses(run: Callable[..., Done], bundle: Path, options: str, words: str) -> None:
    done = run("mix", bundle, f"{options} --out new/m.png")
    assert (done.code, words in done.error) == (2, True), done.error
    assert not os.listdir()


def test_mix_of_more_seeds_than_fit_into_a_name(
    run: Callable[..., Done], bundle: Path, generator: Generator
) -> None:
    rows = ",".join(["1000000000"] * 30)  # longer than the name of a file may be
    done = run("mix", bundle, f"--rows {rows} --columns 2 --layers 0 --no-framed --out m.png")
    assert (done.code, done.err) == (0, "")
    expected = generator.mix([1000000000] * 30, [2], layers=0)
    assert close(tiles(pixels("m.png")), expected)


def test_a_picture_is_replaced_with_force_alone(run: Callable[..., Done], bundle: Path) -> None:
    Path("m.png").write_text("old")
    for command in (
        ("mix", bundle, "--rows 1 --columns 2 --layers 0 --out m.png"),
        ("edit", bundle, "--seed 1 --direction sefa_all_0 --out m.png"),
    ):
        done = run(*command)
        assert done.code == 2
        assert done.error == "m.png exists. Pass --force to replace it, or choose another name."
        assert Path("m.png").read_text() == "old"
        assert run(command[0], bundle, f"{command[2]} --force").code == 0
        Path("m.png").write_text("old")
    for place, words in ((".", "cannot write ''"), ("m.xyz", "cannot write '.xyz'")):
        done = run("mix", bundle, f"--rows 1 --columns 2 --layers 0 --out {place}")
        assert (done.code, words in done.error) == (2, True), done.error


# --- edit


def test_edit_along_a_direction_of_the_bundle(
    run: Callable[..., Done], bundle: Path, generator: Generator
) -> None:
    options = "--seed 7 --direction sefa_coarse_0 --strengths=-6:6:5 --out strip.png"
    done = run("edit", bundle, f"{options} --truncation-psi 0.8")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("Wrote strip.png: 160x32 pixels.\n")
    ws = generator.styles([7], truncation_psi=0.8)
    moved = generator.edit(ws, "sefa_coarse_0", [-6, -3, 0, 3, 6])
    assert close(tiles(pixels("strip.png"))[0], generator.synthesize(moved))


def test_edit_along_a_component_or_a_file(
    run: Callable[..., Done], bundle: Path, generator: Generator, tmp_path: Path
) -> None:
    ws = generator.styles([1, 2])
    np.save(tmp_path / "ws.npy", ws)
    direction = np.random.RandomState(0).randn(generator.spec.w_dim).astype(np.float32)
    np.save(tmp_path / "age.npy", direction)
    done = run("edit", bundle, "--ws ws.npy --direction age.npy --strengths 0,2 --out a.png")
    assert (done.code, done.err) == (0, "")
    got = tiles(pixels("a.png"))
    assert close(got[:, 0], generator.synthesize(ws))
    assert close(got[:, 1], generator.synthesize(generator.edit(ws, direction, 2)))
    done = run(
        "edit", bundle, "--ws ws.npy --direction pca:2 --strengths 3 --layers 0-3 --out b.png"
    )
    assert (done.code, done.err) == (0, "")
    moved = generator.edit(ws, generator.pca(k=3).direction(2), 3, layers="0-3")
    assert close(tiles(pixels("b.png"))[:, 0], generator.synthesize(moved))


def test_edit_keeps_the_ws_of_its_pictures(
    run: Callable[..., Done], bundle: Path, generator: Generator
) -> None:
    options = "--seeds 1,2 --direction pca:1 --strengths=-1,0,3 --layers 0-3 --out a.png"
    done = run("edit", bundle, f"{options} --save-ws a.npz --json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["files"] == ["a.png", "a.npz"]
    kept = generator.load_ws("a.npz")
    assert kept.shape == (6, *generator.styles(1).shape[1:])
    assert close(tiles(pixels("a.png")).reshape(6, 32, 32, 3), generator.synthesize(kept))
    assert run("edit", bundle, f"{options} --save-ws a.npz").code == 2  # both are there


def test_what_edit_and_mix_refuse_comes_before_a_warning_of_classes(
    run: Callable[..., Done], conditional_bundle: Path
) -> None:
    warnings.simplefilter("always")
    for name, options in (
        ("edit", "--seed 1 --direction nobody"),
        ("edit", "--seed 1 --direction no.npy"),
        ("edit", "--seed 1 --direction pca:0 --layers nose"),
        ("mix", "--rows 1 --columns 2 --layers nose"),
        ("mix", "--rows 1 --columns 2 --layers 0 --truncation-psi nan"),
        ("video", "--seeds 1,2 --truncation-psi nan"),
    ):
        done = run(name, conditional_bundle, f"{options} --out a.webp")
        assert done.code == 2
        assert done.error  # one line, and no warning


def test_edit_of_a_class(
    run: Callable[..., Done], conditional_bundle: Path, conditional: Generator
) -> None:
    done = run(
        "edit",
        conditional_bundle,
        "--seed 1 --class 3 --direction pca:0 --strengths 2 --out a.png --json",
    )
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["files"] == ["a.png"]
    direction = conditional.pca(k=1, class_idx=3).direction(0)
    moved = conditional.edit(conditional.styles([1], class_idx=3), direction, 2)
    assert close(pixels("a.png"), conditional.synthesize(moved)[0])


def test_edit_lists_the_directions(
    run: Callable[..., Done], bundle: Path, generator: Generator
) -> None:
    done = run("edit", bundle, "--list-directions")
    assert (done.code, done.err) == (0, "")
    assert "sefa_coarse_0 to sefa_coarse_19" in done.out
    done = run("edit", bundle, "--list-directions --json")
    found = json.loads(done.out)
    assert found.keys() == generator.directions.keys()
    assert found["sefa_coarse_0"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--direction pca:0", "pass --seed N or --ws FILE, one of them"),
        ("--seed 1 --ws a.npy --direction pca:0", "pass --seed N or --ws FILE, one of them"),
        ("--seed 1", "pass --direction NAME or --text TEXT"),
        ("--seed 1 --direction smile", "--direction: got 'smile', expected one of 'sefa_all_0'"),
        (
            "--seed 1 --direction pca:x",
            "'--direction': got 'pca:x', expected a component such as pca:0",
        ),
        ("--seed 1 --direction pca:99999", "--direction: got 'pca:99999', expected pca:0 to pca:"),
        ("--seed 1 --direction no.npy", "Cannot read 'no.npy'"),
        ("--seed 1 --direction pca:0 --strengths=1:2", "'--strengths': got '1:2', expected FIRST"),
        ("--seed 1 --direction pca:0 --strengths=1:2:x", "'--strengths': got '1:2:x'"),
        ("--seed 1 --direction pca:0 --strengths=1:2:0", "'--strengths': got '1:2:0'"),
        ("--seed 1 --direction pca:0 --strengths=1:2:999999999", "'--strengths': got '1:2:9999"),
        ("--seed 1 --direction pca:0 --strengths=0,nan", "'--strengths': got '0,nan'"),
        ("--seed 1 --direction pca:0 --strengths=1:2:3:4", "'--strengths': got '1:2:3:4'"),
        ("--seed 1 --direction pca:0 --strengths=-inf:inf:3", "'--strengths': got '-inf:inf:3'"),
        ("--seed 1 --direction pca:0 --layers nose", "layers: got 'nose'"),
        (
            "--seed 1 --direction pca:0 --save-ws w.npy",
            "--save-ws: got w.npy, expected the",
        ),
        ("--seed 1 --direction b4.conv1:0 --save-ws w.npz", "--save-ws: got one with channels"),
        ("--seed -1 --direction pca:0", "got '-1', expected"),
    ],
)
def test_edit_refuses(run: Callable[..., Done], bundle: Path, options: str, words: str) -> None:
    done = run("edit", bundle, f"{options} --out a.png")
    assert (done.code, words in done.error) == (2, True), done.error
    assert not os.listdir()


# --- video


def test_video_decodes_to_the_walk(
    run: Callable[..., Done], bundle: Path, generator: Generator
) -> None:
    options = "--seeds 1,2,1 --seconds 0.5 --fps 20 --crf 0 --out new/walk.mp4"
    done = run("video", bundle, options)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == (
        "Wrote new/walk.mp4: 21 frames of 32x32, 1.1 s, H.264 (libx264)."
    )
    with av.open("new/walk.mp4") as file:
        video = file.streams.video[0]
        assert (video.average_rate, video.width, video.height) == (20, 32, 32)
        stored = np.stack([f.to_ndarray(format="yuv420p")[:32] for f in file.decode(video)])
    images = np.stack(list(generator.interpolate([1, 2, 1], frames=10)))
    luma = 16 + 219 / 255 * (images.astype(float) @ [0.2126, 0.7152, 0.0722])
    assert stored.shape == luma.shape
    assert np.abs(stored - luma).max() <= 2  # nothing is lost but by rounding


def test_a_loop_has_no_jump(run: Callable[..., Done], bundle: Path, generator: Generator) -> None:
    done = run(
        "video",
        bundle,
        "--seeds 1-3 --loop --seconds 0.4 --fps 25 --out frames --json "
        "--noise animated --noise-seed 4",
    )
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert (found["frames"], found["width"], found["seconds"]) == (30, 32, 1.2)
    got = frames_in("frames").astype(float)
    assert close(got[0], next(generator.interpolate([1, 2], noise_mode="animated", noise_seed=4)))
    steps = [np.abs(a - b).mean() for a, b in zip(got, np.roll(got, -1, axis=0), strict=True)]
    assert steps[-1] <= max(steps[:-1])  # from the last frame to the first


def test_video_of_a_grid_that_changes(
    run: Callable[..., Done], bundle: Path, generator: Generator
) -> None:
    done = run(
        "video",
        bundle,
        "--seeds 0-3 --grid 1x2 --seconds 4 --fps 1 --truncation-psi 0:1 --out frames",
    )
    assert (done.code, done.err) == (0, "")
    got = frames_in("frames").reshape(5, 2, 32, 32, 3)
    for cell, seeds in enumerate(([0, 1], [2, 3])):
        psi = [0, 0.25, 0.5, 0.75, 1]
        expected = list(generator.interpolate(seeds, frames=4, truncation_psi=psi))
        assert close(got[:, cell], expected)
    assert close(got[0, 0], got[0, 1])  # both start with the mean
    assert not close(got[4, 0], got[4, 1])


def test_video_of_ws_and_layers(
    run: Callable[..., Done], bundle: Path, generator: Generator, tmp_path: Path
) -> None:
    ws = generator.styles([5, 6], truncation_psi=1)
    np.save(tmp_path / "ws.npy", ws)
    options = "--ws ws.npy --seconds 1 --fps 4 --truncation-psi coarse=0.5 --out frames"
    assert run("video", bundle, options).code == 0
    between = cubic(ws, make_frame_times(2, 4, loop=False))
    psi = np.where(np.arange(8) < 3, 0.5, 1)[:, None]
    pulled = generator.w_avg + psi * (between - generator.w_avg)
    assert close(frames_in("frames"), generator.synthesize(pulled.astype(np.float32)))


def test_video_of_ws_of_several_files(
    run: Callable[..., Done], bundle: Path, generator: Generator, tmp_path: Path
) -> None:
    ws = generator.styles([5, 6, 7])
    np.save(tmp_path / "a.npy", ws[:2])
    np.savez(tmp_path / "b.npz", w=ws[2:])
    options = "--ws a.npy --ws b.npz --seconds 1 --fps 2 --curve linear --out frames"
    assert run("video", bundle, options).code == 0
    expected = generator.interpolate(ws, frames=2, curve="linear")
    assert close(frames_in("frames"), list(expected))
    done = run("video", bundle, "--ws b.npz --out walk.gif")
    assert (done.code, done.error) == (2, "--ws: got 1, expected 2 or more.")


def test_pickles_are_read_by_all(
    run: Callable[..., Done], bundle: Path, generator: Generator, tmp_path: Path
) -> None:
    ws = generator.styles([5, 6])
    torch.save(torch.from_numpy(ws), tmp_path / "w.pt")
    torch.save(torch.from_numpy(ws[0] - ws[1]), tmp_path / "d.pt")
    np.save(tmp_path / "latents.npy", {"a.jpg": ws[0], "b.jpg": ws[1]})  # type: ignore[arg-type]
    for name, options, out in (
        ("mix", "--rows w.pt --columns latents.npy --layers 0 --no-framed", "mix.png"),
        ("edit", "--ws w.pt --direction d.pt --strengths 0,1", "edit.png"),
        ("video", "--ws latents.npy --seconds 1 --fps 2", "frames"),
    ):
        done = run(name, bundle, f"{options} --out {out}")
        assert done.code == 0, done.err
        assert "is a pickle: its arrays were read, and nothing in it was run" in done.err
    assert close(tiles(pixels("mix.png")), generator.mix(ws, ws, layers=0))
    moved = generator.synthesize(ws + (ws[0] - ws[1]))
    assert close(tiles(pixels("edit.png"))[:, 1], moved)
    assert close(frames_in("frames")[0], generator.synthesize(ws[:1])[0])


def test_video_of_classes(
    run: Callable[..., Done], conditional_bundle: Path, conditional: Generator
) -> None:
    options = "--seeds 7,7 --class 0,4 --seconds 1 --fps 2 --curve slerp --out frames"
    assert run("video", conditional_bundle, options).code == 0
    expected = conditional.interpolate([7, 7], class_idx=[0, 4], frames=2, curve="slerp")
    assert close(frames_in("frames"), list(expected))


def test_video_that_turns(run: Callable[..., Done], moving_bundle: Path) -> None:
    options = "--seeds 1,2 --loop --seconds 1 --fps 2 --rotate 0:360 --translate 0,0:0.2,0.1"
    done = run("video", moving_bundle, f"{options} --out frames")
    assert (done.code, done.err) == (0, "")
    with stylert.open(moving_bundle, provider="cpu") as generator:
        expected = generator.interpolate(
            [1, 2],
            frames=2,
            loop=True,
            rotate=[0, 90, 180, 270],
            translate=[[0, 0], [0.1, 0.05], [0.2, 0.1], [0.1, 0.05]],
        )
        assert close(frames_in("frames"), list(expected))


@pytest.mark.parametrize("name", ["walk.gif", "walk.webp", "walk.webm", "walk.mkv", "walk.mov"])
def test_video_in_other_formats(run: Callable[..., Done], bundle: Path, name: str) -> None:
    done = run("video", bundle, f"--seeds 1,2 --seconds 0.5 --fps 10 --out {name}")
    assert (done.code, done.err) == (0, "")
    assert f"Wrote {name}: 6 frames of 32x32, 0.6 s, " in done.out
    assert os.listdir() == [name]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "pass --seeds LIST or --ws FILE, one of them"),
        ("--seeds 1", "--seeds: got 1, expected 2 or more."),
        ("--seeds 0-4 --grid 2x1", "--seeds: got 5 for 2 walks, expected 4, 6, 8, ..."),
        ("--seeds 0-3 --grid 2", "'--grid': got '2', expected COLSxROWS, such as 3x2"),
        ("--seeds 0-3 --grid 0x2", "'--grid': got '0x2'"),
        ("--seeds 1,2 --curve wavy", "--curve: got 'wavy', expected one of"),
        ("--seeds 1,2 --seconds 0", "--seconds: got 0, expected above 0"),
        ("--seeds 1,2 --seconds nan", "--seconds: got nan"),
        ("--seeds 1,2 --seconds 9e4", "--seconds: got 90000, expected above 0 and up to 86400"),
        ("--seeds 1,2 --seconds 8e4 --fps 999", "--seconds, --fps: got 79920000, expected"),
        ("--seeds 1,2 --fps 0", "--fps: got 0.0, expected a number above 0"),
        ("--seeds 1,2 --crf 60", "--crf: got 60, expected an integer of 0 to 51."),
        ("--seeds 1,2 --quality 60", "--quality: got 60 for new/walk.mp4, expected .webp."),
        ("--seeds 1,2 --noise animated", "--noise-seed: got none with --noise 'animated'"),
        ("--seeds 1,2 --truncation-psi 0:x", "'--truncation-psi': got 'x', expected"),
        ("--seeds 1,2 --truncation-psi 0:1:2", "'--truncation-psi': got '0:1:2'"),
        ("--seeds 1,2 --truncation-psi 0:inf", "'--truncation-psi': got '0:inf'"),
        ("--seeds 1,2 --rotate 90", "--rotate: "),
        ("--seeds 1,2 --translate 1", "'--translate': got '1', expected such as 0.5,0.5"),
        ("--seeds 1,2 --class 1", "--class: "),
        ("--ws no.npy", "Cannot read 'no.npy': No such file"),
    ],
)
def test_video_refuses(run: Callable[..., Done], bundle: Path, options: str, words: str) -> None:
    done = run("video", bundle, f"{options} --out new/walk.mp4")
    assert (done.code, words in done.error) == (2, True), done.error
    assert not os.listdir()


@pytest.mark.parametrize("name", ["walk.avi", "walk"])
def test_video_refuses_what_it_cannot_write(
    run: Callable[..., Done], bundle: Path, name: str
) -> None:
    Path("walk").write_text("old")
    done = run("video", bundle, f"--seeds 1,2 --out {name}")
    words = {
        "walk.avi": "walk.avi: got '.avi', expected .mp4",
        "walk": "walk exists. Pass --force to",
    }
    assert (done.code, words[name] in done.error) == (2, True), done.error
    assert Path("walk").read_text() == "old"


def test_video_without_pyav(
    run: Callable[..., Done], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    done = run("video", bundle, "--seeds 1,2 --out walk.mp4")
    assert done.code == 1
    assert "[video]'" in done.error


MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from stylert.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize(("number", "name"), [("SIGINT", "walk.mp4"), ("SIGTERM", "frames")])
def test_a_signal_in_the_middle_of_a_video_leaves_nothing(
    tmp_path: Path, bundle: Path, number: str, name: str
) -> None:
    arguments = ["video", bundle, "--seeds", "1,2", "--seconds", "10000", "--out", name]
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while process.poll() is None and not list(tmp_path.glob(f".{name}.*.partial")):
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(getattr(signal, number))
        out, err = process.communicate(timeout=60)
    done = Done(process.returncode, out, err)
    assert (done.code, done.error) == (130, "interrupted")
    assert not os.listdir(tmp_path)

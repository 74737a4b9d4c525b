"""`stylert project` and `inpaint`: what is written, what is kept at Ctrl-C, what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert import cli
from stylert.apps.photos.alignment import align_face
from stylert.apps.projection.projector import Projector
from stylert.export.adjoint.bundle_gradient import add_gradient
from stylert.export.feature_networks.layers import pool_mean
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.bundle import Bundle

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--steps", "12", "--seeds-start", "8", "--backend", "onnxruntime", "--threads", "1")
FROM_THERE = ("--steps", "12", "--start", "w.npz", "--threads", "1")


@pytest.fixture(scope="module")
def fitting(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8x8, with a gradient. To be read only."""
    copy = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("fitting") / "bundle")
    add_gradient(copy)
    return copy


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        return int(ended.value.code or 0), *capsys.readouterr()

    return command


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Another size, and grey."""
    pixels = np.linspace(0, 255, 12 * 20).reshape(12, 20).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_project(run: Run, fitting: Path, photo: Path, tmp_path: Path) -> None:
    told = ("--pictures", "way", "--film", "way.gif", "--json")
    code, out, err = run("project", fitting, photo, photo, "--out", "w.npz", *QUICK, *told)
    assert code == 0, err
    facts = json.loads(out)
    assert facts["steps"] == 12
    assert len(facts["psnr"]) == 2
    spec = Bundle.open(fitting).spec
    with np.load("w.npz") as arrays:
        assert arrays.files == ["w"]
        assert arrays["w"].shape == (2, spec.num_ws, spec.w_dim)
    with Image.open("way/step-000010.png") as picture:
        assert picture.size == (16, 16)  # two photos, above two pictures
    with Image.open("way.gif") as film:
        assert 1 < film.n_frames <= 12  # type: ignore[attr-defined]  # equal ones are one
    assert run("generate", fitting, "--ws", "w.npz", "--out", "again")[0] == 0
    code, _, err = run("project", fitting, photo, "--out", "w.npz", *QUICK)
    assert (code, "--force" in err) == (2, True)
    code, _, err = run("project", fitting, photo, "--out", "more.npz", *FROM_THERE)
    assert (code, "--start: got 2 ws" in err) == (2, True)
    assert not Path("more.npz").exists()


def test_features(
    run: Run, fitting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient of a network is made once; its own file takes no onnx."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    g = GraphBuilder("means")
    x = g.input("pixels", ["N", 3, 8, 8])
    g.output(pool_mean(g, x, name="features"), "features", "float32", ["N", 3])
    told = {"name": "means", "range": "0,255", "resize": "bicubic"}
    g.save(tmp_path / "means.onnx", metadata={f"stylert.{k}": text for k, text in told.items()})
    project = ("project", fitting, photo, *QUICK, "--json", "--features-weight", "0.01")
    code, out, err = run(*project, "--features", "means.onnx", "--out", "w.npz")
    assert code == 0, err
    assert "made the gradient of means.onnx, once" in err
    (distance,) = json.loads(out)["distance"]
    assert distance > 0
    assert run("features", "means.onnx", "--gradient", "--out", "loss.onnx")[0] == 0
    monkeypatch.setitem(sys.modules, "onnx", None)
    for file in ("means.onnx", "loss.onnx"):
        code, again, err = run(*project, "--features", file, "--out", f"{file}.npz")
        assert (code, "made the gradient" in err) == (0, False)
        assert json.loads(again)["distance"] == [distance]
    code, _, err = run(*project, "--features", "means.onnx", "--method", "cma", "--out", "c.npz")
    assert (code, "--features: got one with CMA-ES" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--find-noise", "--find-noise"),
        ("--optimizer adam", "--optimizer"),
        ("--rate 0.1", "--rate"),
        ("--spread 0.1", "--spread"),
        ("--space w+", "--space"),
    ],
)
def test_a_search_without_gradients_has_none_of_their_options(
    run: Run, fitting: Path, photo: Path, options: str, named: str
) -> None:
    command = ("project", fitting, photo, "--out", "w.npz", *QUICK, "--method", "cma")
    code, _, err = run(*command, *options.split())
    assert (code, f"error: {named}: got one with CMA-ES, which has no gradients" in err) == (
        2,
        True,
    )
    assert not Path("w.npz").exists()
    code, _, err = run(*command, "--space", "w")
    assert code == 0, err


def test_a_face_is_projected(run: Run, fitting: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 9, 3), np.uint8)
    whole = Image.fromarray(pixels).resize((90, 80))
    whole.save("me.png")
    face = [[22, 25], [38, 26], [30, 33], [25, 41], [36, 41]]
    Path("points.json").write_text(json.dumps({"me.png": face}))
    Image.fromarray(align_face(np.asarray(whole), np.array(face), 256)).save("face.png")
    landmarks = ("--landmarks", "points.json")
    quick = ("--steps", "2", *QUICK[2:])
    assert run("project", fitting, "me.png", "--out", "w.npz", *landmarks, *quick)[0] == 0
    assert run("project", fitting, "face.png", "--out", "same.npz", *quick)[0] == 0
    with np.load("w.npz") as found, np.load("same.npz") as same:
        np.testing.assert_array_equal(found["w"], same["w"])
    for more, words in (
        (("--align", *landmarks), "--landmarks: got a file with --align"),
        (("--landmarks", "none.json"), "cannot read none.json"),
    ):
        code, _, err = run("project", fitting, "me.png", "--out", "no.npz", *more, *quick)
        assert (code, words in err) == (2, True), err
    assert not Path("no.npz").exists()


def test_ctrl_c_keeps_the_best_and_resume_goes_on(
    run: Run, fitting: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("project", fitting, photo, "--out", "whole.npz", *QUICK)[0] == 0
    real = Projector.take_step

    def interrupted(projector: Projector) -> Any:
        if projector.number == 5:
            raise KeyboardInterrupt
        return real(projector)

    with monkeypatch.context() as patch:
        patch.setattr(Projector, "take_step", interrupted)
        code, _, err = run("project", fitting, photo, "--out", "w.npz", *QUICK)
    assert code == 130
    assert "the best w of 5 steps are in w.npz, go on with --resume" in err
    assert run("generate", fitting, "--ws", "w.npz", "--out", "so-far")[0] == 0
    other = [*QUICK, "--spread", "0.2", "--resume"]
    code, _, err = run("project", fitting, photo, "--out", "w.npz", *other)
    assert (code, "settings are not those of before" in err) == (2, True)
    code, _, err = run("project", fitting, photo, "--out", "w.npz", *QUICK, "--resume")
    assert code == 0, err
    with np.load("w.npz") as found, np.load("whole.npz") as whole:
        assert found.files == ["w"]
        np.testing.assert_array_equal(found["w"], whole["w"])


def test_inpaint(run: Run, fitting: Path, photo: Path) -> None:
    mask = np.full((12, 20), 255, np.uint8)
    mask[:3, 4:7] = 0  # in the corner of what is cut out; it grows as the photo shrinks
    Image.fromarray(mask).save("mask.png")
    command = ("inpaint", fitting, photo, "mask.png", "--out", "filled.png", *QUICK)
    code, out, err = run(*command, "--variants", "2", "--ws", "w.npz")
    assert code == 0, err
    assert "Wrote filled-1.png" in out
    assert Path("filled-2.png").exists()
    with np.load("w.npz") as arrays:
        assert len(arrays["w"]) == 2
    Image.fromarray(mask[:4]).save("mask.png")
    code, _, err = run(*command)
    assert (code, "expected 20x12" in err) == (2, True)
    assert not Path("filled.png").exists()


def test_ctrl_c_keeps_what_a_hole_is_filled_with(
    run: Run, fitting: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.full((12, 20), 255, np.uint8)
    mask[:3, 4:7] = 0
    Image.fromarray(mask).save("mask.png")
    real = Projector.take_step

    def interrupted(projector: Projector) -> Any:
        if projector.number == ends[-1]:
            raise KeyboardInterrupt
        return real(projector)

    ends: list[int] = []
    monkeypatch.setattr(Projector, "take_step", interrupted)
    command = ("inpaint", fitting, photo, "mask.png", "--out", "filled.png", "--ws", "w.npz")
    for end, kept in ((0, False), (2, True)):
        ends.append(end)
        code, _, err = run(*command, *QUICK)
        assert (code, Path("filled.png").exists()) == (130, kept)
        assert ("what 2 steps have filled it with is in filled.png" in err) == kept
    with np.load("w.npz") as arrays:
        assert len(arrays["w"]) == 1


def test_what_is_refused(run: Run, fitting: Path, tiny_bundle: Path, photo: Path) -> None:
    Path("cut.png").write_bytes(photo.read_bytes()[:60])
    for arguments, words in (
        ([tiny_bundle, photo, "--out", "w.npz"], "has no gradient. Make it: stylert gradient"),
        ([fitting, photo, "--out", "w.npy"], "expected the name of a .npz file"),
        ([fitting, "none.png", "--out", "w.npz"], "none.png"),
        ([fitting, "cut.png", "--out", "w.npz"], "cut.png"),
        (
            [fitting, photo, "--out", "w.npz", "--resume"],
            "--resume: got one, expected w.npz to be there",
        ),
        ([fitting, photo, "--out", "w.npz", "--method", "luck"], "--method: got 'luck'"),
    ):
        code, out, err = run("project", *arguments)
        assert (code, out) == (2, "")
        (line,) = err.splitlines()
        assert words in line
        assert not Path("w.npz").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--rate 0.1", "--rate: got one with L-BFGS"),
        ("--rate 0.1 --optimizer lbfgs", "--rate: got one with L-BFGS"),
        ("--spread 0.1 --space w", "--spread: got one with --space w"),
    ],
)
def test_options_that_would_change_nothing(
    run: Run, fitting: Path, photo: Path, options: str, named: str
) -> None:
    code, _, err = run("project", fitting, photo, "--out", "w.npz", *QUICK, *options.split())
    assert (code, named in err) == (2, True), err
    assert not Path("w.npz").exists()

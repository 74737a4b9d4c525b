"""`mix` and `edit` of pictures, by the bundle's encoder, and of single channels."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylert import cli
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.export.encoders.bundling import add_encoder
from stylert.export.encoders.config import Encoder
from stylert.runtime.files.pictures import read_picture
from stylert.runtime.generator import Generator

Run = Callable[[str], tuple[int, str]]


@pytest.fixture(scope="module")
def whole(
    tiny: Checkpoint,
    make_encoder: Callable[[int, int], Encoder],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """8x8, with style space and an encoder of random weights. Read only."""
    out = tmp_path_factory.mktemp("whole") / "bundle"
    export_bundle(tiny, out, verify_seeds=0, half="none", style_space=True)
    add_encoder(out, make_encoder(tiny.config.num_ws, tiny.config.w_dim), verify=False)
    return out


@pytest.fixture
def run(
    whole: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs a command on the bundle B, in an empty folder; gives its exit code and what it said."""
    monkeypatch.chdir(tmp_path)
    for name, seed in (("photo.png", 1), ("style.jpg", 2)):
        pixels = np.random.RandomState(seed).randint(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(name)

    def command(line: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(whole) if word == "B" else word for word in shlex.split(line)])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return command


def test_a_photo_in_the_style_of_another(run: Run, whole: Path) -> None:
    code, said = run("mix B --rows photo.png --columns style.jpg --layers 2-3 --out mixed.png")
    assert code == 0, said
    with Generator.open(whole, provider="cpu") as generator:
        photo, style = (generator.invert(read_picture(name)) for name in ("photo.png", "style.jpg"))
        expected = generator.mix(photo, style, layers="2-3")[0, 0]
    assert np.array_equal(np.asarray(Image.open("mixed.png"))[8:, 8:], expected)


def test_channels_make_a_strip(run: Run, whole: Path) -> None:
    direction = "b8.conv0:1=3,b4.conv1:0"
    code, said = run(f"edit B --seed 3 --direction {direction} --strengths=-1:1:3 --out strip.png")
    assert code == 0, said
    with Generator.open(whole, provider="cpu") as generator:
        offset = generator.make_style_offset({"b8.conv0:1": 3, "b4.conv1:0": 1}, [-1, 0, 1])
        ws = np.repeat(generator.styles([3]), 3, axis=0)
        expected = np.concatenate([*generator.synthesize(ws, style_offset=offset)], axis=1)
    assert np.array_equal(np.asarray(Image.open("strip.png")), expected)


def test_the_layers_are_listed(run: Run) -> None:
    code, said = run("edit B --list-directions")
    assert code == 0
    assert "b8.conv0:0 to b8.conv0:5" in said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--direction b9.conv1:0", "--direction: got 'b9.conv1:0', expected LAYER:CHANNEL with a"),
        (
            "--direction b4.conv1:9999",
            "--direction: got 'b4.conv1:9999', expected b4.conv1:0 to b4",
        ),
        ("--direction sefa_coarse_0,pca:0", "got 'sefa_coarse_0,pca:0', expected one direction"),
        (
            "--direction b4.conv1:0,pca:1",
            "got 'b4.conv1:0,pca:1', expected one direction, or chann",
        ),
        ("--direction b4.conv1:0 --layers fine", "--layers: got 'fine' with channels"),
    ],
)
def test_what_is_refused(run: Run, line: str, words: str) -> None:
    code, said = run(f"edit B --seed 3 {line} --out strip.png")
    assert (code, words in said) == (2, True), said
    assert not Path("strip.png").exists()


def test_a_bundle_without(run: Run, bundle: Path) -> None:
    code, said = run(f"edit {bundle} --seed 3 --direction b4.conv1:0 --out strip.png")
    assert (code, "has no style space" in said) == (2, True), said
    code, said = run(f"mix {bundle} --rows photo.png --columns 1 --layers 1 --out mixed.png")
    assert (code, "has no encoder" in said) == (2, True), said

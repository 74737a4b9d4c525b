"""`generate`: styles of files, sheets of truncation, and arrays."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylert import cli
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import StyleGAN2Config
from stylert.export.checkpoints.untrained import make_untrained
from stylert.runtime.generator import Generator
from stylert.runtime.images import make_grid


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `generate` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(bundle: Path, arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["generate", str(bundle), "--provider", "cpu", *shlex.split(arguments)])
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return command


@pytest.fixture(scope="module")
def broad_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen channels, 8x8."""
    config = StyleGAN2Config(
        z_dim=8,
        c_dim=0,
        w_dim=8,
        mapping_layers=2,
        img_channels=13,
        const_shape=(4, 4),
        channels=(8, 8),
    )
    out = tmp_path_factory.mktemp("broad") / "bundle"
    export_bundle(make_untrained("broad", config=config), out, verify_seeds=1)
    return out


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def records(manifest: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in manifest.splitlines()]


# --- Styles of a file.


def save(path: str, ws: np.ndarray) -> str:
    """Write ws as the suffix says; gives the SHA-256 of the file."""
    if path.endswith(".pt"):
        torch.save({"latent": torch.from_numpy(ws)}, path)
    elif path.endswith(".npz"):
        np.savez(path, w=ws)
    elif path == "latents.npy":  # as ReStyle does
        np.save(path, {f"{i}.jpg": [0 * w, w] for i, w in enumerate(ws)})  # type: ignore[arg-type]
    else:
        np.save(path, ws)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["w.npy", "projected_w.npz", "latents.pt", "latents.npy"])
def test_styles_of_a_file(run: Run, bundle: Path, generator: Generator, name: str) -> None:
    ws = generator.styles([3, 4, 5])
    sha256 = save(name, ws)
    done = run(bundle, f"--ws {name} --out out")
    assert done.code == 0, done.err
    is_pickle = name.startswith("latents")
    assert (f"{name} is a pickle: its arrays were read" in done.err) is is_pickle
    expected = generator.synthesize(ws)
    told = records(Path("out/manifest.jsonl").read_bytes())
    assert [(line["file"], line["row"]) for line in told] == [
        (f"ws000{i}.png", i) for i in range(3)
    ]
    for line, image in zip(told, expected, strict=True):
        assert np.array_equal(pixels(f"out/{line['file']}"), image)
        assert (line["ws_file"], line["ws_sha256"]) == (name, sha256)
        assert not {"seed", "truncation_psi", "truncation_cutoff", "class_idx"} & {*line}
    settings = json.loads(Path("out/job.json").read_text())["settings"]
    assert settings["ws"] == {"name": name, "sha256": sha256}
    assert "is complete: 3 images" in run(bundle, f"--ws {name} --out out").out


def test_styles_in_other_containers(run: Run, bundle: Path, generator: Generator) -> None:
    ws = generator.styles(range(5))
    save("w.npy", ws)
    expected = generator.synthesize(ws)
    assert run(bundle, "--ws w.npy --out set.zip").code == 0
    with zipfile.ZipFile("set.zip") as archive:
        names = [f"ws000{i}.png" for i in range(5)]
        assert archive.namelist() == ["job.json", *names, "manifest.jsonl"]
        assert np.array_equal(pixels(io.BytesIO(archive.read("ws0004.png"))), expected[4])  # type: ignore[arg-type]
    assert run(bundle, "--ws w.npy --out shards --shard-size 2 --format webp").code == 0
    with tarfile.open("shards/shard-000002.tar") as shard:
        assert shard.getnames() == ["000000004.webp", "000000004.json"]
    assert run(bundle, "--ws w.npy --grid 3x2 --out grid.png").code == 0
    assert np.array_equal(pixels("grid.png"), make_grid(expected, 3, 2))
    np.save("one.npy", ws[2, 0])
    assert run(bundle, "--ws one.npy --out one.png").code == 0
    assert np.array_equal(pixels("one.png"), generator.synthesize(ws[2:3])[0])


def test_other_styles_are_another_job(run: Run, bundle: Path, generator: Generator) -> None:
    save("w.npy", generator.styles([1, 2]))
    assert run(bundle, "--ws w.npy --out out").code == 0
    assert run(bundle, "--seeds 0-1 --out beside").code == 0
    save("w.npy", generator.styles([2, 1]))
    done = run(bundle, "--ws w.npy --out out")
    assert done.code == 2
    assert "out holds another job: ws " in done.err
    Path("out/seed0000.png").write_bytes(b"another's")
    assert run(bundle, "--ws w.npy --out out --force").code == 0
    assert sorted(os.listdir("out")) == [
        *("job.json", "manifest.jsonl", "seed0000.png", "ws0000.png", "ws0001.png"),
    ]


def test_noise_of_styles_is_by_row(run: Run, bundle: Path, generator: Generator) -> None:
    ws = generator.styles([7, 8])
    save("w.npy", ws)
    assert run(bundle, "--ws w.npy --noise seeded --out out").code == 0
    expected = generator.synthesize(ws, noise_mode="seeded", noise_seed=[0, 1])
    assert np.array_equal(pixels("out/ws0001.png"), expected[1])
    told = records(Path("out/manifest.jsonl").read_bytes())
    assert [line["noise_seed"] for line in told] == [0, 1]


def test_styles_of_a_conditional_network_have_no_class(
    run: Run, conditional_bundle: Path, conditional: Generator
) -> None:
    ws = conditional.styles([7, 8], class_idx=2)
    save("w.npy", ws)
    done = run(conditional_bundle, "--ws w.npy --out out")
    assert (done.code, done.err) == (0, "")
    assert np.array_equal(pixels("out/ws0001.png"), conditional.synthesize(ws)[1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--ws w.npy --seeds 1 --out o", "pass --seeds LIST or --ws FILE, one of them"),
        ("--ws w.npy --truncation-psi 0.5 --out o", "--truncation-psi: got one for ws of a file"),
        ("--ws w.npy --truncation-psi 0,1 --out o.png", "--truncation-psi: got one for ws of a f"),
        ("--ws w.npy --class 1 --out o", "--class: got one for ws of a file, expected seeds"),
        ("--ws w.npy --out o.png", "o.png is one file for 2 images. Pass a folder, or --grid auto"),
        ("--ws missing.npy --out o", "Cannot read 'missing.npy': No such file"),
        ("--ws small.npy --out o", "small.npy: got shape (1, 3, 4), expected "),
        ("--ws photo.png --out o", "photo.png: it is a picture, expected its styles"),
    ],
)
def test_styles_are_refused(
    run: Run, bundle: Path, generator: Generator, options: str, words: str
) -> None:
    save("w.npy", generator.styles([1, 2]))
    save("small.npy", np.zeros((1, 3, 4), np.float32))
    Image.new("RGB", (4, 4)).save("photo.png")
    before = sorted(os.listdir())
    done = run(bundle, options)
    assert done.code == 2
    assert words in done.err
    assert sorted(os.listdir()) == before


@pytest.mark.usefixtures("warm_python")
def test_pickles_of_styles_need_no_torch(
    bundle: Path, generator: Generator, tmp_path: Path
) -> None:
    torch.save(torch.from_numpy(generator.styles([1])), tmp_path / "w.pt")
    blocked = "import sys; sys.modules.update(torch=None, onnx=None, safetensors=None)"
    program = f"{blocked}; from stylert import cli; cli.main()"
    line = ["generate", str(bundle), "--ws", "w.pt", "--out", "one.png"]
    subprocess.run([sys.executable, "-c", program, *line], cwd=tmp_path, check=True)
    assert np.array_equal(pixels(tmp_path / "one.png"), generator.generate([1])[0])


# --- Sheets of truncation.


def test_a_sheet_of_truncation(run: Run, bundle: Path, generator: Generator) -> None:
    assert run(bundle, "--seeds 4,2 --truncation-psi=-1,0,0.5 --batch 1 --out sheet.png").code == 0
    tiles = [generator.generate([s], truncation_psi=p)[0] for s in (4, 2) for p in (-1, 0, 0.5)]
    assert np.array_equal(pixels("sheet.png"), make_grid(np.stack(tiles), 3, 2))


def test_a_sheet_of_classes_and_noise(
    run: Run, conditional_bundle: Path, conditional: Generator
) -> None:
    options = "--seeds 4,2 --class 3,1 --noise seeded --truncation-psi 0,1 --truncation-cutoff 2"
    assert run(conditional_bundle, f"{options} --out sheet.png").code == 0
    how: dict[str, Any] = {"class_idx": [3, 1], "noise_mode": "seeded", "truncation_cutoff": 2}
    columns = [conditional.generate([4, 2], truncation_psi=psi, **how) for psi in (0, 1)]
    tiles = np.stack(columns, axis=1).reshape(4, 32, 32, 3)
    assert np.array_equal(pixels("sheet.png"), make_grid(tiles, 2, 2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            "--truncation-psi 0,0.5,1 --out o",
            "got 3 values for the folder o, expected one. Several make one picture: --out x.png",
        ),
        ("--truncation-psi 0,1 --out o.zip", "--truncation-psi: got 2 values for the folder o.zip"),
        ("--truncation-psi 0,1 --grid 2x2 --out o.png", "--grid: got one for several --truncation"),
        ("--truncation-psi 0,x --out o.png", "'--truncation-psi': got '0,x', expected numbers"),
        ("--truncation-psi 0,1 --seeds 0-50000 --out o.png", "expected up to 100000"),
        ("--truncation-psi 0,nan --out o.png", "truncation_psi: got "),
    ],
)
def test_sheets_are_refused(run: Run, bundle: Path, options: str, words: str) -> None:
    done = run(bundle, options)
    assert done.code == 2
    assert words.replace("truncation_psi:", "--truncation-psi:") in done.err
    assert not os.listdir()


# --- Arrays.


def test_more_than_four_channels(run: Run, broad_bundle: Path) -> None:
    with Generator.open(broad_bundle, provider="cpu") as generator:
        expected = generator.generate([1, 2])
        floats = generator.generate([1, 2], output="img").transpose(0, 2, 3, 1)
    assert expected.shape == (2, 8, 8, 13)
    assert run(broad_bundle, "--seeds 1-2 --format npy --out out").code == 0
    assert np.array_equal(np.load("out/seed0002.npy"), expected[1])
    (_, line) = records(Path("out/manifest.jsonl").read_bytes())
    assert (line["file"], line["width"], line["height"]) == ("seed0002.npy", 8, 8)
    assert run(broad_bundle, "--seeds 2 --out one.npy").code == 0
    assert Path("one.npy").read_bytes() == Path("out/seed0002.npy").read_bytes()
    assert run(broad_bundle, "--seeds 1-2 --format npy --dtype float32 --out set.zip").code == 0
    with zipfile.ZipFile("set.zip") as archive:
        found = np.load(io.BytesIO(archive.read("seed0001.npy")))
        assert found.dtype == np.float32
        assert np.array_equal(found, floats[0])
        assert json.loads(archive.read("job.json"))["settings"]["dtype"] == "float32"
    assert run(broad_bundle, "--seeds 1-2 --dtype float32 --grid 2x1 --out grid.npy").code == 0
    assert np.array_equal(np.load("grid.npy"), np.concatenate(floats, axis=1))


def test_tiff(run: Run, bundle: Path, generator: Generator) -> None:
    assert run(bundle, "--seeds 3 --format tiff --out out").code == 0
    assert run(bundle, "--seeds 3 --out one.tif").code == 0
    for path in ("out/seed0003.tiff", "one.tif"):
        assert np.array_equal(pixels(path), generator.generate([3])[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--out o", "--format: got png for images of 13 channels, expected npy"),
        ("--format tiff --out o", "--format: got tiff for images of 13 channels, expected npy"),
        ("--seeds 1 --out o.png", "o.png: got pictures of 13 channels, which no .png file holds"),
        ("--seeds 1 --out o.tiff", "expected .npy"),
        ("--dtype float32 --out o", "--dtype: got float32 for png, expected --format npy"),
        ("--dtype float32 --out o.png", "--dtype: got one for o.png, expected a .npy file"),
        ("--format npy --dtype half --out o", "--dtype: got 'half', expected "),
        ("--format npy --quality 9 --out o", "--quality: got one for NPY, which loses nothing"),
        ("--format npy --compression 9 --out o", "--compression: got one for npy, expected PNG."),
        ("--seeds 1 --quality 9 --out o.npy", "--quality: got one for o.npy, expected a .jpg"),
    ],
)
def test_what_does_not_hold_them(run: Run, broad_bundle: Path, options: str, words: str) -> None:
    done = run(broad_bundle, options)
    assert done.code == 2
    assert words in done.err
    assert not os.listdir()


def test_many_pictures_are_drawn_by_workers(run: Run, tiny_bundle: Path) -> None:
    options = "--seeds 0-7 --batch 4 --threads 2"
    told = run(tiny_bundle, f"{options} --out many").out
    assert told.startswith("2 workers, each onnxruntime on cpu, fp32, 1 thread")
    drawn = json.loads(Path("many/job.json").read_text())["drawn_with"]
    assert (drawn["threads"], drawn["batch"]) == (1, 2)
    assert "none were missing" in run(tiny_bundle, f"{options} --out many").out

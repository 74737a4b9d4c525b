"""The command line: what it writes and prints, one line for what is wrong, and its exit codes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from rich.console import Console

import stylert
from stylert import cli
from stylert.commands import console
from stylert.runtime.bundle import sealed
from stylert.runtime.images import make_grid
from stylert.runtime.proof import parity
from stylert.runtime.proof.parity import TOLERANCES, Tolerance

GOLDENS = Path(__file__).parent / "goldens"
CHECKPOINT = GOLDENS / "sg2-skip-32.pkl"
HOSTILE = json.loads((GOLDENS / "hostile" / "manifest.json").read_text())["files"]
QUICK_BENCH = ("--batch", "1", "--rounds", "1", "--threads", "1")
COMMANDS = sorted(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on stderr, notes and warnings aside."""
        lines = [line for line in self.err.splitlines() if not line.startswith(("note:", "warn"))]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        assert not self.out
        return lines[0].removeprefix("error: ")


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str | Path) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return command


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


# --- Every command.


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_to_copy(run: Callable[..., Done], command: str) -> None:
    done = run(command, "--help")
    assert done.code == 0
    words = " ".join(done.out.split())
    assert f"Example: stylert {command}" in words


def test_the_commands_are_the_designs() -> None:
    names = (
        "bench blend build-engine convert demo doctor edit encoder evaluate export features "
        "generate gradient info inpaint invert mix one-file project quantize ray search serve "
        "triton tune verify video web"
    )
    assert names.split() == COMMANDS


@pytest.mark.parametrize(
    ("arguments", "message", "helper"),
    [
        ("nothing", "No such command 'nothing'.", "stylert"),
        ("export", "Missing argument 'CHECKPOINT'.", "stylert export"),
        ("export x.pkl", "pass --out BUNDLE, --one-file OUT.onnx, or both", "stylert export"),
        ("export x.pkl --out", "Option '--out' requires an argument.", "stylert"),
        ("export x --out b --verify-seeds 0", "value for '--verify-seeds': ", "stylert export"),
        ("generate b --out i --batch x", "'--batch': ", "stylert generate"),
        (
            "generate b --out i --truncation-psi x",
            "'--truncation-psi': got 'x'",
            "stylert generate",
        ),
        ("generate b --out i --seeds x", "'--seeds': got 'x'", "stylert generate"),
        ("info x --wrong", "No such option", "stylert info"),
        ("generate b --out i --seeds 1 --seeds=2", "--seeds is given twice: ", "stylert generate"),
        ("mix b --rows 1 --out x.png --rows=2", "--rows is given twice: ", "stylert mix"),
        ("edit b --seed 1 --seeds 2", "--seed/--seeds is given twice: ", "stylert edit"),
        ("serve b --port 1 --host x --port 2", "--port is given twice: ", "stylert serve"),
        ("export x --out b --verify --no-verify", "--verify/--no-verify is", "stylert export"),
        (
            "generate --outdir=o --trunc=1 --seeds=1-2 --network=https://x.y/z//ffhq.pkl",
            "--trunc is --truncation-psi here; --network is the argument BUNDLE here: download htt",
            "stylert generate",
        ),
        (
            "mix b --rows=1 --cols=2 --styles=0-6 --outdir o",
            "--cols is --columns here; --styles is --layers here; --outdir is --out here.",
            "stylert mix",
        ),
        ("export --network=x.pkl --out b", "pass x.pkl without it.", "stylert export"),
        ("generate x.pkl --out o", "x.pkl is no bundle: export it first: ", "stylert generate"),
        ("bench https://x.y//z.pt", "download https://x.y//z.pt first", "stylert bench"),
        ("doctor --network x.pkl", "No such option: --network", "stylert doctor"),
        ("edit b --trunc-psi 1", "No such option: --trunc-psi", "stylert edit"),
        ("doctor --json --json", "--json is given twice: pass it once.", "stylert doctor"),
    ],
)
def test_wrong_usage(run: Callable[..., Done], arguments: str, message: str, helper: str) -> None:
    done = run(*shlex.split(arguments))
    assert done.code == 2
    assert message in done.error
    assert done.error.endswith(f"(see '{helper} --help')")


def test_no_command_shows_the_help(run: Callable[..., Done]) -> None:
    done = run()
    assert done.code == 2
    assert "Usage: stylert" in done.out
    assert not done.err


@pytest.mark.parametrize("missing", ["typer", "stylert", "numpy"])
def test_a_clone_of_which_nothing_is_installed(missing: str, tmp_path: Path) -> None:
    """`python3 cli.py` says what to install, and not that a module is missing."""
    hidden = (
        f"import sys, runpy; sys.modules[{missing!r}] = None; sys.argv = ['cli.py', '--help']; "
    )
    clone = Path(__file__).resolve().parents[1]
    run_it = f"runpy.run_path({str(clone / 'cli.py')!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", hidden + run_it], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    said = f"error: {missing} is not installed. Run: pip install '{clone}[cpu]'\n"
    assert done.stderr == said


def test_version(run: Callable[..., Done]) -> None:
    assert run("--version") == Done(0, f"stylert {stylert.__version__}\n", "")


# --- export


def test_export(run: Callable[..., Done], tmp_path: Path) -> None:
    done = run("export", CHECKPOINT, "--out", "new/bundle", "--verify-seeds", "1")
    assert (done.code, done.err) == (0, "")
    assert "Against PyTorch" in done.out
    assert "FAILED" not in done.out
    assert "Draw with: stylert generate new/bundle" in done.out
    assert os.listdir(tmp_path / "new") == ["bundle"]
    with stylert.open("new/bundle") as generator:
        assert generator.bundle.manifest["parity"]["passed"]


def test_export_for_machines(run: Callable[..., Done]) -> None:
    done = run("export", CHECKPOINT, "--out", "b", "--verify-seeds", "1", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["files"] == ["b"]
    assert found["parity"]["passed"] is True
    assert {row["noise_mode"] for row in found["parity"]["rows"]} == {
        *("-", "const", "none", "seeded")
    }


def test_export_replaces_with_force_alone(run: Callable[..., Done], bundle_copy: Path) -> None:
    before = contents(bundle_copy)
    again = ("export", GOLDENS / "sg2-cond-32.pkl", "--out", bundle_copy, "--no-verify")
    done = run(*again)
    assert done.code == 2
    assert (
        done.error == f"{bundle_copy} exists. Pass --force to replace it, or choose another name."
    )
    assert contents(bundle_copy) == before
    done = run(*again, "--force")
    assert done.code == 0
    assert done.err == "warning: not compared with PyTorch (--no-verify)\n"
    with stylert.open(bundle_copy) as generator:
        assert generator.spec.c_dim == 5
    assert os.listdir() == [bundle_copy.name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sg2-cond-32", "5, one for each."), ("sg2-skip-32", "none: it has no classes.")],
)
def test_export_with_other_numbers_of_classes(
    run: Callable[..., Done], name: str, expected: str
) -> None:
    done = run("export", GOLDENS / f"{name}.pkl", "--classes", "a,b", "--out", "bundle")
    assert done.code == 2
    assert done.error == f"--classes: got 2 names of classes, expected {expected}"
    assert not Path("bundle").exists()


@pytest.mark.parametrize("option", ["--force", "--no-force"])
def test_export_that_fails_its_check_publishes_nothing(
    run: Callable[..., Done],
    bundle_copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    before = contents(bundle_copy)
    monkeypatch.setitem(TOLERANCES, "fp32", Tolerance(rms=1e-30))
    monkeypatch.setattr(parity, "RMS_FACTOR", 1e-9)  # of the second gate
    target = [bundle_copy, "--force"] if option == "--force" else ["new"]
    done = run("export", CHECKPOINT, "--verify-seeds", "1", "--out", *target)
    assert done.code == 1
    assert not done.out
    assert "FAILED" in done.err  # the table
    assert done.err.splitlines()[-1].startswith("error: Parity failed in ")
    assert contents(bundle_copy) == before
    assert os.listdir() == [bundle_copy.name]


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ("nothing.pkl", "Cannot read 'nothing.pkl': No such file or directory."),
        (".", "Cannot read '.': it is a folder, expected a file."),
        ("untrained:stylegan9-256", "stylegan9-256"),
    ],
)
def test_export_of_nothing(run: Callable[..., Done], checkpoint: str, message: str) -> None:
    done = run("export", checkpoint, "--out", "bundle")
    assert done.code == 1
    assert message in done.error
    assert not os.listdir()


def test_export_of_another_network(run: Callable[..., Done], bundle: Path) -> None:
    done = run("export", CHECKPOINT, "--network", "G", "--out", "b", "--no-verify")
    assert done.code == 0
    with stylert.open("b") as generator, stylert.open(bundle) as average:
        assert not np.array_equal(generator.generate([1]), average.generate([1]))
    done = run("export", CHECKPOINT, "--network", "H", "--out", "c")
    assert done.code == 1
    assert "no network 'H'" in done.error


@pytest.mark.usefixtures("warm_python")
def test_what_a_state_dict_does_not_tell(run: Callable[..., Done]) -> None:
    file = GOLDENS / "field" / "ada-statedict.pt"
    done = run("info", file)
    assert done.err == ""  # the table has the notes
    assert "a state dict does not tell these, which are taken to be: clamp 256" in done.out
    said = ["--conv-clamp", "none", "--mapping-lr", "0.02", "--activation", "relu"]
    done = run("export", file, "--out", "b", "--no-verify", *said, "--num-fp16-res", "1")
    assert (done.code, "no clamp, learning rate 0.02" in done.err) == (0, True)
    config = json.loads(Path("b/manifest.json").read_text())["config"]
    assert (config["conv_clamp"], config["activation"], config["num_fp16_res"]) == (None, "relu", 1)
    assert run("verify", "b", "--checkpoint", file, "--seeds", "1", *said).code == 1  # other blocks
    again = run("verify", "b", "--checkpoint", file, "--seeds", "1", *said, "--num-fp16-res", "1")
    assert again.code == 0, again.err
    bench = ["--backends", "torch-eager", *QUICK_BENCH]
    done = run("bench", "b", "--checkpoint", file, *said, "--num-fp16-res", "1", *bench)
    assert done.code == 0, done.err
    assert run("convert", file, "c.safetensors", *said).code == 0
    assert (
        "--conv-clamp: got -1.0, expected a number above 0"
        in run("info", file, "--conv-clamp", "-1").error
    )
    assert run("info", file, "--conv-clamp", "x").code == 2
    assert "--colors" in run("info", file, "--colors", "bgr").error
    assert "--conv-clamp: it goes with --checkpoint" in run("verify", "b", *said[:2]).error
    assert "--conv-clamp: a bundle is exported already" in run("info", "b", *said[:2]).error


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_export_of_a_hostile_file(run: Callable[..., Done], name: str) -> None:
    done = run("export", GOLDENS / "hostile" / name, "--out", "bundle", "--no-verify")
    assert [path for path in os.listdir() if path != "bundle"] == []  # no PWNED, nothing partial
    if HOSTILE[name]["expect"] == "reject" or done.code:
        assert done.code == 1
        assert name in done.error
        assert not os.listdir()
    else:
        with stylert.open("bundle") as generator:
            assert generator.generate([1]).any()


# --- convert


def test_convert(run: Callable[..., Done], tmp_path: Path, bundle: Path) -> None:
    done = run("convert", CHECKPOINT, "network.safetensors")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Wrote network.safetensors (")
    assert run("export", "network.safetensors", "--out", "b", "--no-verify").code == 0
    with stylert.open("b") as generator, stylert.open(bundle) as expected:
        assert np.array_equal(generator.generate([1]), expected.generate([1]))


def test_convert_makes_missing_folders(run: Callable[..., Done]) -> None:
    assert run("convert", CHECKPOINT, "a/b/network.safetensors").code == 0
    assert os.listdir("a/b") == ["network.safetensors"]


def test_convert_replaces_with_force_alone(run: Callable[..., Done], tmp_path: Path) -> None:
    target = tmp_path / "network.safetensors"
    target.write_text("old")
    done = run("convert", CHECKPOINT, target)
    assert done.code == 2
    assert done.error == f"{target} exists. Pass --force to replace it, or choose another name."
    assert target.read_text() == "old"
    assert run("convert", CHECKPOINT, target, "--force").code == 0
    assert target.stat().st_size > 100_000
    assert os.listdir() == [target.name]


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("network.pkl", 2, "the file's name must end in .safetensors"),
        (f"{CHECKPOINT}/network.safetensors", 1, "Not a directory"),
    ],
)
def test_convert_to_nowhere(run: Callable[..., Done], target: str, code: int, message: str) -> None:
    done = run("convert", CHECKPOINT, target)
    assert done.code == code
    assert message in done.error
    assert not os.listdir()


def test_convert_makes_latents_that_the_runtime_opens(
    run: Callable[..., Done], bundle: Path, refuses: Any
) -> None:
    with stylert.open(bundle) as generator:
        ws = generator.styles([1, 2])
        torch.save({"latents": torch.from_numpy(ws)}, "latents.pt")
        with refuses("Convert it: stylert convert latents.pt latents.npy"):
            generator.load_ws("latents.pt")
        done = run("convert", "latents.pt", "latents.npy")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("Wrote latents.npy (")
        assert np.array_equal(generator.load_ws("latents.npy"), ws)
    assert run("convert", "latents.pt", "latents.npy").code == 2  # it is there
    assert run("convert", "latents.pt", "a/b/latents.npy", "--network", "G").code == 2
    done = run("convert", CHECKPOINT, "other.npy")
    assert done.code == 1
    assert "Cannot read " in done.error
    assert sorted(os.listdir()) == ["latents.npy", "latents.pt"]


# --- verify


def test_verify(run: Callable[..., Done], bundle: Path) -> None:
    done = run("verify", bundle)
    assert (done.code, done.err) == (0, "")
    assert "the files are as they were exported" in done.out
    assert "Compared with PyTorch at export" in done.out
    done = run("verify", bundle, "--checkpoint", CHECKPOINT, "--seeds", "1", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["parity"]["passed"] is True
    done = run("verify", bundle, "--json")
    assert json.loads(done.out)["parity_at_export"]["passed"] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--backend tensorrt", "--backend: got 'tensorrt', expected 'onnxruntime' or 'openvino'."),
        ("--backend auto", "To prove an engine: verify BUNDLE --engine"),
        ("--precision int8", "--precision: got 'int8', expected one of ('fp32', 'fp16')"),
        ("--device gpu", "expected --backend openvino or --provider webgpu"),
        ("--engine --provider cuda", "--provider: got one without a checkpoint"),
        ("--layers --backend openvino", "--backend: got one without a checkpoint"),
    ],
)
def test_verify_by_what_cannot_be_proven(
    run: Callable[..., Done], bundle: Path, options: str, words: str
) -> None:
    done = run("verify", bundle, *options.split())
    assert (done.code, done.out) == (2, "")
    assert words in done.error


def test_verify_by_another_backend(run: Callable[..., Done], bundle: Path) -> None:
    said = ("--backend", "openvino", "--precision", "fp32", "--threads", "1")
    done = run("verify", bundle, *said)
    assert (done.code, done.err) == (0, "")
    assert "on cpu, fp32, 1 thread: as asked." in done.out
    assert "openvino " in done.out


def test_verify_says_what_was_not_compared(run: Callable[..., Done], goldens: Path) -> None:
    done = run("export", goldens / "sg2-gray-64.pkl", "--out", "bundle", "--no-verify")
    assert done.code == 0
    assert "warning: not compared with PyTorch" in done.err
    done = run("verify", "bundle")
    assert done.code == 0
    assert "It was not compared with PyTorch at export." in done.out


@pytest.mark.parametrize("name", ["mapping.onnx", "synthesis.onnx", "noise.npz"])
def test_verify_finds_a_flipped_bit(run: Callable[..., Done], bundle_copy: Path, name: str) -> None:
    data = bytearray((bundle_copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle_copy / name).write_bytes(data)
    for command in (("verify", bundle_copy), ("generate", bundle_copy, "--out", "images")):
        done = run(*command)
        assert done.code == 1
        assert f"{name} was changed" in done.error
    assert os.listdir() == [bundle_copy.name]


def test_verify_with_a_checkpoint_of_another_architecture(
    run: Callable[..., Done], bundle: Path
) -> None:
    done = run("verify", bundle, "--checkpoint", GOLDENS / "sg2-cond-32.pkl")
    assert done.code == 1
    assert "it is the bundle of another checkpoint" in done.error


@pytest.mark.parametrize("option", ["--json", "--no-json"])
def test_verify_with_other_weights(run: Callable[..., Done], bundle: Path, option: str) -> None:
    other = ["--checkpoint", CHECKPOINT, "--network", "G", "--seeds", "1"]
    done = run("verify", bundle, *other, *(["--json"] if option == "--json" else []))
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("error: Parity failed in ")
    if option == "--json":
        assert json.loads(done.out)["parity"]["passed"] is False
    else:
        assert not done.out


def test_verify_layer_by_layer(
    run: Callable[..., Done], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("verify", bundle, "--checkpoint", CHECKPOINT, "--seeds", "1", "--layers")
    assert (done.code, done.err) == (0, "")
    assert "b32.conv1" in done.out
    assert "\nfp32: no layer drifts.\nfp16: no layer drifts.\n" in done.out
    done = run("verify", bundle, "--layers", "--json")
    assert json.loads(done.out)["layers"]["first_drift"] == {"fp16": None}
    other = ("--checkpoint", CHECKPOINT, "--network", "G", "--seeds", "1", "--layers")
    done = run("verify", bundle, *other)
    assert done.code == 1
    assert "fp32: the first layer that drifts is fc0 (" in done.out
    assert done.err.splitlines()[-1].startswith("error: Parity failed in ")
    done = run("verify", bundle, *other, "--json")
    assert json.loads(done.out)["layers"]["first_drift"]["fp32"] == "fc0"
    monkeypatch.setattr(
        "stylert.runtime.packages.find_spec", lambda name: name != "polygraphy" or None
    )
    done = run("verify", bundle, "--layers")
    assert done.code == 1
    assert "polygraphy: not installed. Install: pip install" in done.error
    assert "[rtx]'" in done.error


@pytest.mark.parametrize(
    ("key", "value"),
    [("parity", {}), ("parity", {"rows": []}), ("parity", 7), ("statistics", None), ("config", {})],
)
def test_a_manifest_that_tells_nonsense(
    run: Callable[..., Done], bundle_copy: Path, key: str, value: Any
) -> None:
    manifest = json.loads((bundle_copy / "manifest.json").read_bytes())
    (bundle_copy / "manifest.json").write_text(json.dumps(sealed(manifest | {key: value})))
    reader = {"parity": "verify", "statistics": "bench", "config": "info"}[key]
    if key == "parity" and not value:
        assert "not compared" in run(reader, bundle_copy).out
        return
    done = run(reader, bundle_copy)
    assert done.code == 1
    assert "manifest.json is damaged (" in done.error


# --- generate


def test_generate_writes_a_file_for_each_seed(run: Callable[..., Done], bundle: Path) -> None:
    done = run("generate", bundle, "--seeds", "3-4, 12345", "--out", "new/images", "--batch", "2")
    assert (done.code, done.err) == (0, "")
    assert "Wrote 3 images to new/images." in done.out
    assert "onnxruntime on cpu" in done.out
    names = ["seed0003.png", "seed0004.png", "seed12345.png"]
    assert sorted(os.listdir("new/images")) == ["job.json", "manifest.jsonl", *names]
    with stylert.open(bundle) as generator:
        images = generator.generate([3, 4, 12345])
    for image, name in zip(images, names, strict=True):
        assert np.array_equal(pixels(f"new/images/{name}"), image)
    lines = Path("new/images/manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"] for line in lines] == names


def test_generate_passes_its_options_on(run: Callable[..., Done], conditional_bundle: Path) -> None:
    options = "--truncation-psi 0.6 --truncation-cutoff 3 --labels 0.5,0,0,0,0.5 --noise seeded"
    command = ("generate", conditional_bundle, "--seeds", "7", *options.split(), "--out")
    done = run(*command, "images", "--noise-seed", "9", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["files"] == [str(Path("images", "seed0007.png"))]
    assert found["backend"].startswith("onnxruntime on ")
    with stylert.open(conditional_bundle) as generator:
        expected = generator.generate(
            7,
            truncation_psi=0.6,
            truncation_cutoff=3,
            labels=[0.5, 0, 0, 0, 0.5],
            noise_mode="seeded",
            noise_seed=9,
        )
        assert np.array_equal(pixels(found["files"][0]), expected[0])
        assert run("generate", conditional_bundle, "--class", "4", "--out", "c").code == 0
        expected = generator.generate(0, class_idx=4)
    assert np.array_equal(pixels("c/seed0000.png"), expected[0])


def test_generate_truncates_by_layers(
    run: Callable[..., Done], bundle: Path, tmp_path: Path
) -> None:
    command = ("generate", bundle, "--seeds", "3-4", "--truncation-psi", "coarse=0.5,3-4=0.8")
    for target in ("images", "set.zip", "grid.png"):
        grid = ["--grid", "2x1"] if target == "grid.png" else []
        done = run(*command, "--out", target, *grid)
        assert (done.code, done.err) == (0, "")
    with stylert.open(bundle) as generator:
        expected = generator.generate([3, 4], truncation_psi={"coarse": 0.5, "3-4": 0.8})
        assert not np.array_equal(expected, generator.generate([3, 4], truncation_psi=1))
    assert np.array_equal(pixels("images/seed0004.png"), expected[1])
    assert np.array_equal(pixels("grid.png"), np.concatenate(list(expected), axis=1))
    with (
        zipfile.ZipFile("set.zip") as archive,
        archive.open("seed0003.png") as file,
        Image.open(file) as image,
    ):
        assert np.array_equal(np.asarray(image), expected[0])
    assert "is complete" in run(*command, "--out", "images").out
    done = run("generate", bundle, "--out", "other", "--truncation-psi", "nose=1")
    assert (done.code, "layers: got 'nose'" in done.error) == (2, True)
    assert not Path("other").exists()


def test_generate_moves_pictures(
    run: Callable[..., Done], bundle_of: Callable[[str], Path]
) -> None:
    bundle = bundle_of("sg3-r-64")
    command = ("generate", bundle, "--seeds", "1-2", "--out")
    done = run(*command, "moved", "--translate", "-0.25,0.5", "--rotate", "-90")
    assert (done.code, done.err) == (0, "")
    with stylert.open(bundle) as generator:
        expected = generator.generate([1, 2], translate=(-0.25, 0.5), rotate=-90)
    for seed, image in zip((1, 2), expected, strict=True):
        assert np.array_equal(pixels(f"moved/seed000{seed}.png"), image)
    assert run(*command, "still").code == 0
    still = pixels("still/seed0001.png").astype(int)
    clockwise = np.rot90(still, -1)[:32, 16:]  # half a picture down, and a quarter to the left
    assert np.abs(pixels("moved/seed0001.png")[32:, :48] - clockwise).max() <= 1
    done = run(*command, "far", "--translate", "1,2,3")
    assert done.code == 2
    assert "--translate: got shape (3,), expected (2,) or (2, 2)" in done.error


@pytest.mark.parametrize(
    ("grid", "size"),
    [("3x2", (96, 64)), ("auto", (96, 64)), ("5x1", (160, 32)), ("4x4", (128, 128))],
)
def test_generate_a_grid(
    run: Callable[..., Done], bundle: Path, grid: str, size: tuple[int, int]
) -> None:
    target = Path("new", "grid.png")
    done = run(
        "generate", bundle, "--seeds", "1-5", "--grid", grid, "--out", target, "--batch", "2"
    )
    assert (done.code, done.err) == (0, "")
    assert f"Wrote {target}." in done.out
    picture = pixels(target)
    assert picture.shape[1::-1] == size
    with stylert.open(bundle) as generator:
        expected = make_grid(generator.generate(range(1, 6)), size[0] // 32, size[1] // 32)
    assert np.array_equal(picture, expected)


def test_generate_replaces_with_force_alone(run: Callable[..., Done], bundle: Path) -> None:
    Path("images").mkdir()
    Path("images/seed0001.png").write_text("old")
    command = ("generate", bundle, "--seeds", "0-1", "--out", "images")
    done = run(*command)
    assert done.code == 2
    assert "seed0001.png exists. Pass --force to replace it" in done.error
    assert contents(Path("images")) == {"seed0001.png": b"old"}
    assert run(*command, "--force").code == 0
    assert pixels("images/seed0001.png").shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            (f"--seeds '{seeds}'", "'--seeds': got ")
            for seeds in ("a", "1,", "1-", "-1", "5-3", "1-2-3", "4294967296", "1.5", "1;2")
        ),
        ("--seeds 0-99999999 --grid auto --out g.png", "--grid: got 100000000 images, expected up"),
        ("--class 0", "--class: got 0, expected none: this generator is unconditional"),
        ("--labels 1,0", "--labels: got "),
        ("--labels a,b", "'--labels': got 'a,b', expected numbers such as 0.5,0.5"),
        ("--truncation-psi nan", "--truncation-psi: got NaN"),
        ("--truncation-cutoff 9", "--truncation-cutoff: got 9, expected an integer of 0 to 8"),
        ("--noise random", "--noise: got 'random', expected "),
        ("--noise-seed 3", "--noise-seed: got one with --noise 'const', expected 'seeded'"),
        ("--noise seeded --noise-seed -3", "--noise-seed: got -3, expected 0 to 4294967295"),
        ("--seeds 0-3 --grid 3x1", "--grid: got '3x1', expected COLSxROWS for 4 images, or auto"),
        (
            "--grid 99999x99999 --out g.png",
            "'--grid': got '99999x99999', expected up to 100000 cells",
        ),
        (f"--grid 1x{'1' * 5000} --out g.png", "'--grid': got '1x111111"),
        ("--truncation-psi coarse=x", "'--truncation-psi': got 'coarse=x', expected a number, or"),
        *((f"--grid {grid}", "'--grid': got ") for grid in ("0x0", "4", "x", "ax4", "-4x-4")),
        ("--grid auto", "cannot write '', use .png"),
        ("--batch 0", "Invalid value for '--batch'"),
        ("--threads 0", "Invalid value for '--threads'"),
        ("--threads 100000", "--threads: got 100000, expected an integer of 1 to"),
        ("--provider tpu", "--provider: got 'tpu', expected 'auto', 'cpu', 'cuda' or 'webgpu'"),
        ("--rotate 0", "--rotate: this generator cannot move its pictures"),
        ("--translate -0.1,0", "--translate: this generator cannot move its pictures"),
        ("--translate a,b", "'--translate': got 'a,b', expected numbers such as"),
    ],
)
def test_generate_refuses(
    run: Callable[..., Done], bundle: Path, options: str, message: str
) -> None:
    out = [] if "--out" in options else ["--out", "images"]
    done = run("generate", bundle, *out, *shlex.split(options))
    assert done.code == 2, done
    assert message in done.error
    assert not os.listdir()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--class cat", "--class: got 'cat', expected 0 to 4"),
        ("--class 5", "--class: got 5, expected 0 to 4"),
        ("--class=-1", "'--class': got '-1', expected a class such as 3, or several: 0-9"),
        ("--class 3-5", "--class: got 5, expected 0 to 4"),
        ("--class 1 --labels 1,0,0,0,0", "--class, --labels: got both"),
        ("--labels 1,0,0,0", "--labels: got shape (4,), expected (5,)"),
        ("--labels nan,0,0,0,0", "--labels: got NaN or infinity"),
    ],
)
def test_generate_refuses_labels(
    run: Callable[..., Done], conditional_bundle: Path, options: str, message: str
) -> None:
    done = run("generate", conditional_bundle, "--out", "images", *shlex.split(options))
    assert done.code == 2
    assert message in done.error
    assert not os.listdir()


@pytest.mark.filterwarnings("always:No class was chosen")
def test_generate_tells_of_classes_that_nobody_chose(
    run: Callable[..., Done], named_bundle: Path
) -> None:
    done = run("generate", named_bundle, "--seeds", "3-5", "--out", "images")
    assert done.code == 0
    told = "warning: No class was chosen: every seed draws the class seed mod 5. Choose one of"
    assert done.err.count(told) == 1
    records = Path("images/manifest.jsonl").read_text().splitlines()
    assert [json.loads(record)["class_idx"] for record in records] == [3, 4, 0]
    chosen = ("--class", "dog,elk,ant", "--out", "named")
    assert run("generate", named_bundle, "--seeds", "3-5", *chosen).err == ""
    assert contents(Path("named"))["seed0003.png"] == contents(Path("images"))["seed0003.png"]


def test_generate_into_a_file(run: Callable[..., Done], bundle: Path) -> None:
    Path("file").write_text("mine")
    done = run("generate", bundle, "--out", "file")
    assert done.code == 2
    assert "file is a file, expected the name of a folder" in done.error
    done = run("generate", bundle, "--out", "file/images", "--seeds", "1")
    assert done.code == 1
    assert "Not a directory" in done.error
    assert contents(Path()) == {"file": b"mine"}


def test_generate_one_seed_into_a_file_of_its_own(run: Callable[..., Done], bundle: Path) -> None:
    done = run("generate", bundle, "--out", "new/one.png", "--seeds", "7")
    assert (done.code, done.err) == (0, "")
    assert "Wrote new/one.png." in done.out
    with stylert.open(bundle) as generator:
        assert np.array_equal(pixels("new/one.png"), generator.generate(7)[0])
    done = run("generate", bundle, "--out", "new/one.png", "--seeds", "7")
    assert "new/one.png exists. Pass --force" in done.error
    done = run("generate", bundle, "--out", "two.png", "--seeds", "7-8")
    assert done.code == 2
    assert "two.png is one file for 2 images. Pass a folder, or --grid auto." in done.error
    Path("folder.png").mkdir()
    assert run("generate", bundle, "--out", "folder.png", "--seeds", "7-8").code == 0
    assert {"seed0007.png", "seed0008.png"} < set(os.listdir("folder.png"))


def test_generate_a_zip_file(run: Callable[..., Done], conditional_bundle: Path) -> None:
    command = ("generate", conditional_bundle, "--seeds", "0-6", "--class", "0-2,4", "--batch", "3")
    options = ("--format", "jpeg", "--quality", "80", "--out", "new/set.zip", "--json")
    done = run(*command, *options)
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["files"] == ["new/set.zip"]
    with zipfile.ZipFile("new/set.zip") as archive:
        records = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
        with archive.open("seed0005.jpg") as file, Image.open(file) as image:
            assert (image.format, image.size) == ("JPEG", (32, 32))
    assert [record["class_idx"] for record in records] == [0, 1, 2, 4, 0, 1, 2]
    assert os.listdir("new") == ["set.zip"]


def test_generate_webdataset_shards(run: Callable[..., Done], bundle: Path) -> None:
    command = ("generate", bundle, "--seeds", "0-4", "--shard-size", "2", "--out", "shards")
    done = run(*command)
    assert (done.code, done.err) == (0, "")
    assert "Wrote 5 images to shards." in done.out
    names = [f"shard-{number:06d}.tar" for number in range(3)]
    assert sorted(os.listdir("shards")) == ["job.json", "manifest.jsonl", *names]
    before = contents(Path("shards"))
    done = run(*command, "--json")
    assert json.loads(done.out)["files"] == [str(Path("shards", name)) for name in names]
    assert "shards is complete: 5 images, none were missing." in run(*command).out
    assert contents(Path("shards")) == before


def test_generate_tells_a_log_how_far_it_is(
    run: Callable[..., Done], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LOG_SECONDS", 0.0)
    done = run("generate", bundle, "--seeds", "0-19", "--batch", "4", "--out", "images")
    assert done.code == 0
    lines = done.err.splitlines()
    assert re.fullmatch(r"note: \d+ of 20 images, \d+\.\d images/s, 0:00:0\d left", lines[0])
    assert lines[-1].startswith("note: 20 of 20 images, ")


def test_generate_shows_a_terminal_a_bar(
    run: Callable[..., Done], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(console, "err", terminal)
    assert run("generate", bundle, "--seeds", "0-19", "--batch", "4", "--out", "images").code == 0
    assert isinstance(terminal.file, io.StringIO)
    shown = terminal.file.getvalue()
    for words in ("drawing", "/20", "images/s"):
        assert words in shown


def test_generate_goes_on_with_the_same_job_alone(run: Callable[..., Done], bundle: Path) -> None:
    command = ("generate", bundle, "--out", "images", "--seeds")
    assert run(*command, "0-3").code == 0
    before = contents(Path("images"))
    done = run(*command, "0-4", "--truncation-psi", "0.5", "--batch", "4")
    assert done.code == 2
    assert done.error == (
        "images holds another job: images 4, now 5; seeds '0-3', now '0-4'; --truncation-psi "
        "1.0, now 0.5. Pass --force to start over, or choose another name."
    )
    assert contents(Path("images")) == before
    assert run(*command, "2-5", "--force").code == 0
    names = {f"seed{seed:04d}.png" for seed in range(2, 6)}  # and nothing of the other job
    assert set(os.listdir("images")) == {"job.json", "manifest.jsonl", *names}


def test_names_with_brackets_are_printed_as_they_are(
    run: Callable[..., Done], bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(bundle, tmp_path / "a[" / "red] [bold]")  # rich's markup, closed wrongly
    odd = Path("a[", "red] [bold]")
    assert f"{odd}: the files are" in run("verify", odd).out
    assert str(odd) in run("info", odd).out
    done = run("generate", odd, "--seeds", "1", "--out", "a[/red]")
    assert done.code == 0
    assert str(Path("a[/red]", "seed0001.png")) in done.out
    done = run("generate", odd, "--seeds", "1", "--out", ":smile:.png")  # and no emoji
    assert "Wrote :smile:.png." in done.out
    assert "error: No bundle at [/red]x. Make one" in run("verify", "[/red]x").err


# --- info, doctor, build-engine, bench


def test_info_of_a_bundle(run: Callable[..., Done], bundle: Path) -> None:
    done = run("info", bundle)
    assert (done.code, done.err) == (0, "")
    for words in ("32 x 32, 3 channels", "81,899", "synthesis.onnx", "sg2-skip-32.pkl", "passed"):
        assert words in done.out
    for words in ("sefa_coarse_0 to _19", "for layers 0-2", "coarse 0-2, middle 3-7"):
        assert words in done.out
    found = json.loads(run("info", bundle, "--json").out)
    assert found["generator"]["num_ws"] == 8
    assert found["statistics"]["parameters"] == 81899
    assert found["directions"][0] == {"name": "sefa_all", "count": 20, "layers": list(range(8))}


def test_info_of_a_checkpoint(run: Callable[..., Done]) -> None:
    done = run("info", GOLDENS / "sg2-cond-32.pkl")
    assert (done.code, done.err) == (0, "")
    assert "G_ema" in done.out
    found = json.loads(run("info", GOLDENS / "sg2-cond-32.pkl", "--json").out)
    assert found["config"]["c_dim"] == 5
    assert found["provenance"]["source"]["network"] == "G_ema"
    done = run("info", GOLDENS / "sg3-r-64.pkl")
    assert (done.code, done.err) == (0, "")
    for words in ("StyleGAN3-R", "64 x 64, 3 channels", "16 ws", "stylegan3 pickle", "L14_64_3"):
        assert words in done.out
    done = run("info", "nothing")
    assert done.code == 1
    assert "No such file" in done.error
    done = run("info", ".")
    assert done.code == 1
    assert "is not a bundle" in done.error


def test_doctor(run: Callable[..., Done]) -> None:
    done = run("doctor")
    assert (done.code, done.err) == (0, "")
    found = {row["name"]: row["status"] for row in json.loads(run("doctor", "--json").out)}
    assert found["numpy"] == found["av"] == found["write .mp4"] == "ok"
    for name in found:
        assert name in done.out
    if "missing" in found.values():
        assert "[gpu]" in done.out  # and not taken for markup


def test_build_engine(run: Callable[..., Done], bundle_copy: Path) -> None:
    command = "--compiler tensorrt-rtx --sm 89 --batch 1,2"
    done = run("build-engine", bundle_copy, *command.split(), "--json")
    assert done.code == 0
    plans = json.loads(done.out)
    assert [plan["graph"] for plan in plans] == ["mapping", "synthesis"]
    assert plans[1]["precision"] == "fp16"
    assert plans[1]["census"]["convolutions"]["HALF"] > 0
    for plan in plans:
        file = bundle_copy / "engines" / f"{plan['name']}.plan"
        assert hashlib.sha256(file.read_bytes()).hexdigest() == plan["sha256"]
    before = file.stat().st_mtime_ns
    again = run("build-engine", bundle_copy, *command.split())
    assert again.code == 0
    assert "up to date" in again.err
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--compiler tensorrt-rtx --sm 90", 2, "SM '90', expected some of"),
        ("--compiler tensorrt-rtx --sm 89 --batch 0", 2, "--batch: got '0', expected rising sizes"),
        ("--compiler tensorrt-rtx --sm 89 --precision int4", 2, "--precision: got 'int4'"),
        ("--compiler tensorrt-rtx --sm 89 --output jpg", 2, "--output: got 'jpg'"),
        ("--compiler gcc", 2, "--compiler: got 'gcc', expected auto or one of"),
    ],
)
def test_build_engine_refuses(
    run: Callable[..., Done], bundle: Path, options: str, code: int, words: str
) -> None:
    done = run("build-engine", bundle, *options.split())
    assert (done.code, words in done.error) == (code, True), done.error
    assert not (bundle / "engines").exists()


@pytest.mark.usefixtures("warm_python")
def test_bench_fails_with_a_backend_that_was_asked_for(
    run: Callable[..., Done], bundle: Path
) -> None:
    names = "onnxruntime,onnxruntime-cuda"
    done = run("bench", bundle, "--backends", names, *QUICK_BENCH)
    assert done.code == 1
    assert "error: onnxruntime-cuda was not timed to the end: " in done.err
    assert "onnxruntime " in done.out  # the table of those that were


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--plot a.xyz", 2, "--plot: got 'a.xyz', expected .png, .svg or .pdf"),
        ("--checkpoint nope.pkl", 1, "No such file"),
        ("--backends gcc", 2, "--backends: got 'gcc'"),
    ],
)
def test_bench_refuses_before_it_times(
    run: Callable[..., Done], bundle: Path, options: str, code: int, words: str
) -> None:
    done = run("bench", bundle, "--batch", "1", *options.split())
    assert (done.code, words in done.error) == (code, True), done.error


def test_bench_refuses_another_checkpoint(
    run: Callable[..., Done], bundle: Path, goldens: Path
) -> None:
    done = run("bench", bundle, "--batch", "1", "--checkpoint", goldens / "sg2-gray-64.pkl")
    assert done.code == 1
    assert "it is the bundle of another checkpoint" in done.error


@pytest.mark.usefixtures("warm_python")
def test_bench(run: Callable[..., Done], bundle: Path) -> None:
    command = "--backends onnxruntime --batch 1 --rounds 2 --threads 1 --json --out r/bench.json"
    done = run("bench", bundle, *command.split())
    assert done.code == 0
    found = json.loads(done.out)
    assert found["summary"][0]["candidate"] == "onnxruntime"
    assert json.loads(Path("r/bench.json").read_bytes()) == found


@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_bench_refuses_a_file_that_it_could_not_write(
    run: Callable[..., Done], bundle: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the minutes of timing, and not after them."""
    monkeypatch.setattr("stylert.apps.bench.bundle_bench.bench_bundle", None)
    Path("file").touch()
    done = run("bench", bundle, option, "file/chart.png")
    assert (done.code, done.error) == (1, "file/chart.png: Not a directory")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--backends tpu", "--backends: got 'tpu', expected onnxruntime, "),
        (
            "--backends torch-eager",
            "--backends: got 'torch-eager', which needs the checkpoint. Pass --checkpoint FILE",
        ),
        ("--batch 0", "'--batch': got '0', expected numbers of at least 1"),
        ("--batch one", "'--batch': got 'one', expected numbers of at least 1"),
        ("--untrained stylegan2-256", "pass a BUNDLE or --untrained NAME, one of them"),
    ],
)
def test_bench_refuses(run: Callable[..., Done], bundle: Path, options: str, message: str) -> None:
    done = run("bench", bundle, *options.split())
    assert done.code == 2
    assert message in done.error


# --- A process of its own: signals, limits, pipes.

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")

# SIGINT is ignored in the processes of a shell that runs in the background: set it as it should be.
MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from stylert.cli import main
main()
"""


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Where no file can have more bytes."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def command(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-c", MAIN, *arguments]


def finish(process: subprocess.Popen[str]) -> Done:
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()  # or the end of the test would wait for it
        raise
    return Done(process.returncode, out, err)


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@posix
@pytest.mark.usefixtures("warm_python")
def test_a_signal_in_the_middle_of_export_leaves_all_as_it_was(
    tmp_path: Path, bundle: Path
) -> None:
    target = shutil.copytree(bundle, tmp_path / "bundle")
    before = contents(tmp_path)
    arguments = ("export", CHECKPOINT, "--out", target, "--force", "--verify-seeds", "100000")
    with start(*arguments, cwd=tmp_path) as process:
        while process.poll() is None and not list(tmp_path.glob(".*/synthesis.onnx")):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        done = finish(process)
    assert done.code == 130, done.err
    assert done.error == "interrupted"
    assert contents(tmp_path) == before
    assert os.listdir(tmp_path) == ["bundle"]


def test_ctrl_c_in_the_middle_of_export_leaves_nothing(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        assert list(Path().glob(".*/synthesis.onnx"))
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("stylert.export.bundle_writer.prove_bundle", interrupt)
    done = run("export", CHECKPOINT, "--out", "bundle")
    assert (done.code, done.error) == (130, "interrupted")
    assert os.listdir() == []


@posix
def test_export_to_a_full_disk_leaves_all_as_it_was(
    run: Callable[..., Done], tmp_path: Path, bundle: Path
) -> None:
    """Also where there was nothing, as export/test_bundle_writer.py has it."""
    target = shutil.copytree(bundle, tmp_path / "bundle")
    before = contents(tmp_path)
    with small_disk(200_000):  # enough for mapping.onnx, and not for synthesis.onnx
        done = run("export", CHECKPOINT, "--out", target, "--force", "--no-verify")
    assert done.code == 1, done.err
    assert done.error == f"{target}: File too large"
    assert contents(tmp_path) == before
    assert os.listdir(tmp_path) == ["bundle"]


@posix
def test_generate_to_a_full_disk_leaves_whole_files_only(
    run: Callable[..., Done], tmp_path: Path, bundle: Path
) -> None:
    with small_disk(1500):
        done = run("generate", bundle, "--out", "images")
    assert done.code == 1
    assert done.error == "images/seed0000.png: File too large"
    assert set(contents(tmp_path)) == {"images/job.json", "images/manifest.jsonl.partial"}
    assert run("generate", bundle, "--out", "images").code == 0
    assert len(contents(tmp_path)) == 18


@posix
@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_in_the_middle_of_generate_says_how_to_go_on(
    tmp_path: Path, bundle: Path, number: str
) -> None:
    arguments = ("generate", bundle, "--out", "set.zip", "--seeds", "0-999999", "--force")
    journal = tmp_path / "set.zip.partial" / "manifest.jsonl.partial"
    with start(*arguments, cwd=tmp_path) as process:
        while process.poll() is None and not (journal.exists() and journal.stat().st_size):
            time.sleep(0.01)
        process.send_signal(getattr(signal, number))
        done = finish(process)
    assert done.code == 130, done.err
    assert done.error == "interrupted"
    there = len(journal.read_bytes().splitlines())
    assert f"note: {there} of 1000000 images are there. To go on, run the same" in done.err
    assert "without --force." in done.err


@posix
@pytest.mark.usefixtures("warm_python")
def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path, bundle: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    arguments = command("info", bundle, "--json")
    with os.fdopen(writing, "w") as out:
        done = subprocess.run(arguments, cwd=tmp_path, stdout=out, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"")


@posix
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_a_process_without_streams(closed: str, tmp_path: Path, bundle: Path) -> None:
    """As a daemon's, or pythonw's: what would be told is lost, and the work is done."""
    script = [sys.executable, "-m", "stylert.cli"]
    said = shlex.join([*script, "generate", str(bundle), "--seeds", "1", "--out", "images"])
    done = subprocess.run(f"{said} {closed}", shell=True, cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "images" / "seed0001.png").stat().st_size > 100


def test_what_an_alphabet_lacks_is_escaped(tmp_path: Path, bundle: Path) -> None:
    """Also the dots of a table's cell that is too long, which are no text of ours."""
    long = shutil.copytree(bundle, tmp_path / "émile")
    (long / "manifest.json").chmod(0o644)
    manifest = json.loads((long / "manifest.json").read_text(encoding="utf-8"))
    manifest["provenance"]["notes"] = ["é" + "x" * 400]
    (long / "manifest.json").write_text(json.dumps(sealed(manifest)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "stylert.cli", "info", "émile"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(rb"\xe9mile")
    assert rb"\u2026" in done.stdout


@pytest.mark.usefixtures("warm_python")
def test_the_exit_codes_are_the_processes(tmp_path: Path, bundle: Path) -> None:
    script = [sys.executable, "-m", "stylert.cli"]
    for arguments, code in (("verify nothing", 1), ("generate", 2), ("build-engine x", 1)):
        done = subprocess.run(
            [*script, *arguments.split()], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == code
        assert Done(code, done.stdout, done.stderr).error

"""`stylert evaluate`: what it tells, what it keeps, and its one line for what goes wrong."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from stylert.apps.evaluation import Estimate, Evaluation, open_network
from stylert.cli import app, main
from stylert.commands.evaluation_tables import tell_all


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command that has to work, and give what it says as JSON."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Any:
        done = CliRunner().invoke(app, [*map(str, words)] + ["--json"] * ("--json" not in words))
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    return call


@pytest.fixture
def fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., str]:
    """Run a command that has to fail, and give its line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("warnings.showwarning", None)

    def call(*words: object) -> str:
        with pytest.raises(SystemExit) as done:
            main([str(word) for word in words])
        assert done.value.code in (1, 2)
        error = str(capsys.readouterr().err)
        assert error.count("\n") == 1, error
        return error

    return call


def test_a_generator_against_data(
    bundle: Path, means_network: Path, run: Callable[..., Any]
) -> None:
    how = ("--features", means_network, "--threads", 1)
    run("generate", bundle, "--seeds", "100-159", "--out", "data")
    saved = ("--save-stats", "stats.npz", "--sheet", "sheet.png", "--keep", "kept")
    told = run("evaluate", bundle, "--data", "data", "--samples", 40, *how, *saved)
    figures = told["figures"]
    assert [*figures] == ["fid", "kid", "precision", "recall", "density", "coverage"]
    assert (told["drawn"], told["data"], told["network"]["name"]) == (40, 60, "means")
    with Image.open("sheet.png") as sheet:
        assert sheet.size == (8 * 32, 4 * 32 + 4)
    # Any batch gives these figures, and so do the statistics alone.
    again = run("evaluate", bundle, "--data", "data", "--samples", 40, *how, "--batch", 3)
    for name, figure in figures.items():
        assert again["figures"][name]["value"] == pytest.approx(figure["value"], rel=1e-5)
    alone = run("evaluate", bundle, "--stats", "stats.npz", "--samples", 40, *how)
    assert alone["figures"]["fid"]["value"] == pytest.approx(figures["fid"]["value"], rel=1e-6)
    assert [*alone["figures"]] == ["fid"]


KILLED = """
import os, signal, sys
from stylert import cli
from stylert.apps.evaluation import rows

rows.COMMIT_SECONDS, publish, commits = 0, rows.publish_bytes, []


def publish_or_die(*arguments, **options):
    commits.append(1)
    if len(commits) == 4:  # the first is of the data; rows are there that nobody has told of
        os.kill(os.getpid(), signal.SIGKILL)
    publish(*arguments, **options)


rows.publish_bytes = publish_or_die
cli.main(sys.argv[1:])
"""


@pytest.mark.usefixtures("warm_python")
def test_a_kill_9_costs_no_digit(
    bundle: Path, means_network: Path, run: Callable[..., Any]
) -> None:
    run("generate", bundle, "--seeds", "500-539", "--out", "data")
    words = ("evaluate", bundle, "--data", "data", "--samples", 150, "--features", means_network)
    words += ("--threads", "2", "--json")  # two workers
    whole = run(*words, "--keep", "whole")
    shutil.copytree("whole", "kept", ignore=shutil.ignore_patterns("drawn*"))
    command = [sys.executable, "-c", KILLED, *map(str, words), "--keep", "kept"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert json.loads(Path("kept/drawn.json").read_text())["done"] == 16
    np.load("kept/drawn.features.npy", mmap_mode="r+")[16:24] = np.nan  # half of a page was written
    assert run(*words, "--keep", "kept") == whole


def test_processes_give_the_same_digits(
    bundle: Path, means_network: Path, run: Callable[..., Any], fail: Callable[..., str]
) -> None:
    run("generate", bundle, "--seeds", "900-909", "--out", "data")
    words = ("evaluate", bundle, "--data", "data", "--samples", 600, "--features", means_network)
    words += ("--threads", "1", "--metrics", "fid")
    assert run(*words, "--processes", 2, "--keep", "two") == run(*words, "--keep", "one")
    assert sorted(path.name for path in Path("two").iterdir()) == [
        f"{of}.{kind}"
        for of in ("data", "drawn")
        for kind in ("classes.npy", "features.npy", "json")
    ]
    one, two = (np.load(f"{name}/drawn.features.npy") for name in ("one", "two"))
    assert np.array_equal(one, two)
    for more, message in (
        (("--processes", 2, "--ray", "local"), "pass --processes N or --ray ADDRESS"),
        (("--ray", "auto"), "pass --keep FOLDER, too, which all machines share"),
    ):
        assert message in fail(*words, *more)
    words = ("evaluate", bundle, "--against", "fp16", "--processes", 2)
    assert "--processes goes with --data or --stats" in fail(*words)


def test_a_sweep_and_its_chart(bundle: Path, means_network: Path, run: Callable[..., Any]) -> None:
    run("generate", bundle, "--seeds", "100-139", "--truncation-psi", 1, "--out", "data")
    told = run(
        *("evaluate", bundle, "--data", "data", "--samples", 40, "--metrics", "fid,pr,ppl"),
        *(
            "--features",
            means_network,
            "--threads",
            1,
            "--sweep",
            "psi=0:1:2",
            "--plot",
            "sweep.png",
        ),
    )
    first, last = told["sweep"]
    assert (first["psi"], last["psi"]) == (0, 1)
    assert first["figures"]["fid"]["value"] > last["figures"]["fid"]["value"]
    assert first["figures"]["recall"]["value"] < last["figures"]["recall"]["value"]
    assert first["figures"]["ppl"] == last["figures"]["ppl"]  # it is not truncated
    assert first["figures"]["ppl"]["value"] > 0
    assert Path("sweep.png").stat().st_size > 10_000


def test_a_deployment_against_another(
    bundle: Path, goldens: Path, means_network: Path, run: Callable[..., Any]
) -> None:
    how = ("--samples", 20, "--features", means_network, "--threads", 1)
    told = run(
        "evaluate", bundle, "--precision", "fp32", "--against", goldens / "sg2-skip-32.pkl", *how
    )
    figures = {name: figure["value"] for name, figure in told["figures"].items()}
    assert told["ways"][0] == "onnxruntime cpu fp32"
    assert told["ways"][1] == "PyTorch, of sg2-skip-32.pkl"
    assert figures["bytes_off"] < 0.001  # where a value lies between two bytes
    assert figures["psnr"] is None or figures["psnr"] > 75
    assert abs(figures["fid"]) < 1e-4


def test_what_goes_wrong_is_one_line(
    bundle: Path, means_network: Path, fail: Callable[..., str], tmp_path: Path
) -> None:
    how = ("evaluate", bundle, "--features", means_network, "--threads", 1, "--samples", 4)
    before = sorted(tmp_path.rglob("*"))
    one_of = "pass --data PATH, --stats FILE or --against WHAT, one of them"
    assert one_of in fail(*how)
    assert one_of in fail(*how, "--data", "x", "--against", "fp32")
    assert "--sweep goes with --data or --stats" in fail(
        *how, "--against", "fp16", "--sweep", "psi=0,1"
    )
    assert "--plot goes with --sweep" in fail(*how, "--data", "x", "--plot", "x.png")
    assert "got 'isc', expected some of fid" in fail(*how, "--data", "x", "--metrics", "isc")
    assert "expected psi=FIRST:LAST:COUNT" in fail(*how, "--data", "x", "--sweep", "0:1:6")
    for option in ("--sweep psi=0,1", "--truncation-psi 0.5"):  # PPL is not truncated
        error = fail(*how, "--metrics", "ppl,ppl-z", *option.split())
        assert f"{option.split()[0]} goes with --data or --stats" in error
    nothing = fail(*how, "--against", "nothing")
    assert "--against: got 'nothing', expected fp32, fp16, int8, engine, a checkpoint" in nothing
    assert "there is no such folder" in fail(*how, "--data", "x")
    assert "expected a file of statistics" in fail(*how, "--stats", "x.npz")
    assert "which is what draws already" in fail(*how, "--precision", "fp32", "--against", "fp32")
    assert "error: --against: got 'int8', but the bundle" in fail(*how, "--against", "int8")
    assert "expected an ONNX file" in fail(
        "evaluate", bundle, "--against", "fp16", "--features", "x"
    )
    assert sorted(tmp_path.rglob("*")) == before
    Image.new("RGB", (32, 32)).save("picture.png")
    error = fail(*how, "--stats", "picture.png")
    assert "--stats: got picture.png, which holds no statistics (it is neither an .npz" in error
    np.savez(tmp_path / "other.npz", mu=np.zeros(5), sigma=np.eye(5))
    assert "--stats: got other.npz of 5 dimensions, expected 3" in fail(
        *how, "--stats", "other.npz"
    )
    np.savez(tmp_path / "stats.npz", mu=np.zeros(3), sigma=np.eye(3))
    assert "'kid' with statistics" in fail(*how, "--stats", "stats.npz", "--metrics", "kid")


def test_an_engine_that_does_not_run_here(
    bundle: Path, means_network: Path, fail: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told of the option that was given, and no other backend is drawn with."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # the same on a machine with a GPU
    how = ("evaluate", bundle, "--features", means_network, "--samples", 4)
    error = fail(*how, "--against", "engine")
    assert error.startswith("error: --against engine: ")
    assert "--backend" not in error


def test_too_few_pictures_are_told_before_any_is_drawn(
    bundle: Path, means_network: Path, fail: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    for name, size in (("a.png", 32), ("b.png", 16)):
        Image.new("RGB", (size, size)).save(tmp_path / "data" / name)
    how = ("evaluate", bundle, "--features", means_network, "--samples", 6, "--data", "data")
    how += ("--keep", "kept")
    error = fail(*how, "--metrics", "fid,dc")
    assert "--metrics: got 'dc' with 2 pictures of the data, expected at least 6." in error
    assert not (tmp_path / "kept").exists()
    assert "--data: got data, whose b.png is 16x16 RGB, expected 32x32 RGB" in fail(
        *how, "--metrics", "fid"
    )
    assert not list((tmp_path / "kept").iterdir())
    Image.new("RGB", (32, 32)).save(tmp_path / "data" / "b.png")
    error = fail(*how, "--metrics", "fid")
    assert "--features: got equal ones for all 2 of the data, expected pictures that vary." in error
    assert not (tmp_path / "kept" / "drawn.json").exists()
    shutil.rmtree(tmp_path / "kept")
    (tmp_path / "data" / "a.png").write_bytes(b"no picture")
    error = fail(*how, "--metrics", "fid")
    assert "--data: got data, whose a.png is no picture (of no known format)." in error


def test_a_sweep_tells_each_class(capsys: pytest.CaptureFixture[str], means_network: Path) -> None:
    figures = {"fid": Estimate(2.5)}
    told = {"name": "means"}
    found = {
        psi: Evaluation(told, 8, 9, figures, {3: {"fid": Estimate(10 * psi + 5)}})
        for psi in (0.5, 1.0)
    }
    tell_all(found, open_network(means_network), as_json=False)
    out = capsys.readouterr().out
    assert re.search(r"At psi 0\.5.*3 +│ +10 .*At psi 1 .*3 +│ +15 ", out, re.DOTALL)
    assert "8 drawn pictures against 9 of the data at each psi, in features of means" in out

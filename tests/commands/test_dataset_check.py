"""`stylert verify` of a data set: what it names, what it draws again, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from stylert.cli import app, main
from stylert.runtime.generator import Generator


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command that has to work, and give what it says."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    return call


def fail(monkeypatch: pytest.MonkeyPatch, capsys: Any, *words: object) -> tuple[Any, str]:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("warnings.showwarning", None)
    with pytest.raises(SystemExit) as done:
        main([str(word) for word in words])
    return done.value.code, capsys.readouterr().err


def test_damage_is_named_and_repaired(
    run: Callable[..., str], bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run("generate", bundle, "--seeds", "0-9", "--out", "set", "--layout", "stylegan")
    assert json.loads(Path("set/dataset.json").read_text()) == {"labels": None}
    assert "all 10 images are as they were written" in run("verify", "set")
    before = {path.name: path.read_bytes() for path in Path("set").iterdir()}
    Path("set/seed0003.png").unlink()
    Path("set/seed0004.png").write_bytes(b"no picture")
    code, error = fail(monkeypatch, capsys, "verify", "set")
    assert code == 1
    assert "set: 2 things are not as they were written. Repair it: add --repair BUNDLE" in error
    told = json.loads(CliRunner().invoke(app, ["verify", "set", "--json"]).output)
    assert (told["missing"], told["damaged"]) == (["seed0003.png"], ["seed0004.png"])
    assert "Drew 2 images again." in run("verify", "set", "--repair", bundle)
    Path("set/other.png").write_bytes(before["seed0000.png"])
    surplus = "set: 1 thing is not as it was written. Remove what is surplus: no repair does."
    assert surplus in fail(monkeypatch, capsys, "verify", "set")[1]
    assert surplus in fail(monkeypatch, capsys, "verify", "set", "--repair", bundle)[1]
    Path("set/other.png").unlink()
    assert {path.name: path.read_bytes() for path in Path("set").iterdir()} == before


def test_labels_alone_are_repaired(run: Callable[..., str], bundle: Path) -> None:
    run("generate", bundle, "--seeds", "0-2", "--out", "set", "--layout", "huggingface")
    before = Path("set/metadata.jsonl").read_bytes()
    Path("set/metadata.jsonl").write_bytes(b"")
    assert "all 3 images are as they were written" in run("verify", "set", "--repair", bundle)
    assert Path("set/metadata.jsonl").read_bytes() == before


def test_styles_of_a_file(
    run: Callable[..., str],
    bundle: Path,
    generator: Generator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    np.save("ws.npy", generator.map(np.random.RandomState(0).randn(2, generator.spec.z_dim)))
    run("generate", bundle, "--ws", "ws.npy", "--out", "set")
    before = Path("set/ws0001.png").read_bytes()
    Path("set/ws0001.png").unlink()
    code, error = fail(monkeypatch, capsys, "verify", "set", "--repair", bundle)
    assert (code, "--ws: got none, expected ws.npy of SHA-256 " in error) == (2, True)
    assert "Drew 1 images" in run("verify", "set", "--repair", bundle, "--ws", "ws.npy")
    assert Path("set/ws0001.png").read_bytes() == before


def test_what_does_not_go_together(
    run: Callable[..., str], bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for options in (("--repair", bundle), ("--ws", "x"), ("--trust-engines",)):
        code, error = fail(monkeypatch, capsys, "verify", bundle, *options)
        told = f"{options[0]}: got one for {bundle}, which is no data set"
        assert (code, told in error) == (2, True), error
    run("generate", bundle, "--seeds", "1", "--out", "set")
    for options in (("--checkpoint", "x.pkl"), ("--seeds", 1), ("--allow-chaotic",)):
        code, error = fail(monkeypatch, capsys, "verify", "set", *options)
        told = f"{options[0]}: got one for set, which is a data set"
        assert (code, told in error) == (2, True), error


def test_damage_of_the_whole_is_no_wrong_usage(
    run: Callable[..., str], bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The command is right, and the data set is not: 1, and not 2."""
    run("generate", bundle, "--seeds", "0-2", "--out", "set")
    run("generate", bundle, "--seeds", "0-2", "--out", "set.zip")
    Path("set/job.json").write_text("{}")
    Path("set.zip").write_bytes(Path("set.zip").read_bytes()[:-30])
    for place, named in (("set", "its job.json is damaged"), ("set.zip", "its end is cut off")):
        code, error = fail(monkeypatch, capsys, "verify", place)
        assert (code, named in error) == (1, True), error

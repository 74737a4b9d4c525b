"""`stylert export --one-file`: a checkpoint as one graph, with its bundle or in its place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from stylert.cli import main
from stylert.export.one_file import build_one_file
from stylert.runtime.bundle import Bundle


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> Callable[..., tuple[int, str, str]]:
    """Run `stylert export` in an empty folder: its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("warnings.showwarning", None)

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main(["export", *map(str, words)])
        told = capsys.readouterr()
        assert isinstance(done.value.code, int)
        return done.value.code, told.out, told.err

    return call


def test_a_checkpoint_becomes_one_file(
    run: Callable[..., tuple[int, str, str]], goldens: Path, bundle_of: Callable[[str], Path]
) -> None:
    checkpoint = goldens / "sg2-cond-32.pkl"
    fixed = ("--truncation-psi", 0.5, "--noise", "none")
    code, out, err = run(checkpoint, "--one-file", "new/one.onnx", *fixed, "--verify-seeds", 1)
    assert (code, err) == (0, "")
    assert "Against PyTorch" in out
    assert "Wrote new/one.onnx" in out
    assert "Draw with" not in out
    assert os.listdir("new") == ["one.onnx"]
    made = onnx.load("new/one.onnx")
    bundle = Bundle.open(bundle_of("sg2-cond-32"))
    assert made == build_one_file(bundle, truncation_psi=0.5, noise_mode="none")


def test_both_at_once(run: Callable[..., tuple[int, str, str]], goldens: Path) -> None:
    words = (goldens / "sg2-skip-32.pkl", "--out", "b", "--one-file", "one.onnx", "--no-verify")
    code, out, _ = run(*words, "--json", "--half", "none")
    assert code == 0
    assert json.loads(out)["files"] == ["b", "one.onnx"]
    assert onnx.load("one.onnx") == build_one_file(Bundle.open("b"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "pass --out BUNDLE, --one-file OUT.onnx, or both"),
        ("--one-file a.pt", "--one-file: got a.pt, expected the name of an .onnx file."),
        ("--one-file there.onnx", "there.onnx exists. Pass --force to replace it"),
        ("--one-file a.onnx --noise seeded", "--noise: got 'seeded', expected const or none."),
        ("--one-file a.onnx --truncation-psi nan", "--truncation-psi: got nan, expected a number."),
        ("--one-file a.onnx --int8", "--int8 goes with --out: one file has none of it"),
        ("--one-file a.onnx --half all", "--half goes with --out: one file has none of it"),
        ("--out b --noise none", "--noise goes with --one-file; a bundle takes any"),
        ("--out b --one-file b/a.onnx", "expected a place outside the bundle b"),
    ],
)
def test_what_does_not_fit(
    run: Callable[..., tuple[int, str, str]], goldens: Path, words: str, message: str
) -> None:
    Path("there.onnx").write_bytes(b"precious")
    code, out, err = run(goldens / "sg2-skip-32.pkl", *words.split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert os.listdir() == ["there.onnx"]

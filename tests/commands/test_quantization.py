"""`stylert quantize` and `export --int8`: the table, JSON, and one line for what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stylert.cli import app, main


def test_a_table_and_json(plain_bundle: Path, tmp_path: Path) -> None:
    path = shutil.copytree(plain_bundle, tmp_path / "bundle")
    done = CliRunner().invoke(app, ["quantize", str(path), "--int8-floor", "20"])
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert "dB (PSNR), worst picture" in words
    assert "floor 20 dB" in words
    assert "0 of 5 convolutions" in words
    done = CliRunner().invoke(
        app, ["quantize", str(path), "--int8-floor", "20", "--force", "--json"]
    )
    report = json.loads(done.stdout)
    assert report.pop("files") == [str(path / "synthesis.int8.onnx")]
    assert report == json.loads((path / "manifest.json").read_bytes())["int8"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "x.pkl", "--int8-floor", "30"), "--int8-floor: got one without --int8"),
        (
            ("export", "x.pkl", "--no-verify", "--verify-seeds", "4"),
            "--verify-seeds: got one with --no-verify",
        ),
        (
            ("export", "x.pkl", "--allow-chaotic", "--no-verify"),
            "--allow-chaotic: got one with --no-verify",
        ),
        (
            ("export", "x.pkl", "--half", "none", "--half-strict"),
            "--half-strict: got one with --half none",
        ),
        (
            ("export", "x.pkl", "--int8", "--int8-floor", "5"),
            "--int8-floor: got 5, expected a PSNR",
        ),
        (("quantize", ".", "--int8-floor", "nan"), "--int8-floor: got nan, expected a PSNR"),
    ],
)
def test_options_that_are_wrong_or_would_do_nothing(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    out = ["--out", "bundle"] if arguments[0] == "export" else []
    with pytest.raises(SystemExit) as left:
        main([*arguments, *out])
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert words in told
    assert len(told.splitlines()) == 1
    assert not list(tmp_path.iterdir())

"""What commands write: `--json` tells it as the list `files`, and nothing is replaced unasked."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from stylert import cli

COMMANDS: Any = typer.main.get_command(cli.app)
CHECKPOINT = Path(__file__).parents[1] / "goldens" / "sg2-skip-32.pkl"
SERVERS = ("ray",)  # it serves, and has nothing to tell until it ends


def test_all_that_write_have_it() -> None:
    context = typer.Context(COMMANDS)
    for name in COMMANDS.list_commands(context):
        parameters = {p.name for p in COMMANDS.get_command(context, name).params}
        if "force" in parameters and name not in SERVERS:
            assert "as_json" in parameters, name


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("demo new", ["new"]),
        ("gradient BUNDLE", ["BUNDLE/gradient.onnx"]),
        ("one-file BUNDLE --out new.onnx", ["new.onnx"]),
        ("convert CHECKPOINT new.safetensors", ["new.safetensors"]),
        ("export CHECKPOINT --no-verify --half none --out b --one-file o.onnx", ["b", "o.onnx"]),
        (
            "blend CHECKPOINT CHECKPOINT --level 8 --out new.safetensors --sheet new.png",
            ["new.safetensors", "new.png"],
        ),
    ],
)
def test_it_tells_the_files(
    line: str,
    files: list[str],
    bundle_copy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"BUNDLE": str(bundle_copy), "CHECKPOINT": str(CHECKPOINT)}
    with pytest.raises(SystemExit) as ended:
        cli.main([*(places.get(word, word) for word in shlex.split(line)), "--json"])
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    told = json.loads(said.out)["files"]
    assert told == [file.replace("BUNDLE", str(bundle_copy)) for file in files]
    assert all(Path(file).exists() for file in told)


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("bench BUNDLE --out a.json", "a.json"),
        ("bench BUNDLE --plot a.png", "a.png"),
        ("evaluate BUNDLE --data x --save-stats a.npz", "a.npz"),
        ("evaluate BUNDLE --data x --sheet a.png", "a.png"),
        ("evaluate BUNDLE --data x --sweep psi=0,1 --plot a.png", "a.png"),
    ],
)
def test_a_file_is_replaced_with_force_alone(
    line: str,
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(file).write_text("old")
    for force in ([], ["--force"]):  # with it, that there is no such bundle is what is wrong
        with pytest.raises(SystemExit):
            cli.main([*shlex.split(line), *force])
        error = capsys.readouterr().err
        assert (f"{file} exists. Pass --force to replace it" in error) == (not force)
    assert Path(file).read_text() == "old"

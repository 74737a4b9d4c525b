"""`--json` tells what a command has written as the list `files`, of all commands that write."""

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

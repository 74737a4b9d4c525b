"""`stylert blend`: the file, the sheet, and what is refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert import cli
from stylert.export.blending import blend_checkpoints
from stylert.export.checkpoints import Checkpoint, read_checkpoint, write_native


@pytest.fixture
def parents(
    make_checkpoint: Callable[..., Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Checkpoint, Checkpoint]:
    monkeypatch.chdir(tmp_path)
    made = []
    for seed, name in enumerate("ab"):
        checkpoint = make_checkpoint(seed=seed)
        source = replace(checkpoint.source, file=f"{name}.safetensors")
        write_native(replace(checkpoint, source=source), f"{name}.safetensors")
        made.append(read_checkpoint(f"{name}.safetensors"))
    return made[0], made[1]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: Any) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["blend", *map(str, arguments)])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def test_a_file_and_a_sheet(
    run: Callable[..., tuple[int, str, str]], parents: tuple[Checkpoint, Checkpoint]
) -> None:
    options = ["--level", 8, "--width", 2, "--mapping", "B", "--sheet", "s.png", "--seeds", "3,4"]
    code, out, err = run("a.safetensors", "b.safetensors", "--out", "c.safetensors", *options)
    assert code == 0, err
    assert "Wrote c.safetensors" in out
    assert "levels 0, 4, 8, 16, inf from left to right" in out
    expected = blend_checkpoints(*parents, level=8, width=2, mapping="B")
    for name, tensor in read_checkpoint("c.safetensors").tensors.items():
        np.testing.assert_array_equal(tensor, expected.tensors[name], strict=True)
    with Image.open("s.png") as sheet:
        assert sheet.size == (5 * 16, 2 * 16)


@pytest.mark.usefixtures("parents")
def test_what_is_refused(run: Callable[..., tuple[int, str, str]]) -> None:
    for options, words in (
        ([], "pass --out FILE with --level, or --sheet FILE"),
        (["--out", "c.safetensors"], "--out and --level go together"),
        (["--out", "c.pkl", "--level", 8], "must end in .safetensors"),
        (["--out", "b.safetensors", "--level", 8], "Pass --force"),
        (["--out", "c.safetensors", "--level", 9], "--level: got 9, expected one of 0, 4, 8, 16"),
        (
            ["--out", "c.safetensors", "--level", 8, "--seeds", 1],
            "--seeds: got one without --sheet",
        ),
        (["--sheet", "s.txt"], "s.txt"),
        (["--sheet", "s.png", "--mapping", "C"], "--mapping: got 'C', expected A or B."),
    ):
        code, out, err = run("a.safetensors", "b.safetensors", *options)
        assert (code, out) == (2, "")
        assert words in err.splitlines()[-1]
        assert sorted(path.name for path in Path().iterdir()) == ["a.safetensors", "b.safetensors"]

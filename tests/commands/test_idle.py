"""Options that would change nothing are refused by name, before anything is done."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from stylert import cli
from stylert.commands.idle import refuse_idle
from stylert.runtime.errors import InvalidInput


def test_what_was_not_given_passes() -> None:
    refuse_idle("here", one=None, other=None)
    with pytest.raises(InvalidInput, match=r"^other: got one here\.$"):
        refuse_idle("here", one=None, other=0)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "project BUNDLE x.png --out w.npz --features-weight 1",
            "--features-weight: got one without --features",
        ),
        (
            "project BUNDLE x.png --out w.npz --start w.npy --seeds-start 9",
            "--seeds-start: got one with --start",
        ),
        *(
            (
                f"search BUNDLE x --clip words --out x.png --start w.npy {option}",
                f"{option.split()[0]}: got one with --start, which is in the place of samples",
            )
            for option in (
                "--seeds-start 256",
                "--first-seed 0",
                "--class 0",
                "--truncation-psi 1",
            )
        ),
        ("invert BUNDLE x.png --out w.npz --quality 9", "--quality: got one without --preview"),
        *(
            (f"blend a b --out c.safetensors --level 8 {option}", f"{option.split()[0]}: got one")
            for option in ("--seeds 1", "--truncation-psi 0.7")
        ),
        (
            "triton BUNDLE --out models --backend python --tensorrt 10.13",
            "--tensorrt: got one with --backend python",
        ),
        ("web BUNDLE --out site --port 8000", "--port: got one without --serve"),
        (
            "features x.onnx --gradient --out y.onnx --weights z.pth",
            "--weights: got one for x.onnx",
        ),
        ("features x.onnx --gradient --out y.onnx --heads z.pth", "--heads: got one for x.onnx"),
        (
            "video BUNDLE --seeds 1,2 --out x.gif --noise-turns 1",
            "--noise-turns: got one without --noise animated",
        ),
        ("evaluate BUNDLE --data x --network G", "--network: it goes with --against CHECKPOINT"),
        (
            "evaluate BUNDLE --data x --sweep psi=0:1:2 --truncation-psi 1",
            "--truncation-psi: got one with --sweep",
        ),
        *(
            (f"verify BUNDLE {what} {option}", f"{option.split()[0]}: got one without --checkpoint")
            for option in ("--seeds 3", "--allow-chaotic")
            for what in ("", "--encoder x.pt", "--layers")
        ),
    ],
)
def test_an_option_that_would_change_nothing(
    command: str,
    said: str,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [str(bundle) if word == "BUNDLE" else word for word in shlex.split(command)]
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    told = capsys.readouterr().err
    assert ended.value.code == 2, told
    assert said in told
    assert told.count("\n") == 1
    assert not os.listdir()

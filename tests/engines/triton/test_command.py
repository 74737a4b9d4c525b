"""`stylert triton`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stylert import cli


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in ("triton", *words)])
    return int(ended.value.code or 0)


def test_writes_and_checks(
    own_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "models"
    options = ("--backend", "python", "--batch", "4", "--queue-delay", "1.5", "--prefix", "a-")
    assert run(own_bundle, "--out", out, *options) == 0
    told = capsys.readouterr()
    assert told.err == "note: Backend python: as asked for.\n"
    assert told.out.splitlines() == [
        f"Wrote {out}: the models a-stylegan, a-front, a-mapping, a-synthesis.",
        f"Serve with: tritonserver --model-repository {out} --disable-auto-complete-config",
    ]
    assert run(own_bundle, "--out", out, "--check", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["models"] == ["a-stylegan", "a-front", "a-mapping", "a-synthesis"]
    assert made["recipe"] | {"max_batch": 4, "queue_delay": 1.5, "prefix": "a-"} == made["recipe"]
    (out / "a-front" / "1" / "noise.npz").unlink()
    assert run(own_bundle, "--out", out, "--check") == 1
    assert "a-front/1/noise.npz is missing" in capsys.readouterr().err


def test_every_option_is_passed_on(own_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "models"
    words = "--device cpu --precision fp32 --instances 2 --fronts 3 --threads 4 --max-inflight 5"
    assert run(own_bundle, "--out", out, *words.split(), "--version", "6") == 0
    recipe = json.loads((out / "stylert.json").read_text())["recipe"]
    assert recipe == {
        "backend": "onnxruntime",
        "device": "cpu",
        "precision": "fp32",
        "max_batch": 8,
        "plans": [],
        "instances": 2,
        "fronts": 3,
        "queue_delay": 2.0,
        "threads": 4,
        "max_inflight": 5,
        "version": 6,
        "prefix": "",
    }
    assert run(own_bundle, "--out", out, "--backend", "python", "--force") == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("", 2, "exists. Pass --force to replace it"),
        ("--force --backend other", 2, "--backend: got 'other'"),
        ("--force --tensorrt 10.13", 1, "no TensorRT 10.13 engines that Triton can serve"),
        ("--check", 0, ""),
    ],
)
def test_exit_codes(
    words: str, code: int, message: str, own_bundle: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "models"
    assert run(own_bundle, "--out", out, "--backend", "python") == 0
    capsys.readouterr()
    assert run(own_bundle, "--out", out, *words.split()) == code
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") <= 1

"""What stands on a generator stands on OpenVINO, too: commands, data sets, services."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from stylert.apps.datasets import open_as_drawn, repair_dataset, verify_dataset
from stylert.apps.serving.application import create_app
from stylert.cli import main
from stylert.runtime.generator import Generator

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; gives its exit code and what it says on stderr."""

    def command(*words: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().err

    return command


def test_generate(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.png"
    words = ("generate", tiny_bundle, "--seeds", "3", "--backend", "openvino", "--device", "cpu")
    assert run(*words, "--out", out) == (0, "")
    with Generator.open(tiny_bundle, backend="onnxruntime", provider="cpu") as generator:
        drawn = generator.generate([3])[0]
    assert np.abs(np.asarray(Image.open(out)).astype(int) - drawn).max() <= 1


@pytest.mark.parametrize(
    ("device", "code", "words"),
    [
        ("gpu", 1, ("--device: got 'gpu'", "here are 'cpu'")),
        ("tpu", 2, ("--device: got 'tpu'", "('cpu', 'gpu', 'npu')")),
    ],
)
def test_a_device_that_does_not_exist(
    run: Run, tiny_bundle: Path, tmp_path: Path, device: str, code: int, words: tuple[str, ...]
) -> None:
    where = ("--backend", "openvino", "--device", device)
    out = tmp_path / "one.png"
    got, said = run("generate", tiny_bundle, "--seeds", "3", *where, "--out", out)
    assert got == code
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    for word in words:
        assert word in said
    assert not out.exists()


def test_a_device_of_another_backend(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    words = ("generate", tiny_bundle, "--seeds", "3", "--device", "cpu", "--out", tmp_path / "x")
    code, said = run(*words)
    assert (code, said.count("\n")) == (2, 1)
    assert "--device: got 'cpu' with backend 'auto' and provider 'auto'" in said
    assert "expected --backend openvino or --provider webgpu" in said


def test_data_sets_are_repaired_as_they_were_drawn(
    run: Run, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "images"
    where = ("--backend", "openvino", "--threads", "1", "--batch", "3")
    assert run("generate", tiny_bundle, "--seeds", "0-6", *where, "--out", out)[0] == 0
    job = json.loads((out / "job.json").read_text())
    assert job["drawn_with"].items() >= {"backend": "openvino", "device": "cpu"}.items()
    file = out / "seed0004.png"
    whole = file.read_bytes()
    file.write_bytes(b"damaged")
    report = verify_dataset(out)
    with open_as_drawn(tiny_bundle, out) as generator:
        assert generator.describe()["backend"] == "openvino"
        assert repair_dataset(generator, report) == 1
    assert file.read_bytes() == whole


def test_service(tiny_bundle: Path) -> None:
    with (
        Generator.open(tiny_bundle, backend="openvino", threads=1) as generator,
        TestClient(create_app(generator)) as client,
    ):
        answer: Any = client.post("/generate", json={"seeds": [5]})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/png"

"""Which backend `auto` takes, and that it says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stylert.runtime.backends import open_session
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.generator import Generator
from stylert.runtime.machine import Gpu


@pytest.fixture
def gpu(installed: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The fake GPU is what a session opens."""
    where = "stylert.runtime.backends.tensorrt.session._open_device"
    installed.asked = []
    monkeypatch.setattr(where, lambda index: installed.asked.append(index) or installed.device)
    return installed


@pytest.mark.parametrize(("backend", "why"), [("tensorrt", "as asked"), ("auto", "auto")])
def test_tensorrt(gpu: Any, engines: Path, backend: str, why: str) -> None:
    session, choice = open_session(Bundle.open(engines), backend=backend)
    assert session.describe()["backend"] == "tensorrt"
    assert choice.startswith("tensorrt 11.4.0.106 on Fake GPU, fp32: ")
    assert why in choice
    session.close()


@pytest.mark.parametrize("backend", ["tensorrt", "auto"])
def test_gpu_and_lanes(gpu: Any, engines: Path, backend: str) -> None:
    with Generator.open(engines, backend=backend, gpu=1, lanes=3) as generator:
        assert generator.describe()["gpu_index"] == gpu.device.index
        with generator.lifetime.in_use() as session:
            assert session._lanes._limit == 3  # type: ignore[attr-defined]
    with Generator.open(engines, backend=backend) as one, one.lifetime.in_use() as session:
        assert session._lanes._limit == 1  # type: ignore[attr-defined]
    assert gpu.asked == [1, 0]


def test_who_asks_for_a_gpu_never_gets_the_cpu(
    gpu: Any, bundle: Path, engines: Path, refuses: Any
) -> None:
    with refuses("gpu: got 0 with provider 'cpu'", "expected None"):
        Generator.open(bundle, provider="cpu", gpu=0)
    with refuses("provider 'cuda'", error=EngineError):
        Generator.open(bundle, gpu=0)
    gpu.new_device(compute_capability=(9, 0))
    with refuses("provider 'cuda'", error=EngineError):
        Generator.open(engines, gpu=1)


@pytest.mark.parametrize("wrong", [-1, True, 0.0, "0"])
def test_gpu_and_lanes_are_counts(bundle: Path, refuses: Any, wrong: Any) -> None:
    with refuses("gpu: got ", "at least 0"):
        Generator.open(bundle, gpu=wrong)
    with refuses("lanes: got ", "at least 1"):
        Generator.open(bundle, lanes=wrong)


def test_auto_tells_why_an_engine_was_not_taken(gpu: Any, engines: Path) -> None:
    gpu.new_device(compute_capability=(9, 0))
    session, choice = open_session(Bundle.open(engines))
    assert session.describe()["backend"] == "onnxruntime"
    assert "onnxruntime on cpu" in choice
    assert "its engines do not run here" in choice
    assert "stylert build-engine" in choice
    session.close()


@pytest.mark.parametrize("options", [{"provider": "cpu"}, {"backend": "onnxruntime"}])
def test_what_is_asked_for_goes_first(gpu: Any, engines: Path, options: dict[str, str]) -> None:
    session, _ = open_session(Bundle.open(engines), **options)
    assert session.describe()["backend"] == "onnxruntime"
    session.close()


def test_a_bundle_without_engines(gpu: Any, bundle: Path, refuses: Any) -> None:
    session, choice = open_session(Bundle.open(bundle))
    assert "engine" not in choice
    session.close()
    with refuses("has no", "stylert build-engine", error=EngineError):
        open_session(Bundle.open(bundle), backend="tensorrt")


def test_asked_for_means_no_other(fakes: Any, engines: Path, refuses: Any) -> None:
    with refuses("provider", "'cuda'"):
        open_session(Bundle.open(engines), backend="tensorrt", provider="cpu")
    with pytest.raises((EngineError, MissingExtra)):
        open_session(Bundle.open(engines), backend="tensorrt")


def test_a_machine_without_a_gpu(
    engines: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What else is missing there would be a detour."""

    def no_device(index: int) -> None:
        raise MissingExtra("cuda-core is not installed")

    monkeypatch.setattr("stylert.runtime.backends.cuda.device.Device", no_device)
    seen = "stylert.runtime.backends.cuda.device.visible_gpus"
    monkeypatch.setattr(seen, list)
    words = ("this machine shows none", "nvidia-smi", "backend='onnxruntime'")
    with refuses(*words, error=EngineError):
        Generator.open(engines, backend="tensorrt")
    with Generator.open(engines) as generator:
        assert "this machine shows none" in generator.choice
    monkeypatch.setattr(seen, lambda: [Gpu(0, "GPU", (8, 9))])
    with refuses("cuda-core is not installed", error=MissingExtra):
        Generator.open(engines, backend="tensorrt")

"""Which backend `auto` takes, and that it says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stylert.runtime.backends import open_session
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, MissingExtra


@pytest.fixture
def gpu(installed: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The fake GPU is what a session opens."""
    where = "stylert.runtime.backends.tensorrt._open_device"
    monkeypatch.setattr(where, lambda index: installed.device)
    return installed


@pytest.mark.parametrize(("backend", "why"), [("tensorrt", "as asked"), ("auto", "auto")])
def test_tensorrt(gpu: Any, engines: Path, backend: str, why: str) -> None:
    session, choice = open_session(Bundle.open(engines), backend=backend)
    assert session.describe()["backend"] == "tensorrt"
    assert choice.startswith("tensorrt 11.4.0.106 on Fake GPU, fp32: ")
    assert why in choice
    session.close()


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

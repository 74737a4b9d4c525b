"""Which backend `auto` takes on the CPU: what was noted, by graph, machine and versions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylert.runtime.backends import open_session, tuned_choice
from stylert.runtime.backends.tuned_choice import (
    Timings,
    choose_on_cpu,
    list_versions,
    note_timings,
    read_timings,
)
from stylert.runtime.bundle import MANIFEST, Bundle, sealed
from stylert.runtime.errors import EngineError
from stylert.runtime.generator import Generator

FASTER = Timings({"onnxruntime": {1: 0.3, 8: 2.0}, "openvino": {1: 0.2, 8: 1.6}})
MIXED = Timings({"onnxruntime": {1: 0.3, 8: 2.0}, "openvino": {1: 0.31, 8: 1.0}})


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has noted nothing yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "stylert" / "tuned"


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What is installed."""

    def installed(**found: str) -> None:
        monkeypatch.setattr(tuned_choice, "list_versions", lambda: found)

    return installed


def test_what_is_installed() -> None:
    assert set(list_versions()) == {"onnxruntime", "openvino"}


def test_the_fastest_is_slower_in_no_batch() -> None:
    assert FASTER.fastest == "openvino"
    assert MIXED.fastest == "onnxruntime"
    assert Timings({"onnxruntime": {1: 0.3}}).fastest == "onnxruntime"
    assert Timings({"openvino": {1: 0.3}}).fastest == "openvino"


def test_without_a_note_tuning_is_mentioned(tiny_bundle: Path) -> None:
    with Generator.open(tiny_bundle, threads=1) as generator:
        assert generator.describe()["backend"] == "onnxruntime"
        told = "; stylert tune BUNDLE finds the fastest of onnxruntime and openvino"
        assert generator.choice.endswith(told)


def test_what_was_noted_is_taken(tiny_bundle: Path, data: Path) -> None:
    path = note_timings(Bundle.open(tiny_bundle), FASTER, threads=2)
    assert path.parent == data
    note = json.loads(path.read_text())
    assert (note["fastest"], note["threads"]) == ("openvino", 2)
    with Generator.open(tiny_bundle, threads=1) as generator:
        assert generator.describe()["backend"] == "openvino"
        told = "openvino 1.50x at batch 1, 1.25x at batch 8"
        assert generator.choice.endswith(
            f"1 thread: auto, chosen by stylert tune, against onnxruntime: {told}"
        )
    note_timings(Bundle.open(tiny_bundle), MIXED, threads=2)
    with Generator.open(tiny_bundle, threads=1) as generator:
        assert generator.describe()["backend"] == "onnxruntime"
        assert "openvino 0.97x at batch 1, 2.00x at batch 8" in generator.choice


@pytest.mark.parametrize("options", [{"provider": "cpu"}, {"backend": "onnxruntime"}])
def test_what_is_asked_for_goes_first(tiny_bundle: Path, options: dict[str, str]) -> None:
    note_timings(Bundle.open(tiny_bundle), FASTER, threads=2)
    session, choice = open_session(Bundle.open(tiny_bundle), **options)
    assert session.describe()["backend"] == "onnxruntime"
    assert "tune" not in choice


def test_a_note_is_of_one_graph(tiny_bundle: Path, tmp_path: Path) -> None:
    note_timings(Bundle.open(tiny_bundle), FASTER, threads=2)
    moved = Path(shutil.copytree(tiny_bundle, tmp_path / "moved"))
    assert read_timings(Bundle.open(moved)) == FASTER
    manifest = json.loads((moved / MANIFEST).read_text())
    manifest["files"]["synthesis.onnx"]["sha256"] = "0" * 64
    (moved / MANIFEST).write_text(json.dumps(sealed(manifest)))
    assert read_timings(Bundle.open(moved, check_files=False)) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("processor_features", "another"), ("usable_cpus", 64)],
)
def test_a_note_is_of_one_machine(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    note_timings(Bundle.open(tiny_bundle), FASTER, threads=2)
    monkeypatch.setattr(tuned_choice, name, lambda: value)
    assert read_timings(Bundle.open(tiny_bundle)) is None


def test_a_note_is_of_these_versions(tiny_bundle: Path, versions: Callable[..., None]) -> None:
    note_timings(Bundle.open(tiny_bundle), FASTER, threads=2)
    versions(onnxruntime="1.31.1", openvino="2027.0.0")
    assert read_timings(Bundle.open(tiny_bundle)) is None
    versions(onnxruntime="1.31.1")
    assert choose_on_cpu(Bundle.open(tiny_bundle)) == ("onnxruntime", "")


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"[]",
        b'{"seconds": 3}',
        b'{"seconds": {}}',
        b'{"seconds": {"openvino": {"1": 0.1}}}',
        b'{"seconds": {"onnxruntime": {"1": 0.1}, "openvino": {"8": 0.1}}}',
        b'{"seconds": {"onnxruntime": {"1": -1}, "openvino": {"1": 0.1}}}',
        b'{"seconds": {"onnxruntime": {"1": "x"}, "openvino": {"1": 0.1}}}',
        b'{"seconds": {"onnxruntime": {}, "openvino": {}}}',
    ],
)
def test_a_damaged_note_is_none(tiny_bundle: Path, note: bytes) -> None:
    path = note_timings(Bundle.open(tiny_bundle), FASTER, threads=2)
    path.write_bytes(note)
    assert read_timings(Bundle.open(tiny_bundle)) is None
    with Generator.open(tiny_bundle, threads=1) as generator:
        assert "stylert tune" in generator.choice


def test_an_openvino_that_does_not_run_is_told(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise EngineError("no such luck")

    note_timings(Bundle.open(tiny_bundle), FASTER, threads=2)
    monkeypatch.setattr("stylert.runtime.backends.openvino.session.OpenVINOSession", fails)
    with Generator.open(tiny_bundle, threads=1) as generator:
        assert generator.describe()["backend"] == "onnxruntime"
        assert "does not run (no such luck)" in generator.choice


def test_without_onnxruntime(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylert.runtime.backends.onnxruntime_distribution", lambda: None)
    with Generator.open(tiny_bundle, threads=1) as generator:
        assert generator.describe()["backend"] == "openvino"
        assert generator.choice.endswith("auto, ONNX Runtime is not installed")

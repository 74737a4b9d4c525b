"""An engine is a program: one that this user did not build runs only where somebody says so."""

from __future__ import annotations

import shutil
import stat
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stylert
from stylert.runtime.backends.tensorrt.plans import Plan, list_plans
from stylert.runtime.backends.tensorrt.trust import UntrustedEngine, is_trusted, record_engine
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, StylertWarning

COMMANDS = (
    "stylert build-engine ",
    "pass trust_engines=True",
    "set STYLERT_TRUST_ENGINES=1",
)


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a record that is empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "stylert" / "engines"


@pytest.fixture
def gpu(installed: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The fake GPU is what a session opens."""
    where = "stylert.runtime.backends.tensorrt.session._open_device"
    monkeypatch.setattr(where, lambda index: installed.device)
    return installed


@pytest.fixture
def strangers(bundle_copy: Path, add_plans: Any, record: Path) -> Path:
    """A bundle with engines of somebody else's that would run here."""
    add_plans(bundle_copy, own=False)
    return bundle_copy


# --- What runs.


def test_asked_for_it_is_refused(gpu: Any, strangers: Path, refuses: Any) -> None:
    plan = next(plan for plan in list_plans(Bundle.open(strangers)) if plan.graph == "synthesis")
    words = (f"{plan.name} is not one that you built", *COMMANDS)
    with refuses(*words, error=UntrustedEngine):
        stylert.open(strangers, backend="tensorrt")
    assert gpu.world.loaded == []


def test_auto_passes_it_over_and_warns_once(gpu: Any, strangers: Path) -> None:
    choices = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            with stylert.open(strangers) as generator:
                choices.append(generator.choice)
    (warning,) = caught
    assert (warning.category, warning.filename) == (StylertWarning, __file__)
    told = (*COMMANDS, "On the command line: --trust-engines.")
    assert all(words in str(warning.message) for words in told)
    for choice in choices:
        assert choice.startswith("onnxruntime on cpu")
        assert choice.endswith("; its engines are not trusted")
    assert gpu.world.loaded == []


@pytest.mark.parametrize("backend", ["auto", "tensorrt"])
def test_the_callers_word(gpu: Any, strangers: Path, backend: str) -> None:
    with stylert.open(strangers, backend=backend, trust_engines=True) as generator:
        assert generator.describe()["backend"] == "tensorrt"


def test_the_word_of_the_environment(
    gpu: Any, strangers: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLERT_TRUST_ENGINES", "1")
    with stylert.open(strangers) as generator:
        assert generator.describe()["backend"] == "tensorrt"
    for no in ("", "0", "false", "no"):
        monkeypatch.setenv("STYLERT_TRUST_ENGINES", no)
        with refuses(*COMMANDS, error=UntrustedEngine):
            stylert.open(strangers, backend="tensorrt")


def test_ones_own_goes_before_a_better_one(gpu: Any, strangers: Path, add_plans: Any) -> None:
    own = add_plans(strangers, batches=((1, 1, 1),))
    with stylert.open(strangers, backend="tensorrt") as generator:
        assert generator.describe()["plans"] == [plan.name for plan in own]
    with stylert.open(strangers, backend="tensorrt", trust_engines=True) as generator:
        assert generator.max_batch == 4


@pytest.mark.parametrize("graph", ["mapping", "synthesis"])
def test_both_of_a_pair_are_to_be_trusted(
    gpu: Any, strangers: Path, add_plans: Any, refuses: Any, graph: str
) -> None:
    (own,) = (plan for plan in list_plans(Bundle.open(strangers)) if plan.graph == graph)
    (other,) = (plan for plan in list_plans(Bundle.open(strangers)) if plan.graph != graph)
    record_engine(own)
    with refuses(f"{other.name} is not one that you built", error=UntrustedEngine):
        stylert.open(strangers, backend="tensorrt")


def test_what_would_not_run_anyhow_is_told_first(gpu: Any, strangers: Path) -> None:
    gpu.new_device(compute_capability=(9, 0))
    with stylert.open(strangers) as generator:  # and no warning
        assert "was built for compute capability 8.9" in generator.choice
    with pytest.raises(EngineError, match=r"was built for compute capability 8\.9"):
        stylert.open(strangers, backend="tensorrt")


def test_another_engine_under_the_name_of_ones_own(
    gpu: Any, bundle_copy: Path, add_plans: Any, record: Path, refuses: Any
) -> None:
    """Neither the sidecar nor the name makes it another one than its bytes are."""
    _, synthesis = add_plans(bundle_copy)
    file = synthesis.file(Bundle.open(bundle_copy))
    file.write_bytes(file.read_bytes() + b" ")
    with refuses("was changed since it was built", error=EngineError):
        stylert.open(bundle_copy, backend="tensorrt")
    assert not any("synthesis" in onnx for onnx in gpu.world.loaded)


# --- The record.


@pytest.fixture
def plan(bundle_copy: Path, add_plans: Any) -> Plan:
    made: list[Plan] = add_plans(bundle_copy, own=False)
    return made[0]


def test_what_is_recorded(record: Path, plan: Plan) -> None:
    assert not is_trusted(plan)
    record_engine(plan)
    assert is_trusted(plan)
    assert not is_trusted(replace(plan, sha256="0" * 64))
    (file,) = record.iterdir()
    assert (file.name, file.read_text()) == (plan.sha256, f"{plan.name}\n")
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(record.stat().st_mode) == 0o700
    file.unlink()
    assert not is_trusted(plan)


def test_builds_at_once(record: Path, plan: Plan) -> None:
    plans = [replace(plan, sha256=f"{i % 100:064x}") for i in range(400)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(record_engine, plans))
    assert len(list(record.iterdir())) == 100
    assert all(map(is_trusted, plans))


@pytest.mark.parametrize(
    "sha256",
    [
        "",
        ".",
        "..",
        "../engines",
        "/etc/hostname",
        "0" * 63,
        "A" * 64,
        None,
        7,
        ["a"],
        "0" * 64 + "\n",
    ],
)
def test_a_sidecar_whose_hash_is_none(record: Path, plan: Plan, sha256: Any) -> None:
    record_engine(plan)
    (record / ("A" * 64)).touch()
    assert not is_trusted(replace(plan, sha256=sha256))


def test_a_user_without_a_home(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", home)
    assert not is_trusted(plan)
    assert is_trusted(plan, trust_engines=True)
    with pytest.raises(OSError, match="home directory"):
        record_engine(plan)


# --- The build.


def build(bundle: Path, **options: Any) -> tuple[Plan, list[str]]:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    from stylert.engines import build_engine

    lines: list[str] = []
    (plan,) = build_engine(
        bundle, compiler="tensorrt-rtx", sm="89", batch="1", graphs=("mapping",), say=lines.append
    )
    return plan, lines[1:]


def test_a_build_is_recorded(bundle_copy: Path, record: Path) -> None:
    plan, lines = build(bundle_copy)
    assert is_trusted(plan)
    assert lines == []
    assert build(bundle_copy) == (plan, [f"{plan.name} is up to date."])


def test_a_strangers_plan_is_not_taken_for_a_build(bundle_copy: Path, record: Path) -> None:
    """Else to build over it would trust it."""
    plan, _ = build(bundle_copy)
    shutil.rmtree(record)
    file = plan.file(Bundle.open(bundle_copy))
    stamp = file.stat().st_mtime_ns
    built, lines = build(bundle_copy)
    assert lines == [f"{plan.name} is there, but not one that you built: built again."]
    assert file.stat().st_mtime_ns != stamp
    assert is_trusted(built)


def test_a_record_that_cannot_be_written(bundle_copy: Path, record: Path) -> None:
    record.parent.mkdir(parents=True)
    record.write_text("no folder")
    plan, lines = build(bundle_copy)
    assert plan.file(Bundle.open(bundle_copy)).is_file()
    (line,) = lines
    assert line.startswith(f"{plan.name} cannot be recorded as yours (")
    assert line.endswith("open it with --trust-engines.")

"""The whole way from a bundle to plans, with the real TensorRT-RTX, which needs no GPU."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import tensorrt_rtx

from stylert.engines import build_engine, compiler
from stylert.runtime.backends.tensorrt.plans import Plan, list_plans
from stylert.runtime.bundle import ENGINES, HALF, Bundle, hash_file, sealed
from stylert.runtime.errors import EngineError

Refuses = Callable[..., AbstractContextManager[None]]
Left = Callable[[Path], list[str]]
GOLDENS = ("sg2-cond-32", "sg2-fp16-64")  # tests/test_every_golden.py builds them all
VERSION = tensorrt_rtx.__version__


def build(bundle: Path, **options: Any) -> list[Plan]:
    """Build for one batch and one card unless `options` say otherwise."""
    return build_engine(
        bundle, **({"compiler": "tensorrt-rtx", "sm": "89", "batch": "1"} | options)
    )


def mapping(bundle: Path, **options: Any) -> Plan:
    """Build the mapping alone, which takes the least time."""
    return build(bundle, graphs=("mapping",), **options)[0]


def said(bundle: Path, **options: Any) -> list[str]:
    """What a build of the mapping says after it has told its compiler."""
    lines: list[str] = []
    mapping(bundle, say=lines.append, **options)
    return lines[1:]


@pytest.mark.parametrize("name", GOLDENS)
def test_a_bundle_becomes_engines(
    name: str, bundle_of: Callable[[str], Path], tmp_path: Path, left: Left
) -> None:
    path = shutil.copytree(bundle_of(name), tmp_path / "bundle")
    built = build(path, batch="1,4,8")
    bundle = Bundle.open(path)
    assert list_plans(bundle) == sorted(built, key=lambda plan: plan.name)
    assert [plan.name for plan in built] == [
        f"tensorrt_rtx-{VERSION}-sm89-fp32-mapping-b1_4_8",
        f"tensorrt_rtx-{VERSION}-sm89-fp16-synthesis-b1_4_8-image",
    ]
    for plan, graph in zip(built, ("mapping", HALF), strict=True):
        data = plan.read(bundle)
        assert (len(data), plan.sha256) == (plan.size, hash_file(plan.file(bundle)))
        assert plan.onnx_sha256 == hash_file(bundle.file(graph))
        assert plan.batches == ((1, 1, 1), (4, 4, 4), (8, 8, 8))
        assert (plan.compute_capabilities, plan.gpu) == (("8.9",), None)
        assert plan.build_seconds > 0
        assert not plan.fp32_islands
    census = built[1].census["convolutions"]
    blocks = bundle.manifest["half"]["half_blocks"]
    assert census["HALF"] >= 3 * len(blocks)
    assert built[1].outputs == ("image",)
    assert built[0].outputs == ("ws",)
    assert len(left(path)) == 4


@pytest.mark.parametrize(
    ("options", "outputs", "batches", "census"),
    [
        ({"precision": "fp32", "output": "both", "batch": "1:2:4"},
         ("image", "img"), ((1, 2, 4),), {"FLOAT"}),
        ({"output": "img"}, ("img",), ((1, 1, 1),), {"HALF", "FLOAT"}),
    ],
)  # fmt: skip
def test_precision_outputs_and_batches_are_as_asked(
    own_bundle: Path,
    options: dict[str, Any],
    outputs: tuple[str, ...],
    batches: tuple[Any, ...],
    census: set[str],
) -> None:
    (plan,) = build(own_bundle, graphs=("synthesis",), **options)
    assert (plan.outputs, plan.batches) == (outputs, batches)
    assert set(plan.census["convolutions"]) == census
    assert ("HALF" in plan.census["tensors"]) == ("HALF" in census)


@pytest.mark.parametrize("batch", ["1", "1:4:8"])
def test_nothing_is_allocated_while_an_engine_runs(
    own_bundle: Path, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No CUDA graph can be captured otherwise."""
    configs = []
    make = compiler._make_config

    def keep(*arguments: Any) -> Any:
        configs.append(make(*arguments))
        return configs[-1]

    monkeypatch.setattr(compiler, "_make_config", keep)
    mapping(own_bundle, batch=batch)
    (config,) = configs
    assert config.get_flag(tensorrt_rtx.BuilderFlag.REQUIRE_USER_ALLOCATION)
    assert not config.get_flag(tensorrt_rtx.BuilderFlag.TF32)


def test_an_sm_that_the_builder_refuses(
    own_bundle: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would build for another one."""
    monkeypatch.setattr(tensorrt_rtx.IBuilderConfig, "set_compute_capability", lambda *_: False)
    with refuses(VERSION, "refuses compute capability 8.9", error=EngineError):
        mapping(own_bundle)


def test_one_plan_holds_for_all_sms(own_bundle: Path) -> None:
    plan = mapping(own_bundle, sm="120,86,89,86")
    assert plan.compute_capabilities == ("8.6", "8.9", "12.0")
    assert "-sm86_89_120-" in plan.name


def test_what_is_up_to_date_is_not_built_again(own_bundle: Path) -> None:
    first = mapping(own_bundle)
    stamp = first.file(Bundle.open(own_bundle)).stat().st_mtime_ns
    lines: list[str] = []
    assert mapping(own_bundle, say=lines.append) == first
    assert lines[1:] == [f"{first.name} is up to date."]
    assert first.file(Bundle.open(own_bundle)).stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    "change",
    [{"force": True}, {"batch": "2"}, {"batch": "1:1:2"}, {"sm": "86"}, {"optimization_level": 1}],
)
def test_what_was_asked_otherwise_is_built_again(own_bundle: Path, change: dict[str, Any]) -> None:
    mapping(own_bundle)
    assert said(own_bundle, **change) == []


def test_a_changed_plan_is_built_again(own_bundle: Path) -> None:
    plan = mapping(own_bundle)
    file = plan.file(Bundle.open(own_bundle))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert said(own_bundle) == []
    assert list_plans(Bundle.open(own_bundle))[0].read(Bundle.open(own_bundle))


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"schema": 2}'])
def test_a_damaged_sidecar_is_replaced(own_bundle: Path, damage: bytes) -> None:
    plan = mapping(own_bundle)
    file = plan.file(Bundle.open(own_bundle))
    file.with_suffix(".json").write_bytes(damage)
    assert said(own_bundle) == []
    assert len(list_plans(Bundle.open(own_bundle))) == 1


def test_a_changed_graph_is_built_again(own_bundle: Path, bundle_of: Callable[[str], Path]) -> None:
    old = mapping(own_bundle)
    other = bundle_of("sg2-orig-32")
    manifest = json.loads((own_bundle / "manifest.json").read_text())
    manifest["files"]["mapping.onnx"] = Bundle.open(other).manifest["files"]["mapping.onnx"]
    shutil.copy(other / "mapping.onnx", own_bundle)
    (own_bundle / "manifest.json").write_text(json.dumps(sealed(manifest)))
    new = mapping(own_bundle)
    assert new.name == old.name
    assert new.onnx_sha256 == hash_file(other / "mapping.onnx") != old.onnx_sha256


# In a process of its own: where dozens of other libraries are loaded, as in a worker of the tests,
# a cancelled build of TensorRT-RTX 1.7.1 has ended the process with SIGSEGV, twice in whole runs.
# By itself it did not in 130 builds.
CTRL_C = """
import signal, sys
from stylert.engines import build_engine

def press(stage, done, total):
    if stage.startswith(sys.argv[2]):
        print(stage, flush=True)
        signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
options = {"compiler": "tensorrt-rtx", "sm": "89", "batch": "1,2,3,4,5,6,7,8", "force": True}
try:
    build_engine(sys.argv[1], progress=press, **options)
except KeyboardInterrupt:
    print("interrupted")
"""


def interrupt_build(bundle: Path, stage: str) -> list[str]:
    """Press Ctrl-C when a stage that begins so is told: what was told, and how it ended."""
    command = [sys.executable, "-c", CTRL_C, str(bundle), stage]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_ctrl_c_cancels_the_builder_and_leaves_nothing(own_bundle: Path, left: Left) -> None:
    stage, end = interrupt_build(own_bundle, "synthesis")
    assert stage.startswith("synthesis: ")
    assert end == "interrupted"
    assert left(own_bundle) == []


def test_ctrl_c_keeps_the_older_engine(own_bundle: Path, left: Left) -> None:
    plan = mapping(own_bundle)
    assert interrupt_build(own_bundle, "")[-1] == "interrupted"
    assert left(own_bundle) == [f"{plan.name}.json", f"{plan.name}.plan"]
    assert said(own_bundle) == [f"{plan.name} is up to date."]


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_full_disk_leaves_no_half_engine(
    own_bundle: Path, left: Left, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    calls = 0
    replace = Path.replace

    def fail(path: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr("stylert.engines.compiler.run_builder", lambda *_: b"plan")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        build(own_bundle)
    plans = list_plans(Bundle.open(own_bundle))
    assert left(own_bundle) == sorted(
        f"{plan.name}{suffix}" for plan in plans for suffix in (".json", ".plan")
    )
    assert len(plans) == (call - 1) // 2
    assert all(plan.read(Bundle.open(own_bundle)) for plan in plans)


def test_a_float32_graph_offered_as_half_is_refused(
    own_bundle: Path, left: Left, refuses: Refuses
) -> None:
    manifest = json.loads((own_bundle / "manifest.json").read_text())
    shutil.copy(own_bundle / "synthesis.onnx", own_bundle / "synthesis.fp16.onnx")
    manifest["files"]["synthesis.fp16.onnx"] = manifest["files"]["synthesis.onnx"]
    del manifest["half"]
    (own_bundle / "manifest.json").write_text(json.dumps(sealed(manifest)))
    with refuses("synthesis.fp16.onnx", "0 convolutions", "fp16", error=EngineError):
        build(own_bundle)
    assert left(own_bundle) == []


def test_what_the_builder_says_is_passed_on(own_bundle: Path, left: Left, refuses: Refuses) -> None:
    words = ("TensorRT-RTX", VERSION, "synthesis.fp16.onnx", "workspace")
    with refuses(*words, error=EngineError):
        build(own_bundle, workspace=1024)
    assert left(own_bundle) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sm": "90"}, ("SM '90'", "80, 86, 89, 120, 121", "compiler='tensorrt'")),
        ({"sm": "89,100"}, ("SM '100'",)),
        ({"sm": "75"}, ("SM '75'",)),
        ({"sm": "8.9"}, ("SM '8.9'",)),
        ({"sm": "89,"}, ("SM ''",)),
        ({"sm": ""}, ("sm: got none", "sm='86,89,120'")),
        ({"refittable": True}, ("refittable=True", "compiler='tensorrt'")),
        ({"version_compatible": True}, ("version_compatible=True", "compiler='tensorrt'")),
        ({"hardware_compatible": True}, ("hardware_compatible=True", "sm='86,89'")),
        ({"batch": "0"}, ("batch", "'0'")),
        ({"precision": "bf16"}, ("precision", "'bf16'")),
        ({"output": "jpeg"}, ("output", "'jpeg'")),
        ({"compiler": "tvm"}, ("compiler", "'tvm'", "auto", "tensorrt-rtx")),
    ],
)
def test_wrong_requests_are_refused_in_one_line(
    own_bundle: Path,
    left: Left,
    refuses: Refuses,
    options: dict[str, Any],
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stylert.engines.tensorrt_rtx.visible_gpus", list)
    with refuses(*words):
        build(own_bundle, **options)
    assert left(own_bundle) == []
    assert not (own_bundle / ENGINES).exists()

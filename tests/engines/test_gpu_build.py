"""Builds with the real TensorRT, on machines that have it and a GPU."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylert.engines import build_engine
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.tensorrt_log import tensorrt_logger
from stylert.runtime.bundle import Bundle

pytestmark = pytest.mark.gpu("cuda", "tensorrt")


@pytest.fixture(scope="module")
def trt() -> Any:
    return importlib.import_module("tensorrt")


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches"


def build(bundle: Path, **options: Any) -> list[Plan]:
    return build_engine(bundle, **({"compiler": "tensorrt", "batch": "1,2"} | options))


def load(trt: Any, plan: Plan, bundle: Path) -> Any:
    runtime = trt.Runtime(tensorrt_logger(trt))
    runtime.engine_host_code_allowed = bool(plan.options["version_compatible"])
    engine = runtime.deserialize_cuda_engine(plan.read(Bundle.open(bundle)))
    assert engine is not None, tensorrt_logger(trt).reason
    return engine


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": "fp32", "output": "both", "batch": "1:2:4"},
        {"output": "img", "optimization_level": 1, "workspace": 1 << 30},
        {"refittable": True},
        {"version_compatible": True},
        {"hardware_compatible": True},
    ],
    ids=str,
)
def test_plans_load_with_what_was_asked_for(
    trt: Any, own_bundle: Path, options: dict[str, Any]
) -> None:
    for plan in build(own_bundle, **options):
        engine = load(trt, plan, own_bundle)
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        outputs = {n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.OUTPUT}
        assert outputs == set(plan.outputs)
        assert engine.num_optimization_profiles == len(plan.batches)
        assert engine.refittable == bool(options.get("refittable"))


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_the_engines_layers_have_the_precision_of_the_graph(
    trt: Any, own_bundle: Path, precision: str
) -> None:
    (plan,) = build(own_bundle, precision=precision, graphs=("synthesis",))
    inspector = load(trt, plan, own_bundle).create_engine_inspector()
    layers = json.dumps(json.loads(inspector.get_engine_information(
        trt.LayerInformationFormat.JSON
    )))  # fmt: skip
    # 11.x writes "Half"; 10.x that only of fused layers, and "FP16 format" of convolutions.
    assert ("Half" in layers or "FP16" in layers) == (precision == "fp16")


def test_the_second_build_takes_the_timings_of_the_first(
    own_bundle: Path, trt: Any, caches: Path
) -> None:
    build(own_bundle)
    (file,) = caches.rglob("*.timing")
    size = file.stat().st_size
    assert size > 0
    build(own_bundle, force=True)
    assert size <= file.stat().st_size < 1.5 * size  # a few tactics may be new, not all of them


def test_ctrl_c_cancels_and_leaves_nothing(
    own_bundle: Path, trt: Any, left: Callable[[Path], list[str]]
) -> None:
    def press(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(own_bundle, optimization_level=5, progress=press)
    assert left(own_bundle) == []

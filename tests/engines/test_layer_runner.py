"""Engines that give their layers: a real build of TensorRT-RTX, and what its runner hands on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorrt_rtx
from polygraphy.backend.onnx import BytesFromOnnx, ModifyOutputs, OnnxFromPath
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx

from stylert.engines.layer_runner import build_layer_plan, make_layer_runner
from stylert.export.checkpoints import read_checkpoint
from stylert.export.layers import compare_layers
from stylert.export.layers.runners import quiet
from stylert.runtime.backends.graph_forms import find_engine_graph
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError

UNFUSED = ["*/clamp", "*/lrelu", "*/add", "img", "ws"]


def make_plan(graph: str = "synthesis", precision: str = "fp16", **changes: Any) -> Plan:
    plan = Plan(
        name=f"engine-of-{graph}",
        compiler="tensorrt_rtx",
        version=tensorrt_rtx.__version__,
        graph=graph,
        precision=precision,
        compute_capabilities=("8.9",),
        gpu=None,
        batches=((1, 1, 1),),
        outputs=("img",),
        onnx_sha256="",
        sha256="",
        size=0,
    )
    return replace(plan, **changes)


@pytest.fixture
def bundle(bundle_of: Callable[[str], Path]) -> Bundle:
    return Bundle.open(bundle_of("sg2-nhwc-32"))


def test_tensorrt_rtx_builds_it_with_its_layers_marked(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_layer_runner(bundle, make_plan(), {})  # has Polygraphy drive TensorRT-RTX
    from polygraphy.backend import trt

    configs: list[Any] = []
    build = trt.engine_bytes_from_network

    def watch(network: Any, config: Any) -> Any:
        builder, parsed, parser = network
        configs.append(config(builder, parsed))
        return build((builder, parsed, parser), config)

    monkeypatch.setattr(trt, "engine_bytes_from_network", watch)
    with quiet():
        data = bytes(build_layer_plan(bundle, make_plan()))
    for layer in ("b8.conv0", "b16.conv1", "b32.conv1"):
        assert f"{layer}/clamp".encode() in data
    assert not configs[0].get_flag(tensorrt_rtx.BuilderFlag.TF32)


class FakeRunner(OnnxrtRunner):  # type: ignore[misc]
    """In the place of TrtRunner: ONNX Runtime gives some of the tensors."""

    wrong = ""  # a layer that it draws wrongly

    def __init__(self, load: Any, name: str) -> None:
        bundle, plan = load.args
        graph = find_engine_graph(bundle, plan.graph, plan.precision)
        model = OnnxFromPath(str(bundle.file(graph)))()
        names = {value for node in model.graph.node for value in node.output}
        kept = [n for n in names if any(n.endswith(end.removeprefix("*")) for end in UNFUSED)]
        super().__init__(SessionFromOnnx(BytesFromOnnx(ModifyOutputs(model, outputs=kept))), name)

    def infer_impl(self, feed_dict: Any) -> dict[str, np.ndarray]:
        got: dict[str, np.ndarray] = super().infer_impl(feed_dict)
        return {
            name: array * 1.1 if name.startswith(f"{self.wrong}/") else array
            for name, array in got.items()
        }


@pytest.mark.parametrize("wrong", ["", "b16.conv0"])
def test_engine_onnx_runtime_and_reference_are_compared(
    bundle: Bundle, goldens: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    with quiet():
        make_layer_runner(bundle, make_plan(), {})  # has Polygraphy drive TensorRT-RTX
    monkeypatch.setattr("polygraphy.backend.trt.TrtRunner", FakeRunner)
    monkeypatch.setattr(FakeRunner, "wrong", wrong)
    engines = {
        "mapping": ("fp32", partial(make_layer_runner, bundle, make_plan("mapping", "fp32"))),
        "synthesis": ("fp16", partial(make_layer_runner, bundle, make_plan())),
    }
    checkpoint = read_checkpoint(goldens / "sg2-nhwc-32.pkl")
    report = compare_layers(bundle, checkpoint, threads=1, engines=engines)
    assert report.columns == ("fp32", "engine", "fp16")
    seen = {row.layer for row in report.rows if "engine" in row.found}
    assert {"fc0", "ws", "b8.conv0", "b32.conv1", "img"} <= seen
    assert "b8.upsample" not in seen  # fused away
    first = report.find_first("engine")
    assert (first.layer if first else "") == wrong
    assert report.find_first("fp16") is None


def test_polygraphy_drives_one_compiler_in_a_process(
    bundle: Bundle, refuses: Callable[..., AbstractContextManager[None]]
) -> None:
    make_layer_runner(bundle, make_plan(), {})
    with refuses("here it is not tensorrt", "in a new process", error=EngineError):
        make_layer_runner(bundle, make_plan(compiler="tensorrt"), {})


def test_islands_are_told(
    bundle: Bundle, refuses: Callable[..., AbstractContextManager[None]]
) -> None:
    with refuses("float32 islands (b8.conv0/conv)", error=EngineError):
        make_layer_runner(bundle, make_plan(fp32_islands=("b8.conv0/conv",)), {})

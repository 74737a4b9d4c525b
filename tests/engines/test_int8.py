"""INT8 engines of the real TensorRT-RTX: every convolution is an integer one, or it is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorrt_rtx as trt

from stylert.engines import build_engine, parsed_graph
from stylert.engines.built_layers import BuiltLayer, count_types, find_not_int8, read_layers
from stylert.engines.parsed_graph import ParsedGraph
from stylert.runtime.backends.tensorrt.tensorrt_log import tensorrt_logger
from stylert.runtime.bundle import ENGINES, INT8, Bundle
from stylert.runtime.errors import EngineError

Refuses = Callable[..., Any]


@pytest.fixture
def own_bundle(int8_bundle: Path, tmp_path: Path) -> Path:
    """16x16, all of it in INT8, a test's own."""
    return shutil.copytree(int8_bundle, tmp_path / "bundle")


def build(path: Path, **options: Any) -> Any:
    wanted = {"compiler": "tensorrt-rtx", "sm": "86,89,120", "batch": "1", "precision": "int8"}
    (plan,) = build_engine(path, graphs=("synthesis",), **(wanted | options))
    return plan


def test_all_convolutions_are_integer_ones_for_all_cards(own_bundle: Path) -> None:
    plan = build(own_bundle)
    assert plan.precision == "int8"
    assert "-sm86_89_120-int8-synthesis-" in plan.name
    census = plan.census["convolutions"]
    assert census["INT8"] == 5  # three convolutions, and two that upsample
    assert set(census) == {"INT8", "FLOAT"}  # filters, and those to RGB
    assert plan.read(Bundle.open(own_bundle))


def test_an_up_convolution_that_is_computed_in_float32_is_no_int8(
    own_bundle: Path, monkeypatch: pytest.MonkeyPatch, refuses: Refuses
) -> None:
    monkeypatch.setattr(parsed_graph, "lay_out", lambda data: data)  # the bundle's own form
    with refuses("b8.conv0/conv, b16.conv0/conv", "8 bits", "fp16", error=EngineError):
        build(own_bundle, sm="89")
    assert not list((own_bundle / ENGINES).glob("*.plan"))


def test_a_graph_in_8_bits_is_none_in_float32(int8_bundle: Path, refuses: Refuses) -> None:
    bundle = Bundle.open(int8_bundle)

    def parse(graph: str, precision: str) -> ParsedGraph:
        logger = tensorrt_logger(trt)
        return ParsedGraph(trt, trt.Builder(logger), logger, bundle.file(graph), precision)

    quantised = parse(INT8, "int8")
    quantised.check_precision("int8")
    assert len(quantised.list_quantised()) == 5
    for precision in ("fp32", "fp16"):
        with refuses(
            "10 layers with values in 8 bits", f"none in an {precision}", error=EngineError
        ):
            parse(INT8, precision).check_precision(precision)
    with refuses("0 layers with values in 8 bits", "expected some", error=EngineError):
        parse("synthesis", "int8").check_precision("int8")


def test_a_file_that_is_no_onnx_is_the_parsers_to_refuse(tmp_path: Path, refuses: Refuses) -> None:
    path = tmp_path / "synthesis.int8.onnx"
    path.write_bytes(b"\xff" * 100)
    logger = tensorrt_logger(trt)
    with refuses("synthesis.int8.onnx", "parser refuses", error=EngineError):
        ParsedGraph(trt, trt.Builder(logger), logger, path, "int8")


def test_what_cannot_be_built_is_refused(
    plain_bundle: Path, int8_bundle: Path, refuses: Refuses
) -> None:
    with refuses("no synthesis.int8.onnx", "stylert quantize BUNDLE"):
        build(plain_bundle)
    with refuses("refittable", "precision='int8'"):
        build(int8_bundle, refittable=True)


LINES = """Layers:
Name: a, LayerType: kgen, Inputs: [ { Name: x, Datatype: Int8, Format: () }], Outputs: []
Name: b, LayerType: correlation, Inputs: [ { Name: x, Datatype: Int8, Format: () }], Constants: [ \
{ Name: y, Datatype: Int8 }], Outputs: [], Metadata: [ONNX Layer: b8.conv1/conv][ONNX Layer: step]
Name: c, LayerType: deconv, Inputs: [ { Name: x, Datatype: Float, Format: () }], Constants: [ \
{ Name: y, Datatype: Int8 }], Outputs: [], Metadata: [ONNX Layer: b8.conv0/conv]
Name: d, LayerType: correlation, Inputs: [], Outputs: [ { Name: x, Datatype: Int8 }], Metadata: []
no layer
"""


def test_lines_are_read() -> None:
    layers = read_layers([LINES])
    assert layers == [
        BuiltLayer("kgen", "INT8", ()),
        BuiltLayer("correlation", "INT8", ("b8.conv1/conv", "step")),
        BuiltLayer("deconv", "FLOAT", ("b8.conv0/conv",)),
        BuiltLayer("correlation", "", ()),
    ]
    assert count_types(layers) == {"INT8": 1, "FLOAT": 1, "": 1}
    nodes = ["b8.conv1/conv", "b8.conv0/conv", "b8"]
    assert find_not_int8(layers, nodes) == ["b8.conv0/conv", "b8"]
    float_too = [*layers, BuiltLayer("correlation", "FLOAT", ("b8.conv1/conv",))]
    assert find_not_int8(float_too, nodes[:1]) == nodes[:1]

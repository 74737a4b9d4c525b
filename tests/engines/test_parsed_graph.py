from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorrt_rtx as trt
from onnx import TensorProto, helper

from stylert.engines.building import run_builder
from stylert.engines.parsed_graph import ParsedGraph
from stylert.export.checkpoints import read_checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.export.weight_rounding import list_forms, round_weights
from stylert.runtime.backends.tensorrt.tensorrt_log import tensorrt_logger
from stylert.runtime.errors import EngineError

Refuses = Callable[..., AbstractContextManager[None]]
SaveOnnx = Callable[..., Path]
KERNEL = np.ones((4, 4, 1, 1))


def parse(path: Path) -> ParsedGraph:
    logger = tensorrt_logger(trt)
    return ParsedGraph(trt, trt.Builder(logger), logger, path)


def build(parsed: ParsedGraph) -> Any:
    config = parsed.builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    config.add_optimization_profile(parsed.make_profile((1, 1, 1)))
    return run_builder(trt, parsed.builder, parsed.network, config, lambda *_: None)


@pytest.fixture
def half(bundle_of: Callable[[str], Path]) -> ParsedGraph:
    return parse(bundle_of("sg2-nhwc-32") / "synthesis.fp16.onnx")


def cast(source: str, target: str, to: int) -> Any:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=to)


def test_mixed_types_are_refused_with_the_nodes_name(save_onnx: SaveOnnx, refuses: Refuses) -> None:
    path = save_onnx(
        [
            cast("x", "half", TensorProto.FLOAT16),
            helper.make_node("Mul", ["half", "x"], ["y"], name="b8.conv0/mix"),
        ]
    )
    words = ("test.onnx", "'b8.conv0/mix'", "Mul", "Half and Float")
    with refuses(*words, error=EngineError):
        parse(path)


def test_an_unknown_operator_is_refused_with_the_nodes_name(
    save_onnx: SaveOnnx, refuses: Refuses
) -> None:
    path = save_onnx([helper.make_node("Det", ["x"], ["y"], name="b8.conv0/det")])
    with refuses("test.onnx", "'b8.conv0/det'", "Det", error=EngineError):
        parse(path)


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path, refuses: Refuses) -> None:
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with refuses("junk.onnx", error=EngineError):
        parse(tmp_path / "junk.onnx")


def test_a_missing_output_is_refused(half: ParsedGraph, refuses: Refuses) -> None:
    with refuses("synthesis.fp16.onnx", "'picture'", error=EngineError):
        half.keep_outputs(("picture",))


def test_the_census_counts_what_the_parser_made(save_onnx: SaveOnnx) -> None:
    path = save_onnx(
        [
            helper.make_node("Conv", ["x", "k32"], ["a"], name="first"),
            cast("a", "half", TensorProto.FLOAT16),
            helper.make_node("Conv", ["half", "k16"], ["b"], name="second"),
            helper.make_node("ConvTranspose", ["b", "k16"], ["c"], name="third"),
            cast("c", "y", TensorProto.FLOAT),
        ],
        k32=KERNEL.astype(np.float32),
        k16=KERNEL.astype(np.float16),
    )
    census = parse(path).count_types()
    assert census["convolutions"] == {"FLOAT": 1, "HALF": 2}
    assert census["tensors"]["HALF"] == 3
    assert census["tensors"]["FLOAT"] == 2


def test_a_half_graph_passes_as_fp16_only(half: ParsedGraph, refuses: Refuses) -> None:
    half.check_precision("fp16", ("b8", "b16", "b32"))
    with refuses("12 convolutions", "expected none", "fp32", error=EngineError):
        half.check_precision("fp32")


def test_a_float32_graph_passes_as_fp32_only(
    bundle_of: Callable[[str], Path], refuses: Refuses
) -> None:
    parsed = parse(bundle_of("sg2-nhwc-32") / "synthesis.onnx")
    parsed.check_precision("fp32", ("b8", "b16", "b32"))
    with refuses("0 convolutions", "expected some", "fp16", error=EngineError):
        parsed.check_precision("fp16")
    with refuses("b8.conv0/conv", "FLOAT", "HALF", error=EngineError):
        parsed.check_precision("fp16", ("b8",))


def test_one_float32_block_among_those_that_must_be_half_is_refused(
    half: ParsedGraph, refuses: Refuses
) -> None:
    half.check_precision("fp16", ("b16", "b32"))
    with refuses("b4.conv1/conv", "FLOAT", error=EngineError):
        half.check_precision("fp16", ("b4", "b8"))


def test_weights_that_are_stored_as_half_are_kernels_of_float32(half: ParsedGraph) -> None:
    """No layer casts them: a kernel that is computed would have other implementations."""
    layers = list(half._list_layers())
    constants = {
        layer.get_output(0).name
        for layer in layers
        if layer.type == trt.LayerType.CONSTANT and layer.get_output(0).dtype == trt.DataType.HALF
    }
    casts = {layer.get_input(0).name for layer in layers if layer.type == trt.LayerType.CAST}
    assert constants
    assert not casts & constants
    kernels = {layer.name: (layer.kernel, layer.num_inputs) for layer in half._list_convolutions()}
    assert all(kernel.size and inputs == 1 for kernel, inputs in kernels.values())
    stored = kernels["b4.conv1/conv"][0]
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, stored.astype(np.float16))


def test_weights_that_are_stored_as_integers_are_kernels_of_float32(
    goldens: Path, tmp_path: Path
) -> None:
    checkpoint = round_weights(read_checkpoint(goldens / "sg2-fp16-64.pkl"), "int8")
    build_synthesis_graph(checkpoint).save(tmp_path / "synthesis.onnx", pack=list_forms("int8"))
    parsed = parse(tmp_path / "synthesis.onnx")
    kernels = {
        layer.name: (layer.kernel, layer.num_inputs) for layer in parsed._list_convolutions()
    }
    assert all(kernel.dtype == np.float32 and inputs == 1 for kernel, inputs in kernels.values())
    weight = checkpoint.tensors["synthesis.b8.conv1.weight"]
    stored = kernels["b8.conv1/conv"][0].reshape(weight.shape)
    np.testing.assert_allclose(stored, weight, rtol=1e-6)
    assert not [layer for layer in parsed._list_layers() if layer.type == trt.LayerType.REDUCE]
    parsed.check_precision("fp32")
    assert build(parsed)


def test_noise_is_one_for_all_or_one_each_in_every_profile(half: ParsedGraph) -> None:
    profile = half.make_profile((2, 4, 8))
    assert [next(iter(shape)) for shape in profile.get_shape("ws")] == [2, 4, 8]
    assert [tuple(shape) for shape in profile.get_shape("noise_b8_conv0")] == [
        (1, 1, 8, 8),
        (1, 1, 8, 8),
        (8, 1, 8, 8),
    ]


def test_the_one_map_of_all_layers_is_noise_too(bundle_of: Callable[[str], Path]) -> None:
    profile = parse(bundle_of("field/luci16") / "synthesis.onnx").make_profile((2, 4, 8))
    assert [next(iter(shape)) for shape in profile.get_shape("noise")] == [1, 1, 8]


def test_islands_compute_in_float32_and_the_graph_still_builds(half: ParsedGraph) -> None:
    before = half.count_types()["convolutions"]
    islands = ["b8.conv0/filter", "b16.conv0/conv"]  # a grouped and a transposed one
    for name in islands:
        half.make_island(name)
    after = half.count_types()["convolutions"]
    assert after == {"FLOAT": before["FLOAT"] + 2, "HALF": before["HALF"] - 2}
    half.check_precision("fp16")  # their weights, inputs and outputs are of one type each
    assert half.find_half_convolutions(" ".join(islands)) == []
    assert build(half) is not None


def test_an_island_keeps_the_weights_and_the_connections(half: ParsedGraph) -> None:
    def convolution() -> Any:
        return next(layer for layer in half._list_convolutions() if layer.name == "b8.conv1/conv")

    def users(tensor: str) -> list[str]:
        return [layer.name for layer, _ in half._find_uses(tensor)]

    layer = convolution()
    weights, source, output = (np.array(layer.kernel), layer.get_input(0).name, layer.get_output(0))
    used_by = users(output.name)
    assert used_by
    half.make_island(layer.name)
    layer = convolution()
    np.testing.assert_array_equal(layer.kernel, weights.astype(np.float32))
    assert users(layer.get_output(0).name) == ["b8.conv1/conv/mainland"]
    casts = {
        layer.name: layer
        for layer in half._list_layers()
        if layer.name in ("b8.conv1/conv/island", "b8.conv1/conv/mainland")
    }
    assert casts["b8.conv1/conv/island"].get_input(0).name == source
    assert users(casts["b8.conv1/conv/mainland"].get_output(0).name) == used_by


# As in NVIDIA/TensorRT issue 4838.
NO_KERNEL = (
    "No low-precision conv kernel available for this strongly-typed Conv/ConvTranspose. "
    "Failing node: {0} IBuilder::buildSerializedNetworkToStream: Error Code 10: Internal Error "
    "(Could not find any implementation for node {0}. In computeCosts at "
    "/_src/optimizer/common/tactic/optimizer.cpp:4211)"
)
FUSED = "node {ForeignNode[b8.conv0/conv...b32.torgb/conv + PWN(b32.torgb/add_bias)]}.)"


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (NO_KERNEL.format("b16.conv0/filter"), ["b16.conv0/filter"]),
        (FUSED, ["b8.conv0/conv", "b32.torgb/conv"]),
        ("no tactics to implement b16_conv1/conv'_before_bias.1-(f16[1,32]", ["b16.conv1/conv"]),
        ("node b16.conv0/filter_weight, xb16.conv0/conv, b16.conv0/conv/x", []),
        ("node b4.conv1/conv, which is float32 already", []),
    ],
)
def test_messages_are_searched_for_half_convolutions(
    half: ParsedGraph, message: str, names: list[str]
) -> None:
    assert half.find_half_convolutions(message) == names


def test_the_weights_of_islands_outlive_the_call(half: ParsedGraph) -> None:
    half.make_island("b8.conv1/conv")
    layer = next(layer for layer in half._list_convolutions() if layer.name == "b8.conv1/conv")
    address = layer.kernel.ctypes.data
    kept = half._weights[-1]
    assert address == kept.ctypes.data
    first = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))[0]
    assert first == kept.flat[0]

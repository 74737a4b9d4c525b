"""The same integers in another form draw the same pictures; small ones are as small as said."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from stylert.runtime.backends.int8_layout import lay_out
from stylert.runtime.bundle import INT8, Bundle


@pytest.fixture(scope="module")
def feeds_of_int8(int8_bundle: Path) -> dict[str, np.ndarray]:
    """For two images."""
    bundle = Bundle.open(int8_bundle)
    shape = (2, bundle.spec.num_ws, bundle.spec.w_dim)
    ws = np.random.RandomState(2).randn(*shape).astype(np.float32)
    return {"ws": ws, **bundle.read_noise()}


def run(data: bytes, feeds: dict[str, np.ndarray], output: str) -> np.ndarray:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    drawn: np.ndarray = session.run([output], feeds)[0]
    return drawn


def test_a_bundles_graph(int8_bundle: Path, feeds_of_int8: dict[str, np.ndarray]) -> None:
    data = Bundle.open(int8_bundle).file(INT8).read_bytes()
    laid_out = lay_out(data)
    model = onnx.load_model_from_string(laid_out)
    onnx.checker.check_model(model, full_check=True)
    quantised = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    kinds = Counter(n.op_type for n in model.graph.node if n.input and n.input[0] in quantised)
    assert kinds == {"Conv": 5}
    assert [n.op_type for n in model.graph.node].count("DepthToSpace") == 2
    assert "Slice" not in {n.op_type for n in model.graph.node if n.name.endswith("/cut")}
    expected, got = (run(d, feeds_of_int8, "img") for d in (data, laid_out))
    assert np.abs(expected - got).max() < 0.1 * np.ptp(expected)  # roundings flip
    assert np.abs(expected - got).mean() < 1e-3
    stored = [numpy_helper.to_array(t) for t in model.graph.initializer]
    assert max(np.abs(array.astype(int)).max() for array in stored if array.dtype == np.int8) == 127


def test_small_weights(int8_bundle: Path, feeds_of_int8: dict[str, np.ndarray]) -> None:
    data = Bundle.open(int8_bundle).file(INT8).read_bytes()
    small = lay_out(data, most=63)
    stored = [
        numpy_helper.to_array(t) for t in onnx.load_model_from_string(small).graph.initializer
    ]
    assert max(np.abs(array.astype(int)).max() for array in stored if array.dtype == np.int8) == 63
    expected, got = (run(d, feeds_of_int8, "img") for d in (data, small))
    error = np.sqrt(np.square(expected - got).mean()) / np.std(expected)
    assert 1e-4 < error < 0.05


def make_up_convolution(**changes: Any) -> bytes:
    """A graph with one integer transposed convolution, and nothing behind it."""
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], **changes}
    random = np.random.RandomState(0)
    integers = random.randint(-127, 128, (5, 6, 3, 3)).astype(np.int8)
    steps = (random.rand(6) + 0.5).astype(np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["integers", "steps"], ["weight"], axis=1),
        helper.make_node("ConvTranspose", ["x", "weight"], ["y"], name="up", **attributes),
    ]
    constants = {"integers": integers, "steps": steps}
    graph = helper.make_graph(
        nodes,
        "up",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 5, 4, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def test_one_with_no_padding_behind_it_is_cut() -> None:
    data = make_up_convolution()
    x = np.random.RandomState(1).randn(1, 5, 4, 3).astype(np.float32)
    expected, got = (run(d, {"x": x}, "y") for d in (data, lay_out(data)))
    assert got.shape == (1, 6, 9, 7)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)
    (cut,) = (
        n for n in onnx.load_model_from_string(lay_out(data)).graph.node if n.op_type == "Slice"
    )
    assert cut.output == ["y"]


@pytest.mark.parametrize("changes", [{"strides": [1, 1]}, {"pads": [1, 1, 1, 1]}, {"group": 5}])
def test_another_form_stays_as_it_is(changes: dict[str, Any]) -> None:
    data = make_up_convolution(**changes)
    kinds = [node.op_type for node in onnx.load_model_from_string(lay_out(data)).graph.node]
    assert kinds == ["DequantizeLinear", "ConvTranspose"]


def test_what_is_no_onnx_is_said() -> None:
    with pytest.raises(ValueError, match="no protobuf"):
        lay_out(b"\xff" * 20)

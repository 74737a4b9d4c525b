"""Each op of the stand-in, and whole graphs of bundles, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.untrained import make_untrained
from stylert.runtime.proof.parity import compare

RANDOM = np.random.RandomState(0)
X = RANDOM.randn(2, 4, 6, 5).astype(np.float32)
Y = RANDOM.randn(4, 1, 5).astype(np.float32)
INTS = np.array([[3, -7, 2], [1, 5, -4]], np.int64)
PARTS = np.array([2, 4], np.int64)
BYTES = RANDOM.randint(-128, 128, (3, 4)).astype(np.int8)


def weight(*shape: int) -> np.ndarray:
    return RANDOM.randn(*shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def float32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def scalar(value: float) -> np.ndarray:
    return np.array(value, np.float32)


ASYMMETRIC = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}
ALIGNED = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
# op, its inputs (the first is fed, the others are constants of the graph), its attributes
CASES: list[tuple[str, list[np.ndarray | None], dict[str, Any]]] = [
    *((name, [X], {}) for name in (
        "Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity", "Neg", "Reciprocal", "Relu",
        "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Tanh", "Softmax", "LeakyRelu", "Flatten",
        "Transpose",
    )),
    *((name, [np.abs(X)], {}) for name in ("Log", "Sqrt")),
    *((name, [X, Y], {}) for name in (
        "Add", "Sub", "Mul", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
    )),
    *((name, [X > 0, Y > 0], {}) for name in ("And", "Or")),
    ("Not", [X > 0], {}),
    ("Div", [INTS, ints(2, 3, -3)], {}),
    ("Pow", [np.abs(X), float32(2.5)], {}),
    ("Pow", [X, ints(2)], {}),
    ("Where", [X > 0, Y, float32(2)], {}),
    *((name, [X, Y, float32(0.1)], {}) for name in ("Max", "Min", "Sum")),
    ("Cast", [X * 100], {"to": TensorProto.INT32}),
    ("Cast", [X], {"to": TensorProto.FLOAT16}),
    ("Clip", [X, scalar(-0.5), scalar(0.25)], {}),
    ("Clip", [X, None, scalar(0.25)], {}),
    ("LeakyRelu", [X], {"alpha": 0.2}),
    ("Softmax", [X], {"axis": 1}),
    ("ArgMax", [X], {"axis": 2}),
    ("ArgMax", [X], {"axis": 1, "keepdims": 0}),
    ("MatMul", [X, weight(2, 4, 5, 3)], {}),
    ("Gemm", [X[0, 0], weight(5, 3), weight(3)], {}),
    ("Gemm", [X[0, 0], weight(3, 6), weight(1, 3)],
        {"alpha": 0.5, "beta": 2.0, "transA": 1, "transB": 1}),
    ("Conv", [X, weight(3, 4, 3, 3), weight(3)], {"pads": [1, 1, 1, 1]}),
    ("Conv", [X, weight(8, 1, 3, 2)], {"group": 4, "pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ("Conv", [X, weight(2, 4, 2, 2)], {"dilations": [2, 3]}),
    ("Conv", [X[:, :, 0], weight(2, 4, 3)], {"pads": [0, 2]}),
    ("ConvTranspose", [X, weight(4, 3, 3, 3), weight(3)], {"strides": [2, 2]}),
    ("ConvTranspose", [X, weight(4, 2, 4, 4)],
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "group": 2}),
    ("ConvTranspose", [X, weight(4, 3, 3, 3)],
        {"strides": [2, 2], "pads": [0, 1, 1, 0], "output_padding": [1, 1]}),
    ("DepthToSpace", [X], {"blocksize": 2}),
    ("DepthToSpace", [X], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", [X[..., :4]], {"blocksize": 2}),
    ("Resize", [X, None, float32(1, 1, 2, 2)], ASYMMETRIC),
    ("Resize", [X, None, float32(1, 1, 2, 2)], {"mode": "linear"}),
    ("Resize", [X, None, None, ints(2, 4, 9, 11)], ALIGNED),
    ("InstanceNormalization", [X, weight(4), weight(4)], {"epsilon": 1e-3}),
    ("LayerNormalization", [X, weight(5), weight(5)], {}),
    *((name, [X], {"axes": [2, -1], "keepdims": keepdims}) for keepdims in (0, 1) for name in (
        "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
        "ReduceSumSquare", "ReduceLogSumExp",
    )),
    ("ReduceMax", [X], {}),
    ("ReduceSum", [X, ints(1)], {}),
    ("ReduceSum", [X], {"noop_with_empty_axes": 1}),
    ("Transpose", [X], {"perm": [0, 2, 3, 1]}),
    ("Reshape", [X, ints(0, 2, -1, 5)], {}),
    ("Flatten", [X], {"axis": 2}),
    ("Unsqueeze", [Y, ints(0, -1)], {}),
    ("Squeeze", [Y, ints(1)], {}),
    ("Squeeze", [Y], {}),
    ("Expand", [Y, ints(2, 1, 6, 1)], {}),
    ("Tile", [Y, ints(2, 3, 1)], {}),
    ("Concat", [X, weight(2, 1, 6, 5)], {"axis": 1}),
    ("Slice", [X, ints(1, -3), ints(3, 100), ints(1, -1)], {}),
    ("Slice", [X, ints(-1), ints(-(2**63)), ints(2), ints(-2)], {}),
    ("Slice", [X, ints(0, 1), ints(1, 3)], {}),
    ("Gather", [X, ints(2, 0, -1)], {"axis": 1}),
    ("Gather", [X, np.array(1)], {"axis": 3}),
    ("Gather", [X, np.array([[0, 1], [1, -2]])], {"axis": 0}),
    ("Pad", [X, ints(0, 0, 1, 2, 0, 0, 3, 0), scalar(0.5)], {}),
    ("Pad", [X, ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "reflect"}),
    ("Pad", [X, ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "edge"}),
    ("QuantizeLinear", [X, scalar(0.02), np.array(3, np.uint8)], {}),
    ("QuantizeLinear", [X, np.abs(Y[:, 0, 0]), np.zeros(4, np.int8)], {"axis": 1}),
    ("DequantizeLinear", [BYTES, scalar(0.02), np.array(-3, np.int8)], {}),
    ("DequantizeLinear", [BYTES, float32(1, 2, 3)], {"axis": 0}),
]  # fmt: skip
SPLITS: list[tuple[list[np.ndarray | None], dict[str, Any]]] = [
    ([X, PARTS], {"axis": 2}),
    ([X], {"axis": 2}),
]


@pytest.fixture(scope="module")
def graphs(load_tests_module: Callable[[str], Any]) -> Any:
    """The module onnx_on_torch."""
    return load_tests_module("gpu/onnx_on_torch.py")


@pytest.mark.parametrize(("kind", "arrays", "attributes"), CASES, ids=[kind for kind, *_ in CASES])
def test_an_op(
    graphs: Any, tmp_path: Path, kind: str, arrays: list[np.ndarray | None], attributes: Any
) -> None:
    check(graphs, tmp_path, kind, arrays, attributes, outputs=["y"])


@pytest.mark.parametrize(("arrays", "attributes"), SPLITS, ids=["of sizes", "of equal sizes"])
def test_parts(
    graphs: Any, tmp_path: Path, arrays: list[np.ndarray | None], attributes: Any
) -> None:
    check(graphs, tmp_path, "Split", arrays, attributes, outputs=["first", "second"])


def test_every_op_was_compared(graphs: Any) -> None:
    assert graphs.OPS.keys() == {kind for kind, *_ in CASES} | {"Split"}


def test_an_op_that_is_not_there_is_told(graphs: Any, tmp_path: Path) -> None:
    file, _ = save(tmp_path, "Det", [X], {}, ["y"])
    with pytest.raises(AssertionError, match=r"no torch code for .*Det"):
        graphs.TorchGraph(file, "cpu")


@pytest.mark.parametrize("name", ["sg1-tf-32", "sg2-nhwc-32", "field/luci16", "field/xl-cond"])
def test_the_graphs_of_a_bundle(graphs: Any, bundle_of: Callable[[str], Path], name: str) -> None:
    compare_graphs(graphs, bundle_of(name))


def test_the_graphs_of_a_stylegan3_r(graphs: Any, tmp_path: Path) -> None:
    """Of 16 pixels: each of 64 takes torch two seconds, in half precision."""
    design = StyleGAN3Design(
        img_resolution=16,
        channel_max=12,
        num_layers=3,
        margin_size=4,
        conv_kernel=1,
        use_radial_filters=True,
    )
    sizes = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "mapping_features": 8}
    config = design.make_config(c_dim=0, conv_clamp=256.0, **sizes)
    bundle = tmp_path / "bundle"
    export_bundle(make_untrained("small", config=config), bundle, verify_seeds=0, half="all")
    compare_graphs(graphs, bundle)


def compare_graphs(graphs: Any, bundle: Path, images: int = 3) -> None:
    files = sorted(bundle.glob("*.onnx"))
    assert [file for file in files if "fp16" in file.name]
    for file in files:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        inputs = {tensor.name: tensor.shape for tensor in session.get_inputs()}
        feeds = {input: draw(input, shape, images) for input, shape in inputs.items()}
        names = [tensor.name for tensor in session.get_outputs()]
        got = run(graphs, file, feeds, names)
        for output, array, want in zip(names, got, session.run(names, feeds), strict=True):
            assert (array.shape, array.dtype) == (want.shape, want.dtype)
            if output == "image":
                assert np.abs(array.astype(int) - want).max() <= 4
            else:
                least = 65 if "fp16" in file.name else 110
                assert compare(want, array).psnr_db > least, (file.name, output)


def draw(name: str, shape: list[int | str], images: int) -> np.ndarray:
    """An input of a graph, for some images; of noise that they share there is one row."""
    sizes = [size if isinstance(size, int) else 1 if size == "M" else images for size in shape]
    if name == "transform":
        return np.broadcast_to(np.eye(3, dtype=np.float32), sizes).copy()
    if name == "c":
        return np.eye(sizes[1], dtype=np.float32)[[1] * images]
    return np.random.RandomState(1).randn(*sizes).astype(np.float32)


def run(graphs: Any, file: Path, feeds: dict[str, Any], names: list[str]) -> list[np.ndarray]:
    tensors = {name: torch.from_numpy(array) for name, array in feeds.items()}
    made = graphs.TorchGraph(file, "cpu").run(tensors, names)
    return [tensor.numpy() for tensor in made]


def check(
    graphs: Any,
    folder: Path,
    kind: str,
    arrays: list[np.ndarray | None],
    attributes: dict[str, Any],
    *,
    outputs: list[str],
) -> None:
    """One op gives what ONNX Runtime gives."""
    file, feeds = save(folder, kind, arrays, attributes, outputs)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    wanted, got = session.run(outputs, feeds), run(graphs, file, feeds, outputs)
    for want, array in zip(wanted, got, strict=True):
        assert array.dtype == want.dtype
        np.testing.assert_allclose(array, want, rtol=2e-5, atol=2e-5)


def save(
    folder: Path,
    kind: str,
    arrays: list[np.ndarray | None],
    attributes: dict[str, Any],
    outputs: list[str],
) -> tuple[Path, dict[str, np.ndarray]]:
    first, *others = arrays
    assert first is not None
    names = ["x", *("" if other is None else f"constant{i}" for i, other in enumerate(others))]
    node = helper.make_node(kind, names, outputs, **attributes)
    dtype = helper.np_dtype_to_tensor_dtype(first.dtype)
    graph = helper.make_graph(
        [node],
        "op",
        [helper.make_tensor_value_info("x", dtype, first.shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [
            numpy_helper.from_array(other, name)
            for name, other in zip(names[1:], others, strict=True)
            if other is not None
        ],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    file = folder / "op.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), file)
    return file, {"x": first}

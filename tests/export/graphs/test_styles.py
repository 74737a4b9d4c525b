"""The styles of several layers from few products: against each layer by itself, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from stylert.export import lowering
from stylert.export.graphs.styles import StyledLayer, Styles
from stylert.export.onnx_graph import GraphBuilder

W_DIM, NUM_WS, BATCH = 16, 5, 3


def layer(name: str, index: int, width: int, outputs: int = 0, **options: Any) -> StyledLayer:
    """A layer of random numbers, demodulated if it has outputs."""
    random = np.random.RandomState(index + width)
    return StyledLayer(
        name,
        index,
        random.standard_normal((W_DIM, width)) / 4,
        random.standard_normal(width),
        weight=random.standard_normal((outputs, width, 3, 3)) if outputs else None,
        **options,
    )


LAYERS = (
    layer("b4.conv1", 0, 8, 8),
    layer("b4.torgb", 1, 8),
    layer("b8.conv0", 1, 8, 6, norm=2**0.5),
    layer("b8.conv1", 2, 6, 6, half=True),
    layer("b16.conv0", 3, 6, 4, channels=6, half=True, norm=0.5),
    layer("b16.torgb", 4, 4),
)


def emit(
    path: Path, layers: Sequence[StyledLayer], spare: int = 0, *, compact: bool = False, **how: bool
) -> onnx.ModelProto:
    """A graph whose outputs are the styles, factors and peaks of all layers."""
    graph = GraphBuilder("styles", compact=compact)
    styles = Styles(graph, graph.input("ws", ["N", NUM_WS, W_DIM]), layers, spare=spare, **how)
    for one in layers:
        with graph.scope(one.name):
            found = {"styles": (styles.find(one.name), one.width)}
            if one.outputs:
                found["factors"] = (styles.find_factors(one.name), one.outputs)
            if one.half:
                found["peak"] = (styles.find_peak(one.name), 1)
        for kind, (value, size) in found.items():
            graph.output(value, f"{one.name}:{kind}", "float32", ["N", size])
    graph.save(path)
    return onnx.load(path)


def draw(path: Path, ws: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"ws": ws}), strict=True))


def expect(one: StyledLayer, ws: np.ndarray) -> dict[str, np.ndarray]:
    """What a layer takes, by the definitions."""
    styles = ws[:, one.index].astype(np.float64) @ one.matrix + one.bias
    expected = {"styles": styles}
    if one.weight is not None:
        squares, epsilon = lowering.fold_demodulation(
            one.weight, gain=one.norm, channels=one.channels
        )
        expected["factors"] = 1 / np.sqrt(np.square(styles) @ squares + epsilon)
        if one.half:
            expected["factors"] /= lowering.normalize_weight(one.weight)[1]
            expected["peak"] = np.abs(styles).max(axis=1, keepdims=True)
    return expected


@pytest.fixture
def ws() -> np.ndarray:
    return np.random.RandomState(0).standard_normal((BATCH, NUM_WS, W_DIM)).astype(np.float32)


def list_products(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type == "MatMul"]


@pytest.mark.parametrize(
    ("spare", "widths"),
    [(0, (8, 6, 4)), (2 * W_DIM, (8, 6)), (1000, (8,))],
)
def test_each_layer_takes_its_own(
    spare: int, widths: tuple[int, ...], ws: np.ndarray, tmp_path: Path
) -> None:
    model = emit(tmp_path / "styles.onnx", LAYERS, spare)
    products = [name for name in list_products(model) if name.endswith("affine/product")]
    assert products == [f"styles/of_{width}/affine/product" for width in widths]
    drawn = draw(tmp_path / "styles.onnx", ws)
    for one in LAYERS:
        for kind, expected in expect(one, ws).items():
            np.testing.assert_allclose(drawn[f"{one.name}:{kind}"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alone", [False, True])
def test_a_picture_does_not_depend_on_its_batch(
    alone: bool, ws: np.ndarray, tmp_path: Path
) -> None:
    """Not in one bit: ONNX Runtime multiplies matrices of one row and of several differently."""
    model = emit(tmp_path / "styles.onnx", LAYERS, alone=alone)
    products = {name for name in list_products(model) if name.endswith("affine/product")}
    assert ("styles/of_b8.conv0/affine/product" in products) == alone
    assert len(products) == (len(LAYERS) if alone else 3)
    together = draw(tmp_path / "styles.onnx", ws)
    for i in range(BATCH):
        for name, single in draw(tmp_path / "styles.onnx", ws[i : i + 1]).items():
            assert np.array_equal(single[0], together[name][i]), name
    for one in LAYERS:
        for kind, expected in expect(one, ws).items():
            np.testing.assert_allclose(
                together[f"{one.name}:{kind}"], expected, rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize("spare", [0, 2 * W_DIM, 500, 1000])
def test_no_more_zeros_are_stored_than_may_be(spare: int, tmp_path: Path) -> None:
    sizes = [
        sum(np.prod(tensor.dims) for tensor in emit(path, LAYERS, given).graph.initializer)
        for given, path in ((0, tmp_path / "none.onnx"), (spare, tmp_path / "some.onnx"))
    ]
    assert sizes[1] - sizes[0] <= spare + 50, "but for biases, and places"


@pytest.mark.parametrize("compact", [False, True])
def test_channels_without_weights_do_no_harm(compact: bool, ws: np.ndarray, tmp_path: Path) -> None:
    """Their squares are too small for half precision, and their factors times 0 must be 0."""
    weight = np.random.RandomState(0).standard_normal((8, 8, 3, 3))
    weight[6:], weight[:, 5:] = 0, 0
    full = layer("b4.conv1", 0, 8, 8)
    padded = StyledLayer("b8.conv0", 1, full.matrix, full.bias, weight, channels=5)
    model = emit(tmp_path / "styles.onnx", (full, padded), 0, compact=compact)
    stored = {t.name: t.data_type for t in model.graph.initializer if "matrix" in t.name}
    kind = onnx.TensorProto.FLOAT16 if compact else onnx.TensorProto.FLOAT
    assert list(stored.values()) == [kind]
    found = draw(tmp_path / "styles.onnx", ws)["b8.conv0:factors"]
    expected = expect(padded, ws)["factors"]
    np.testing.assert_allclose(found[:, :6], expected[:, :6], rtol=2e-3 if compact else 1e-5)
    assert np.isfinite(found).all()


def test_a_matrix_that_half_precision_does_not_hold_stays(tmp_path: Path) -> None:
    """One layer's entries of 1e-6 are enough: the others' hide them from a look at the whole."""
    weight = np.random.RandomState(0).standard_normal((8, 8, 3, 3))
    ordinary = layer("b4.conv1", 0, 8, 8)
    small = StyledLayer("b8.conv0", 1, ordinary.matrix, ordinary.bias, weight * 1e-3)
    model = emit(tmp_path / "styles.onnx", (ordinary, small), 0, compact=True)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert kinds["styles/of_8/demodulation/matrix"] == onnx.TensorProto.FLOAT
    assert kinds["styles/of_8/affine/weight_half"] == onnx.TensorProto.FLOAT16

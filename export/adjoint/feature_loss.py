"""How far pictures are from others as a feature network sees them, and the gradient of that.

inputs   img [N,3,S,S] float32 of -1 to 1, target [N,d] float32: the features of what it should be
outputs  features [N,d] float32, of img
         loss [N] float32: the squared distance of features and target
         grad_img [N,3,S,S] float32: the gradient of the loss
metadata those of the network (see `stylert.apps.evaluation.feature_network`), and stylert.loss

It is made once, of any feature network whose operators have adjoints; who runs it needs no onnx.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from stylert.export.adjoint.backward import append_adjoint
from stylert.export.adjoint.constant_nodes import store_constants
from stylert.export.graph_check import check_graph
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import publish_file

__all__ = ["LOSS", "write_feature_loss"]

LOSS = "stylert.loss"  # the metadata that tells such a file: how features are compared
_NETWORK = "network/"  # before the names of the network's values
_OPSET, _IR_VERSION = 17, 8  # of the adjoint's operators, as of our other graphs


def write_feature_loss(network: str | Path, out: str | Path) -> Path:
    """Write the loss of a feature network, and its gradient, as one file.

    Args:
        network: an ONNX file, float32 [N,3,S,S] -> [N,d] with metadata; see docs/evaluation.md.
        out: the file to write; it appears whole or not at all.

    Returns:
        `out`.

    Raises:
        InvalidInput: no such network, or an operator of it has no adjoint.
        OSError: the file cannot be written.
    """
    model = _read_network(Path(network))
    try:
        size, dim = _read_sizes(model)
        _prepend_scaling(model, size)
        _append_loss(model, size, dim)
    except InvalidInput as error:
        raise InvalidInput(f"features: {network}: {error}") from None
    with publish_file(out) as partial:
        onnx.save(model, str(partial))
        check_graph(partial, str(out))
    return Path(out)


def _read_network(path: Path) -> ModelProto:
    """The network in our opset, with constants among its initializers, and names of its own."""
    if not path.is_file():
        raise InvalidInput(f"features: got {shown(str(path))}, expected an ONNX file.")
    try:
        model = onnx.load(str(path))
        if [entry.version for entry in model.opset_import if not entry.domain] != [_OPSET]:
            model = onnx.version_converter.convert_version(model, _OPSET)
    except Exception as error:  # protobuf's and the converter's own classes
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput(
            f"features: onnx cannot read {path} in opset {_OPSET}: {reason}"
        ) from None
    model.ir_version = _IR_VERSION
    store_constants(model)
    _drop_constants_from_inputs(model)
    return onnx.compose.add_prefix(model, _NETWORK)


def _drop_constants_from_inputs(model: ModelProto) -> None:
    """Old files name their weights among the inputs, too."""
    stored = {tensor.name for tensor in model.graph.initializer}
    for value in [value for value in model.graph.input if value.name in stored]:
        model.graph.input.remove(value)


def _read_sizes(model: ModelProto) -> tuple[int, int]:
    """The sizes S of the input and d of the output."""
    graph = model.graph
    shapes: list[list[int]] = [
        [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output[:1])
    ]
    fits = len(shapes) == 2 and len(shapes[0]) == 4 and len(shapes[1]) == 2
    if not fits or shapes[0] != [0, 3, shapes[0][2], shapes[0][2]] or not shapes[1][1]:
        raise InvalidInput(
            f"it takes and gives {' '.join(map(str, shapes))} with 0 for what is free, expected "
            "[N, 3, S, S] and [N, d], with S and d fixed and N free."
        )
    return shapes[0][2], shapes[1][1]


def _prepend_scaling(model: ModelProto, size: int) -> None:
    """Have it take pixels of -1 to 1, whatever it was trained with."""
    graph = model.graph
    told = {prop.key: prop.value for prop in model.metadata_props}
    try:
        black, white = map(float, told["stylert.range"].split(","))
        if told["stylert.resize"] not in ("bilinear", "bicubic", "bicubic-bytes"):
            raise ValueError
    except (KeyError, ValueError):
        raise InvalidInput(
            "expected metadata stylert.range such as '0,255', and stylert.resize of bilinear, "
            "bicubic or bicubic-bytes; see docs/evaluation.md."
        ) from None
    pixels = graph.input[0].name
    del graph.input[:]
    graph.input.append(_describe("img", ["N", 3, size, size]))
    half, middle = (_add_number(model, n) for n in ((white - black) / 2, (white + black) / 2))
    scaling = [
        helper.make_node("Mul", ["img", half], ["img/scaled"], "img/scaled"),
        helper.make_node("Add", ["img/scaled", middle], [pixels], "img/pixels"),
    ]
    nodes = [*scaling, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _append_loss(model: ModelProto, size: int, dim: int) -> None:
    graph = model.graph
    found = graph.output[0].name
    graph.input.append(_describe("target", ["N", dim]))
    axes = numpy_helper.from_array(np.array([1], np.int64), "loss/axes")
    graph.initializer.append(axes)
    two = _add_number(model, 2.0)
    for kind, inputs, name in (
        ("Identity", [found], "features"),
        ("Sub", [found, "target"], "loss/difference"),
        ("Mul", ["loss/difference", "loss/difference"], "loss/square"),
        ("Mul", ["loss/difference", two], "loss/pull"),
    ):
        graph.node.append(helper.make_node(kind, inputs, [name], name))
    total = helper.make_node("ReduceSum", ["loss/square", axes.name], ["loss"], "loss", keepdims=0)
    graph.node.append(total)
    del graph.output[:]
    gradient = append_adjoint(model, {found: "loss/pull"}, ["img"])["img"]
    graph.node.append(helper.make_node("Identity", [gradient], ["grad_img"], "grad_img"))
    graph.output.extend(
        [
            _describe("features", ["N", dim]),
            _describe("loss", ["N"]),
            _describe("grad_img", ["N", 3, size, size]),
        ]
    )
    graph.name = "feature_loss"
    told = {prop.key: prop.value for prop in model.metadata_props}
    helper.set_model_props(model, {**told, "stylert.range": "-1,1", LOSS: "squared distance"})


def _add_number(model: ModelProto, number: float) -> str:
    name = f"loss/number{len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(np.array(number, np.float32), name))
    return name


def _describe(name: str, shape: list[Any]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

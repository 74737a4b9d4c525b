"""gradient.onnx: how well pictures fit others, and how their ws and noise would make them fit.

inputs   those of synthesis.onnx, and of each image:
         target [N,C,H,W], mask [N,1,H,W] float32: what is to be seen, and where it matters
         scales [N,S] float32: the weights of the loss at each scale
         img_grad [N,C,H,W] float32: the gradient of a loss of one's own, or zeros
outputs  loss [N] float32: the sum over scales s of scales[s] mean(shrink(mask (img - target), s)^2)
         img [N,C,H,W], and for each input its gradient: grad_ws [N,num_ws,w_dim], grad_noise_*
         [N,1,h,w]: of the loss, and of the sum of img * img_grad
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from stylert.export.adjoint.backward import append_adjoint
from stylert.export.adjoint.shared_weights import point_into
from stylert.export.graph_check import check_graph
from stylert.runtime.bundle import GRADIENT, GraphSpec, TensorSpec
from stylert.runtime.transforms import TRANSFORM

__all__ = ["build_gradient", "write_gradient"]

SMALLEST = 8  # pixels of the shorter side at the coarsest scale


def write_gradient(synthesis: Path, out: Path) -> GraphSpec:
    """Write the gradient's graph of a synthesis graph beside it.

    Its large weights are those in the synthesis graph's file: they exist once.

    Args:
        synthesis: synthesis.onnx.
        out: gradient.onnx, in the same folder.

    Returns:
        What the manifest says of it.

    Raises:
        InvalidInput: the graph has an operator without an adjoint.
        StylertError: the graph is not valid, which is a bug of StyleRT.
    """
    model = onnx.load(str(synthesis), load_external_data=False)
    build_gradient(model)
    point_into(model, synthesis)
    onnx.save(model, str(out))
    name, graph = f"{GRADIENT}.onnx", model.graph
    check_graph(out, name)
    return GraphSpec(name, tuple(map(_tell, graph.input)), tuple(map(_tell, graph.output)))


def build_gradient(model: ModelProto) -> None:
    """Make the gradient's graph of a synthesis graph, in place."""
    graph = model.graph
    image = next(value for value in graph.output if value.name == "img")
    channels, height, width = (d.dim_value for d in image.type.tensor_type.shape.dim[1:])
    _keep_ancestors(model, "img")
    inputs = [value.name for value in graph.input if value.name != TRANSFORM]
    scales = _count_scales(height, width)
    of_image: list[Any] = ["N", channels, height, width]
    of_mask: list[Any] = ["N", 1, height, width]
    added = {"target": of_image, "mask": of_mask, "scales": ["N", scales], "img_grad": of_image}
    for name, shape in added.items():
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    _append_loss(model, scales)
    del graph.output[:]
    seeds = {"loss/levels": "scales", "img": "img_grad"}
    gradients = append_adjoint(model, seeds, inputs)
    outputs = [("loss", ["N"]), ("img", of_image)]
    shapes = {
        value.name: [_read_size(d) for d in value.type.tensor_type.shape.dim]
        for value in graph.input
    }
    for name, value in gradients.items():
        graph.node.append(helper.make_node("Identity", [value], [f"grad_{name}"], f"grad_{name}"))
        outputs.append((f"grad_{name}", ["N", *shapes[name][1:]]))
    for name, shape in outputs:
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    graph.name = GRADIENT
    _keep_ancestors(model, *(name for name, _ in outputs))


def _append_loss(model: ModelProto, scales: int) -> None:
    """Append 'loss' [N] and 'loss/levels' [N, S], the mean squares at each scale."""
    graph, levels = model.graph, []

    def op(kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        graph.node.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    axes = numpy_helper.from_array(np.array([1], np.int64), "loss/axes")
    graph.initializer.append(axes)
    x = op("Mul", [op("Sub", ["img", "target"], "loss/difference"), "mask"], "loss/seen")
    for i in range(scales):
        if i:
            x = op("AveragePool", [x], f"loss/half{i}", kernel_shape=[2, 2], strides=[2, 2])
        square = op("Mul", [x, x], f"loss/square{i}")
        mean = op("ReduceMean", [square], f"loss/mean{i}", axes=[1, 2, 3], keepdims=0)
        levels.append(op("Unsqueeze", [mean, axes.name], f"loss/level{i}"))
    every = op("Concat", levels, "loss/levels", axis=1)
    weighted = op("Mul", [every, "scales"], "loss/weighted")
    op("ReduceSum", [weighted, axes.name], "loss", keepdims=0)


def _count_scales(height: int, width: int) -> int:
    count = 1
    while min(height, width) >> count >= SMALLEST:
        count += 1
    return count


def _keep_ancestors(model: ModelProto, *names: str) -> None:
    """Leave out the nodes and constants that these values do not need."""
    graph, needed, kept = model.graph, {*names}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)


def _read_size(d: onnx.TensorShapeProto.Dimension) -> int | str:
    return int(d.dim_value) if d.HasField("dim_value") else str(d.dim_param)


def _tell(value: onnx.ValueInfoProto) -> TensorSpec:
    shape = tuple(_read_size(d) for d in value.type.tensor_type.shape.dim)
    return TensorSpec(value.name, "float32", shape)

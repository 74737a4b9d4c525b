"""From float32 to INT8: QuantizeLinear and DequantizeLinear (QDQ) around chosen convolutions.

Compilers make integer convolutions of: style, Q, DQ, convolution with a dequantised weight. What
they need for that was tried one by one: Q and DQ behind the style and not before it, one step for
all channels of the input with a zero point of 0, and one step for each output channel of the
weight, which is stored as integers. Nothing stands behind the convolution: it costs quality, and
gains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from stylert.export.int8.convolutions import Convolution, find_convolutions
from stylert.export.int8.ranges import Quantised
from stylert.export.int8.source_graph import SourceGraph

__all__ = ["rewrite"]


def rewrite(source: SourceGraph, chosen: Mapping[str, Quantised]) -> ir.Model:
    """The graph with these convolutions in 8 bits, by their names; all others stay as they are."""
    model = source.open()
    rewriting = _Rewriting(model.graph)
    for convolution in find_convolutions(model.graph):
        if (quantised := chosen.get(convolution.name)) is not None:
            rewriting.quantise(convolution, quantised)
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():  # what a reader can infer, and may not be so any more
                value.shape = value.type = None
    return model


class _Rewriting:
    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph

    def quantise(self, convolution: Convolution, quantised: Quantised) -> None:
        """Put one convolution into 8 bits."""
        node, prefix = convolution.node, f"{convolution.name}/int8"
        if quantised.channels is not None:
            self.scale_channels(convolution, quantised, prefix)
        value = node.inputs[0]
        step = self.constant(f"{prefix}/step", np.array(quantised.step, np.float32))
        zero = self.constant(f"{prefix}/zero", np.array(0, np.int8))
        integers = self.op(node, "QuantizeLinear", f"{prefix}/quantise", value, step, zero)
        floats = self.op(node, "DequantizeLinear", f"{prefix}/dequantise", integers, step, zero)
        stored = self.constant(f"{prefix}/weight_integers", quantised.integers)
        steps = self.constant(f"{prefix}/weight_steps", quantised.steps)
        axis = convolution.output_axis
        weight = self.op(node, "DequantizeLinear", f"{prefix}/weight", stored, steps, axis=axis)
        node.replace_input_with(0, floats)
        old = node.inputs[1]
        node.replace_input_with(1, weight)
        if old is not None and not old.uses():
            self.graph.initializers.pop(str(old.name), None)

    def scale_channels(self, convolution: Convolution, quantised: Quantised, prefix: str) -> None:
        """Divide the input's channels, and its images, at the style or shift before it."""
        assert convolution.scales is not None
        assert quantised.channels is not None
        inverse = (1 / quantised.channels).reshape(1, -1, 1, 1).astype(np.float32)
        by_channel = self.constant(f"{prefix}/per_channel", inverse)
        scaled = []
        for i, (node, index) in enumerate(convolution.scales):
            name = f"{prefix}/scaled{i or ''}"
            value = self.op(node, "Mul", name, node.inputs[index], by_channel)
            node.replace_input_with(index, value)
            scaled.append((node, index, value))
        if quantised.reach is None:
            return
        assert convolution.rescale is not None
        (node, index, style), *_ = [s for s in scaled if s[0].op_type == "Mul"]
        image = self.find_image_factor(node, style, quantised, prefix)
        for i, (at, place, value) in enumerate(scaled):
            divided = self.op(at, "Div", f"{prefix}/divided{i or ''}", value, image)
            at.replace_input_with(place, divided)
        behind, index = convolution.rescale
        factors = self.op(behind, "Mul", f"{prefix}/rescaled", behind.inputs[index], image)
        behind.replace_input_with(index, factors)

    def find_image_factor(
        self, node: ir.Node, style: ir.Value, quantised: Quantised, prefix: str
    ) -> ir.Value:
        """How far an image's values reach [N, 1, 1, 1], as its style tells."""
        assert quantised.reach is not None
        reach = quantised.reach.reshape(1, -1, 1, 1).astype(np.float32)
        told = self.constant(f"{prefix}/reach", reach)
        least = self.constant(f"{prefix}/smallest", np.array(quantised.smallest, np.float32))
        size = self.op(node, "Abs", f"{prefix}/style_size", style)
        reached = self.op(node, "Mul", f"{prefix}/reached", size, told)
        most = self.op(node, "ReduceMax", f"{prefix}/most", reached, axes=[1], keepdims=1)
        return self.op(node, "Max", f"{prefix}/image_factor", most, least)

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def op(
        self, before: ir.Node, kind: str, name: str, *inputs: ir.Value | None, **attributes: object
    ) -> ir.Value:
        """A new node in front of another."""
        node = ir.node(kind, list(inputs), attributes, name=name)  # type: ignore[arg-type]
        node.outputs[0].name = name
        self.graph.insert_before(before, [node])
        return node.outputs[0]

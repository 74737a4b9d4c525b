"""The layers of a graph that is no longer a `GraphBuilder`: which value leaves which scope."""

from __future__ import annotations

from collections import defaultdict

import onnx

__all__ = ["find_layer_values"]


def find_layer_values(model: onnx.ModelProto) -> dict[str, str]:
    """The value that each layer hands on, by the layer's name, in the order of the graph.

    A layer is an outermost scope of `GraphBuilder`: 'b8.conv0' of the node 'b8.conv0/modulate'. An
    output of the graph goes by its own name. Constants that are computed (stored weights) belong to
    no layer, and neither do styles, which are products for several layers at a time (a fault in
    them shows in the layer that takes them), nor bytes: the proof has rows for them.
    """
    graph = model.graph
    outputs = {value.name: value.name for value in graph.output}
    for node in graph.node:
        if node.op_type == "Identity" and node.output[0] in outputs:  # a node of its own
            outputs[node.input[0]] = outputs.pop(node.output[0])
    users: dict[str, set[str]] = defaultdict(set)
    for node in graph.node:
        for name in node.input:
            users[name].add(_find_scope(node))
    varying = {value.name for value in graph.input}
    left: dict[str, list[str]] = defaultdict(list)
    for node in graph.node:
        if not varying & set(node.input):
            continue
        varying |= set(node.output)
        for name in node.output:
            if name in outputs:
                left[outputs[name]].append(outputs[name])
            elif users[name] - {_find_scope(node)}:
                left[_find_scope(node)].append(name)
    for scope in ("styles", "image"):
        left.pop(scope, None)
    return {
        layer if len(values) == 1 else value: value
        for layer, values in left.items()
        for value in values
    }


def _find_scope(node: onnx.NodeProto) -> str:
    return node.name.partition("/")[0]

"""Constants of other people's files, where the adjoint looks for them."""

from __future__ import annotations

from onnx import ModelProto

__all__ = ["store_constants"]


def store_constants(model: ModelProto) -> None:
    """Turn Constant nodes that hold a tensor into initializers."""
    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        if node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
            graph.node.remove(node)

"""The gradient of a network of pictures: from what is wanted of its output to its input."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from stylert.export.adjoint.backward import append_adjoint
from stylert.export.adjoint.constant_nodes import store_constants
from stylert.runtime.errors import InvalidInput

__all__ = ["build_network_gradient"]

_CHECKED = 2**31 - 1  # bytes: no longer file goes through a session as one array


def build_network_gradient(path: Path, pictures: str, points: str) -> bytes:
    """The graph of a network's gradient, as ONNX Runtime takes it.

    Args:
        path: the network, an ONNX file.
        pictures: name of its input [N, C, H, W], with C, H and W fixed.
        points: name of its output [N, d].

    Returns:
        A model of the inputs `pictures` and 'grad_points' [N, d], with the output 'grad_pictures'.

    Raises:
        InvalidInput: an operator has no adjoint, or a size is not fixed.
    """
    model = onnx.load(str(path))
    store_constants(model)
    graph = model.graph
    output = next(value for value in graph.output if value.name == points)
    wanted = onnx.ValueInfoProto()
    wanted.CopyFrom(output)
    wanted.name = "grad_points"
    graph.input.append(wanted)
    found = append_adjoint(model, {points: "grad_points"}, [pictures])[pictures]
    graph.node.append(helper.make_node("Identity", [found], ["grad_pictures"], "grad_pictures"))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("grad_pictures", TensorProto.FLOAT, None))
    if model.ByteSize() > _CHECKED:
        raise InvalidInput(f"graph: {path} is too large to be differentiated.")
    return bytes(model.SerializeToString())

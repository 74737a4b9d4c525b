"""The walk back through a graph: from the gradients of its outputs to those of its inputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from onnx import ModelProto

from stylert.export.adjoint.operators import ADJOINTS
from stylert.export.adjoint.tape import Tape
from stylert.runtime.errors import InvalidInput

__all__ = ["append_adjoint"]


def append_adjoint(
    model: ModelProto, seeds: Mapping[str, str], inputs: Sequence[str]
) -> dict[str, str]:
    """Append the nodes that compute the gradients of a graph's inputs.

    Args:
        model: the graph; the nodes are added to it.
        seeds: values of the graph whose gradients are given, and the names of these.
        inputs: those whose gradients are wanted.

    Returns:
        The name of each input's gradient, by the input's name. Each image of a batch has its own
        row in it, also where one row was fed for all.

    Raises:
        InvalidInput: an operator has no adjoint here, or a size is not fixed.
    """
    tape = Tape(model, inputs, seeds)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for value, seed in seeds.items():
        found[value].append(seed)
    for node in reversed(tape.nodes):
        if not (parts := found.pop(node.output[0], [])) or not tape.varies(node.output[0]):
            continue
        if node.op_type not in ADJOINTS:
            raise InvalidInput(
                f"graph: {node.op_type} ({node.name or node.output[0]}) has no adjoint here. Use a "
                "network without it."
            )
        for place, gradient in ADJOINTS[node.op_type](tape, node, tape.total(parts)).items():
            if tape.varies(node.input[place]):
                found[node.input[place]].append(gradient)
                tape.found.append((gradient, tape.shape(node.input[place])))
    return {
        name: tape.total(found[name]) if found[name] else tape.op("Sub", name, name)
        for name in inputs
    }

"""Adjoints of functions with a kink: leaky ReLUs and clamps.

Both are told by what comes out of them, so that what goes in need not be kept; where one stands
behind the other, by what comes out of the last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from onnx import NodeProto

from stylert.export.adjoint.tape import Tape, read_attribute
from stylert.runtime.errors import InvalidInput

__all__ = ["adjoin_clip", "adjoin_leaky_relu", "adjoin_prelu", "adjoin_relu"]

STEEP = 2.0**60  # makes a step of a slope: what is above 0 becomes more than 1

_KINKED = ("LeakyRelu", "Relu")


def adjoin_leaky_relu(tape: Tape, node: NodeProto, g: str) -> Mapping[int, str]:
    """Of a leaky ReLU, and of the clamp behind it."""
    slope = read_attribute(node, "alpha", 0.01)
    if not 0 <= slope <= 1:
        raise InvalidInput(f"graph: a LeakyRelu has the slope {slope}, expected one of 0 to 1.")
    return {0: _where_positive(tape, g, node.output[0], slope)}


def adjoin_relu(tape: Tape, node: NodeProto, g: str) -> Mapping[int, str]:
    """Of a ReLU, and of the clamp behind it."""
    return {0: _where_positive(tape, g, node.output[0], 0.0)}


def adjoin_prelu(tape: Tape, node: NodeProto, g: str) -> Mapping[int, str]:
    """Of a leaky ReLU whose slopes are a constant."""
    positive = tape.op("Greater", node.input[0], tape.constant(0.0))
    return {0: tape.op("Mul", g, tape.op("Where", positive, tape.constant(1.0), node.input[1]))}


def adjoin_clip(tape: Tape, node: NodeProto, g: str) -> Mapping[int, str]:
    """Of a clamp; that of one behind a ReLU is that ReLU's."""
    if _find_clamp(tape, node.input[0]) is node and tape.find_maker(node.input[0]) in _KINKED:
        return {0: g}
    return {0: _where_inside(tape, g, node)}


def _where_positive(tape: Tape, g: str, y: str, slope: float) -> str:
    """The gradient where y is above 0, and times a slope elsewhere; 0 where it is clamped then.

    A Where takes ONNX Runtime thrice the time.
    """
    clamp = _find_clamp(tape, y)
    kept = y if clamp is None else clamp.output[0]  # of the same sign, and needed anyway
    steep = _steepen(tape, kept, g)
    step = tape.op("Clip", steep, tape.constant(slope), tape.constant(1.0))
    g = tape.op("Mul", g, step)
    return g if clamp is None else _where_inside(tape, g, clamp)


def _find_clamp(tape: Tape, y: str) -> NodeProto | None:
    """The only node that takes a value, if that is a Clip which leaves its sign."""
    users = tape.list_users(y)
    if y in tape.given or len(users) != 1 or users[0].op_type != "Clip":
        return None
    low, high = _read_bounds(tape, users[0])
    return users[0] if low < 0 < high else None


def _read_bounds(tape: Tape, node: NodeProto) -> tuple[float, float]:
    """Those of a Clip; infinite where it has none."""
    given = [*node.input[1:], "", ""][:2]
    low, high = (float(tape.array(name)) if name else math.inf for name in given)
    return (low if given[0] else -math.inf), high


def _where_inside(tape: Tape, g: str, node: NodeProto) -> str:
    """The gradient where a Clip clips nothing, and 0 elsewhere, as its output tells."""
    low, high = _read_bounds(tape, node)
    steep = _steepen(tape, node.output[0], g)
    if low == -high:
        return _where_below(tape, g, tape.op("Abs", steep), high)
    return _where_below(tape, _where_below(tape, g, steep, high), tape.op("Neg", steep), -low)


def _where_below(tape: Tape, g: str, steep: str, bound: float) -> str:
    """The gradient where a value is below a bound, and 0 elsewhere; the value is given steep."""
    if bound == math.inf:
        return g
    # A power of two times a number is exact: so this is exactly 0 on the bound. A HardSigmoid would
    # do both at once, but OpenVINO's stands alone: the step took it a ninth longer.
    space = tape.op("Sub", tape.constant(STEEP * float(np.float32(bound))), steep)
    inside = tape.op("Clip", space, tape.constant(0.0), tape.constant(1.0))
    return tape.op("Mul", g, inside)


def _steepen(tape: Tape, y: str, g: str) -> str:
    """A value so large that bounds of 1 make a step of it.

    It waits for its gradient: so it takes no memory while the rest of the graph is computed.
    """

    def make() -> str:
        return tape.op("Mul", y, tape.wait_for(g, STEEP, len(tape.shape(y))))

    return tape.once(f"steep {y}", make)

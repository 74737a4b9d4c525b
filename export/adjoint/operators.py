"""The adjoint of every operator, by its name: what comes back through it.

A rule gets the node and the gradient of its output, adds nodes, and gives the gradients of its
inputs by their places; of those alone that vary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from onnx import NodeProto

from stylert.export.adjoint import convolutions as windows
from stylert.export.adjoint import kinks
from stylert.export.adjoint.tape import Tape, read_attribute
from stylert.runtime.errors import InvalidInput

__all__ = ["ADJOINTS", "Rule"]

TINY = 1e-12  # what lengths are divided by at least
MOST_ENTRIES = 2**16  # of a matrix that puts a gradient to its places: it is in the file

Gradients = Mapping[int, str]
Rule = Callable[[Tape, NodeProto, str], Gradients]


def _unbroadcast(tape: Tape, node: NodeProto, gradients: Mapping[int, str]) -> Gradients:
    """The gradients of inputs that were broadcast, each in its own shape."""
    source = tape.shape(node.output[0])
    return {i: tape.sum_to(g, source, tape.shape(node.input[i])) for i, g in gradients.items()}


def _varying(tape: Tape, node: NodeProto) -> list[int]:
    return [i for i, name in enumerate(node.input) if tape.varies(name)]


def _add(tape: Tape, node: NodeProto, g: str) -> Gradients:
    return _unbroadcast(tape, node, dict.fromkeys(_varying(tape, node), g))


def _subtract(tape: Tape, node: NodeProto, g: str) -> Gradients:
    signs = {i: g if i == 0 else tape.op("Neg", g) for i in _varying(tape, node)}
    return _unbroadcast(tape, node, signs)


def _multiply(tape: Tape, node: NodeProto, g: str) -> Gradients:
    a, b = node.input
    if a == b:
        return {0: tape.op("Mul", g, tape.op("Mul", a, tape.constant(2.0)))}
    found = {i: tape.op("Mul", g, node.input[1 - i]) for i in _varying(tape, node)}
    return _unbroadcast(tape, node, found)


def _divide(tape: Tape, node: NodeProto, g: str) -> Gradients:
    b, y = node.input[1], node.output[0]
    share = tape.op("Div", g, b)
    found = {
        i: share if i == 0 else tape.op("Neg", tape.op("Mul", share, y))
        for i in _varying(tape, node)
    }
    return _unbroadcast(tape, node, found)


def _power(tape: Tape, node: NodeProto, g: str) -> Gradients:
    x, exponent = node.input[0], float(tape.array(node.input[1]))
    slope = tape.op("Pow", x, tape.constant(exponent - 1))
    return {0: tape.op("Mul", g, tape.op("Mul", slope, tape.constant(exponent)))}


def _elementwise(slope: Callable[[Tape, str, str], str]) -> Rule:
    """The rule of y = f(x), element by element, of f'(x) as a function of x and y."""

    def rule(tape: Tape, node: NodeProto, g: str) -> Gradients:
        return {0: tape.op("Mul", g, slope(tape, node.input[0], node.output[0]))}

    return rule


def _scaled(tape: Tape, x: str, factor: float) -> str:
    return tape.op("Mul", x, tape.constant(factor))


def _less_square(tape: Tape, y: str) -> str:
    return tape.op("Sub", tape.constant(1.0), tape.op("Mul", y, y))


def _slope_of_erf(tape: Tape, x: str, y: str) -> str:
    bell = tape.op("Exp", tape.op("Neg", tape.op("Mul", x, x)))
    return _scaled(tape, bell, 2 / math.sqrt(math.pi))


def _slope_of_reciprocal(tape: Tape, x: str, y: str) -> str:
    return tape.op("Neg", tape.op("Mul", y, y))


def _slope_of_sigmoid(tape: Tape, x: str, y: str) -> str:
    return tape.op("Mul", y, tape.op("Sub", tape.constant(1.0), y))


def _softmax(tape: Tape, node: NodeProto, g: str) -> Gradients:
    y, axis = node.output[0], read_attribute(node, "axis", -1)
    weighted = tape.op("Mul", g, y)
    total = tape.op("ReduceSum", weighted, tape.constant([axis], np.int64), keepdims=1)
    return {0: tape.op("Sub", weighted, tape.op("Mul", total, y))}


def _matmul(tape: Tape, node: NodeProto, g: str) -> Gradients:
    (a, b), found = node.input, {}
    if min(len(tape.shape(a)), len(tape.shape(b))) < 2:
        raise InvalidInput("graph: a MatMul of a vector has no adjoint here, expected matrices.")
    if tape.varies(a):
        found[0] = tape.op("MatMul", g, _flip(tape, b))
    if tape.varies(b):
        found[1] = tape.op("MatMul", _flip(tape, a), g)
    out = tape.shape(node.output[0])
    return {
        i: tape.sum_to(
            part, (*out[:-2], *tape.shape(node.input[i])[-2:]), tape.shape(node.input[i])
        )
        for i, part in found.items()
    }


def _flip(tape: Tape, x: str) -> str:
    """Matrices with rows and columns exchanged."""
    order = list(range(len(tape.shape(x))))
    return tape.op("Transpose", x, perm=[*order[:-2], order[-1], order[-2]])


def _gemm(tape: Tape, node: NodeProto, g: str) -> Gradients:
    trans_a, trans_b = read_attribute(node, "transA", 0), read_attribute(node, "transB", 0)
    if trans_a or any(tape.varies(name) for name in node.input[1:]):
        raise InvalidInput("graph: a Gemm has a matrix that varies, expected a constant.")
    alpha = read_attribute(node, "alpha", 1.0)
    return {0: tape.op("Gemm", g, node.input[1], transB=1 - trans_b, alpha=alpha)}


def _read_axes(tape: Tape, node: NodeProto, rank: int) -> list[int]:
    """The axes of a node, given as an attribute or as its second input; none = all."""
    axes = read_attribute(node, "axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        axes = tape.array(node.input[1]).tolist()
    return [axis % rank for axis in (range(rank) if axes is None else axes)]


def _reduce_mean(tape: Tape, node: NodeProto, g: str) -> Gradients:
    shape = tape.shape(node.input[0])
    sizes = [shape[axis] for axis in _read_axes(tape, node, len(shape))]
    count = math.prod(size or 0 for size in sizes)
    return _reduce_sum(tape, node, _scaled(tape, g, 1 / count if count else math.nan))


def _reduce_sum(tape: Tape, node: NodeProto, g: str) -> Gradients:
    shape = tape.shape(node.input[0])
    axes = _read_axes(tape, node, len(shape))
    if any(shape[axis] is None for axis in axes):
        raise InvalidInput("graph: a sum or mean goes over the batch, expected one of each image.")
    if not read_attribute(node, "keepdims", 1):
        g = tape.op("Unsqueeze", g, tape.constant(axes, np.int64))
    return {0: tape.expand(g, shape)}


def _reduce_length(tape: Tape, node: NodeProto, g: str) -> Gradients:
    """It is x / |x|; where that is 0 / 0, nothing pulls anywhere."""
    x, length = node.input[0], node.output[0]
    (spread,) = _reduce_sum(tape, node, tape.op("Div", g, _above_zero(tape, length))).values()
    return {0: tape.op("Mul", x, spread)}


def _above_zero(tape: Tape, length: str) -> str:
    return tape.op("Max", length, tape.constant(TINY))


def _global_mean(tape: Tape, node: NodeProto, g: str) -> Gradients:
    shape = tape.shape(node.input[0])
    return {0: tape.expand(_scaled(tape, g, 1 / math.prod(s or 1 for s in shape[2:])), shape)}


def _reshape(tape: Tape, node: NodeProto, g: str) -> Gradients:
    return {0: tape.reshape(g, tape.shape(node.input[0]))}


def _squeeze(tape: Tape, node: NodeProto, g: str) -> Gradients:
    axes = _read_axes(tape, node, len(tape.shape(node.input[0])))
    return {0: tape.op("Unsqueeze", g, tape.constant(axes, np.int64))}


def _unsqueeze(tape: Tape, node: NodeProto, g: str) -> Gradients:
    axes = _read_axes(tape, node, len(tape.shape(node.output[0])))
    return {0: tape.op("Squeeze", g, tape.constant(axes, np.int64))}


def _transpose(tape: Tape, node: NodeProto, g: str) -> Gradients:
    order = read_attribute(node, "perm") or [*range(len(tape.shape(node.input[0])))][::-1]
    return {0: tape.op("Transpose", g, perm=[order.index(i) for i in range(len(order))])}


def _expand(tape: Tape, node: NodeProto, g: str) -> Gradients:
    return _unbroadcast(tape, node, {0: g})


def _pass(tape: Tape, node: NodeProto, g: str) -> Gradients:
    return {0: g}


def _concat(tape: Tape, node: NodeProto, g: str) -> Gradients:
    axis = read_attribute(node, "axis") % len(tape.shape(node.output[0]))
    found, start = {}, 0
    for i, name in enumerate(node.input):
        size = tape.shape(name)[axis]
        if size is None:
            raise InvalidInput("graph: a Concat joins batches, expected one of each image.")
        if tape.varies(name):
            bounds = (tape.constant([n], np.int64) for n in (start, start + size, axis))
            found[i] = tape.op("Slice", g, *bounds)
        start += size
    return found


def _slice(tape: Tape, node: NodeProto, g: str) -> Gradients:
    shape = tape.shape(node.input[0])
    starts, ends = (tape.array(name).tolist() for name in node.input[1:3])
    given = [tape.array(name).tolist() for name in node.input[3:5] if name]
    axes = given[0] if given else list(range(len(starts)))
    steps = given[1] if len(given) > 1 else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = shape[axis]
        if size is None:
            raise InvalidInput("graph: a Slice cuts the batch, expected one of each image.")
        places = np.arange(size)[slice(start, end if step > 0 or end >= -size else None, step)]
        g = _spread(tape, g, places, size, axis % len(shape), len(shape))
    return {0: g}


def _gather(tape: Tape, node: NodeProto, g: str) -> Gradients:
    shape, index = tape.shape(node.input[0]), tape.array(node.input[1])
    axis = read_attribute(node, "axis", 0) % len(shape)
    size = shape[axis]
    if size is None:
        raise InvalidInput("graph: a Gather takes of the batch, expected one of each image.")
    if index.ndim == 0:
        g = tape.op("Unsqueeze", g, tape.constant([axis], np.int64))
    if index.ndim > 1:
        g = tape.reshape(g, (*shape[:axis], index.size, *shape[axis + 1 :]))
    places = index.reshape(-1) % size
    if len(places) * size > MOST_ENTRIES and len(set(places.tolist())) == len(places):
        return {0: _put_back(tape, g, places, size, axis, len(shape))}
    return {0: _spread(tape, g, places, size, axis, len(shape))}


def _put_back(tape: Tape, g: str, places: np.ndarray, size: int, axis: int, rank: int) -> str:
    """A gradient along an axis put to its places among `size`, none of which is there twice."""
    count = len(places)
    back = np.full(size, count)
    back[places] = np.arange(count)
    pads = np.zeros((2, rank), np.int64)
    pads[1, axis] = 1  # a zero, for the places that got nothing
    padded = tape.op("Pad", g, tape.constant(pads.ravel(), np.int64))
    return tape.op("Gather", padded, tape.constant(back, np.int64), axis=axis)


def _spread(tape: Tape, g: str, places: np.ndarray, size: int, axis: int, rank: int) -> str:
    """A gradient along an axis put to its places among `size`, where it meets zeros or itself."""
    first, count = int(places[0]), len(places)
    if np.array_equal(places, np.arange(first, first + count)):  # one piece
        pads = np.zeros((2, rank), np.int64)
        pads[:, axis] = first, size - first - count
        return g if count == size else tape.op("Pad", g, tape.constant(pads.ravel(), np.int64))
    return tape.apply(g, np.asarray(places[:, None] == np.arange(size), np.float32), axis, rank)


def _depth_to_space(tape: Tape, node: NodeProto, g: str) -> Gradients:
    block = read_attribute(node, "blocksize")
    if read_attribute(node, "mode", "DCR") == "DCR":
        return {0: tape.op("SpaceToDepth", g, blocksize=block)}
    N, C, H, W = tape.shape(node.input[0])
    assert C is not None
    assert H is not None
    assert W is not None
    apart = tape.reshape(g, (N, C // block**2, H, block, W, block))
    return {0: tape.reshape(tape.op("Transpose", apart, perm=[0, 1, 3, 5, 2, 4]), (N, C, H, W))}


def _batch_norm(tape: Tape, node: NodeProto, g: str) -> Gradients:
    scale, _, _, variance = (tape.array(name).astype(np.float64) for name in node.input[1:5])
    factors = scale / np.sqrt(variance + read_attribute(node, "epsilon", 1e-5))
    ones = [1] * (len(tape.shape(node.input[0])) - 2)
    return {0: tape.op("Mul", g, tape.constant(factors.reshape(-1, *ones)))}


def _instance_norm(tape: Tape, node: NodeProto, g: str) -> Gradients:
    """It is s / sigma * (g - mean g - x' mean(g x')), with x' the input of mean 0, variance 1."""
    x, scale = node.input[:2]
    if any(tape.varies(name) for name in node.input[1:]):
        raise InvalidInput("graph: an InstanceNormalization has a scale that varies.")
    axes = list(range(2, len(tape.shape(x))))

    def mean(value: str) -> str:
        # One axis after the other: ONNX Runtime loses digits over a whole map at once.
        for axis in reversed(axes):
            value = tape.op("ReduceMean", value, axes=[axis], keepdims=1)
        return value

    from_mean = tape.op("Sub", x, mean(x))
    variance = mean(tape.op("Mul", from_mean, from_mean))
    epsilon = tape.constant(read_attribute(node, "epsilon", 1e-5))
    rate = tape.op("Reciprocal", tape.op("Sqrt", tape.op("Add", variance, epsilon)))
    normal = tape.op("Mul", from_mean, rate)
    share = tape.op("Mul", normal, mean(tape.op("Mul", g, normal)))
    inner = tape.op("Sub", tape.op("Sub", g, mean(g)), share)
    trailing = tape.constant(range(1, len(axes) + 1), np.int64)
    factors = tape.op("Mul", rate, tape.op("Unsqueeze", scale, trailing))  # [N, C, 1, 1]
    return {0: tape.op("Mul", inner, factors)}


ADJOINTS: Mapping[str, Rule] = MappingProxyType(
    {
        "Abs": _elementwise(lambda tape, x, y: tape.op("Sign", x)),
        "Add": _add,
        "AveragePool": windows.adjoin_average_pool,
        "BatchNormalization": _batch_norm,
        "Cast": _pass,
        "Clip": kinks.adjoin_clip,
        "Concat": _concat,
        "Conv": windows.adjoin_conv,
        "ConvTranspose": windows.adjoin_conv_transpose,
        "Cos": _elementwise(lambda tape, x, y: tape.op("Neg", tape.op("Sin", x))),
        "DepthToSpace": _depth_to_space,
        "Div": _divide,
        "Dropout": _pass,
        "Erf": _elementwise(_slope_of_erf),
        "Exp": _elementwise(lambda tape, x, y: y),
        "Expand": _expand,
        "Flatten": _reshape,
        "Gather": _gather,
        "Gemm": _gemm,
        "GlobalAveragePool": _global_mean,
        "Identity": _pass,
        "InstanceNormalization": _instance_norm,
        "LeakyRelu": kinks.adjoin_leaky_relu,
        "Log": _elementwise(lambda tape, x, y: tape.op("Reciprocal", x)),
        "MatMul": _matmul,
        "MaxPool": windows.adjoin_max_pool,
        "Mul": _multiply,
        "Neg": _elementwise(lambda tape, x, y: tape.constant(-1.0)),
        "PRelu": kinks.adjoin_prelu,
        "Pad": windows.adjoin_pad,
        "Pow": _power,
        "Reciprocal": _elementwise(_slope_of_reciprocal),
        "ReduceL2": _reduce_length,
        "ReduceMean": _reduce_mean,
        "ReduceSum": _reduce_sum,
        "Relu": kinks.adjoin_relu,
        "Reshape": _reshape,
        "Resize": windows.adjoin_resize,
        "Sigmoid": _elementwise(_slope_of_sigmoid),
        "Sin": _elementwise(lambda tape, x, y: tape.op("Cos", x)),
        "Slice": _slice,
        "Softmax": _softmax,
        "Sqrt": _elementwise(lambda tape, x, y: tape.op("Div", tape.constant(0.5), y)),
        "Squeeze": _squeeze,
        "Sub": _subtract,
        "Sum": _add,
        "Tanh": _elementwise(lambda tape, x, y: _less_square(tape, y)),
        "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
    }
)

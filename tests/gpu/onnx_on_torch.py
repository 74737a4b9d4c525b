"""ONNX graphs, op by op, as torch computes them: on the device and the stream that torch is told.

All ops that an export emits, and their neighbours. Nothing here waits for the device, and what a
shape depends on is a constant of the graph, so that a run can be captured as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

Tensor = torch.Tensor


class TorchGraph:
    """A graph whose constants lie on a device.

    Args:
        path: the ONNX file.
        device: of torch.
    """

    def __init__(self, path: str | Path, device: str) -> None:
        graph = onnx.load(path).graph
        self.inputs = [value.name for value in graph.input]
        self._host = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self._nodes = [Node(proto, self._host) for proto in graph.node if not self._keep(proto)]
        unknown = {node.kind for node in self._nodes} - OPS.keys()
        assert not unknown, f"{path}: no torch code for {sorted(unknown)}"
        self._constants = {
            name: torch.from_numpy(np.array(array)).to(device) for name, array in self._host.items()
        }
        self._last = {name: i for i, node in enumerate(self._nodes) for name in node.inputs}

    def run(self, feeds: Mapping[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
        """The outputs of these inputs, queued on torch's stream of the calling thread."""
        values: dict[str, Tensor | None] = {"": None, **self._constants, **feeds}
        wanted = {"", *outputs}
        with torch.inference_mode():
            for i, node in enumerate(self._nodes):
                made = OPS[node.kind](node, *(values[name] for name in node.inputs))
                many = made if isinstance(made, tuple | list) else (made,)
                values.update(zip(node.outputs, many, strict=True))
                for name in {*node.inputs} - wanted:
                    if self._last[name] == i:
                        del values[name]
        return [value for name in outputs if (value := values[name]) is not None]

    def _keep(self, proto: Any) -> bool:
        """Take a Constant node for one of the graph's constants."""
        if proto.op_type == "Constant":
            (attribute,) = proto.attribute
            value = onnx.helper.get_attribute_value(attribute)
            array = numpy_helper.to_array(value) if attribute.name == "value" else np.array(value)
            self._host[proto.output[0]] = array
        return bool(proto.op_type == "Constant")


class Node:
    """What an op needs to know beside its tensors."""

    def __init__(self, proto: Any, host: Mapping[str, np.ndarray]) -> None:
        self.kind = proto.op_type
        self.inputs = list(proto.input)
        self.outputs = list(proto.output)
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        self._host = host

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def constant(self, index: int, attribute: str = "") -> Any:
        """An input that is a constant, or else what older opsets have as an attribute. Or None."""
        name = self.inputs[index] if index < len(self.inputs) else ""
        if name:
            return self._host[name].tolist()
        return self.get(attribute)


OPS: dict[str, Callable[..., Any]] = {}


def op(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        OPS.update(dict.fromkeys(names, function))
        return function

    return add


def _add_plain() -> None:
    """Ops that take their tensors and nothing else."""
    unary: dict[str, Any] = {
        "Abs": torch.abs, "Ceil": torch.ceil, "Cos": torch.cos, "Erf": torch.erf,
        "Exp": torch.exp, "Floor": torch.floor, "Identity": lambda x: x, "Log": torch.log,
        "Neg": torch.neg, "Not": torch.logical_not, "Reciprocal": torch.reciprocal,
        "Relu": torch.relu, "Round": torch.round, "Sigmoid": torch.sigmoid, "Sign": torch.sign,
        "Sin": torch.sin, "Softplus": F.softplus, "Sqrt": torch.sqrt, "Tanh": torch.tanh,
    }  # fmt: skip
    binary: dict[str, Any] = {
        "Add": torch.add, "And": torch.logical_and, "Equal": torch.eq, "Greater": torch.gt,
        "GreaterOrEqual": torch.ge, "Less": torch.lt, "LessOrEqual": torch.le,
        "MatMul": torch.matmul, "Mul": torch.mul, "Or": torch.logical_or, "Sub": torch.sub,
    }  # fmt: skip
    for name, function in (unary | binary).items():
        OPS[name] = lambda node, *x, function=function: function(*x)
    many: dict[str, Any] = {"Max": torch.maximum, "Min": torch.minimum, "Sum": torch.add}
    for name, function in many.items():
        OPS[name] = lambda node, *x, function=function: reduce(function, x)


_add_plain()


@op("Div")
def _div(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


@op("Pow")
def _pow(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return torch.pow(x, y.to(x.dtype))


@op("Where")
def _where(node: Node, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition, x, y)


@op("Cast")
def _cast(node: Node, x: Tensor) -> Tensor:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(node.get("to"))
    return x.to(torch.from_numpy(np.empty(0, dtype)).dtype)


@op("Clip")
def _clip(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    return torch.clamp(x, node.constant(1, "min"), node.constant(2, "max"))


@op("LeakyRelu")
def _leaky_relu(node: Node, x: Tensor) -> Tensor:
    return F.leaky_relu(x, node.get("alpha", 0.01))


@op("Softmax")
def _softmax(node: Node, x: Tensor) -> Tensor:
    return torch.softmax(x, node.get("axis", -1))


@op("ArgMax")
def _argmax(node: Node, x: Tensor) -> Tensor:
    return torch.argmax(x, node.get("axis", 0), keepdim=bool(node.get("keepdims", 1)))


@op("Gemm")
def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    y = (a.T if node.get("transA") else a) @ (b.T if node.get("transB") else b)
    y = y if node.get("alpha", 1.0) == 1 else y * node.get("alpha")
    return y if c is None else torch.add(y, c, alpha=node.get("beta", 1.0))


def _pads(node: Node, spatial: int) -> tuple[list[int], list[int]]:
    """Pads at the beginnings and at the ends."""
    assert node.get("auto_pad", "NOTSET") == "NOTSET"
    pads = node.get("pads", [0] * (2 * spatial))
    return list(pads[:spatial]), list(pads[spatial:])


@op("Conv")
def _conv(node: Node, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    spatial = x.ndim - 2
    before, after = _pads(node, spatial)
    if before != after:
        pairs = reversed(list(zip(before, after, strict=True)))
        x, before = F.pad(x, [size for pair in pairs for size in pair]), [0] * spatial
    ones = [1] * spatial
    strides, dilations = node.get("strides", ones), node.get("dilations", ones)
    convolve: Any = (F.conv1d, F.conv2d, F.conv3d)[spatial - 1]
    y: Tensor = convolve(x, w, b, strides, before, dilations, node.get("group", 1))
    return y


@op("ConvTranspose")
def _conv_transpose(node: Node, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    spatial = x.ndim - 2
    before, after = _pads(node, spatial)
    ones, zeros = [1] * spatial, [0] * spatial
    convolve: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[spatial - 1]
    same = before if before == after else zeros
    strides, dilations = node.get("strides", ones), node.get("dilations", ones)
    more = node.get("output_padding", zeros)
    y: Tensor = convolve(x, w, b, strides, same, more, node.get("group", 1), dilations)
    if before != after:
        for axis, (first, last) in enumerate(zip(before, after, strict=True), 2):
            y = y.narrow(axis, first, y.shape[axis] - first - last)
    return y


@op("DepthToSpace")
def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    N, C, H, W = x.shape
    s = node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, s)
    y = x.reshape(N, s, s, C // s**2, H, W).permute(0, 3, 4, 1, 5, 2)  # [N,C',H,s,W,s]
    return y.reshape(N, C // s**2, H * s, W * s)


@op("SpaceToDepth")
def _space_to_depth(node: Node, x: Tensor) -> Tensor:
    N, C, H, W = x.shape
    s = node.get("blocksize")
    y = x.reshape(N, C, H // s, s, W // s, s).permute(0, 3, 5, 1, 2, 4)  # [N,s,s,C,H',W']
    return y.reshape(N, C * s**2, H // s, W // s)


@op("Resize")
def _resize(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    scales, sizes = node.constant(2), node.constant(3)
    size = (
        sizes[2:] if sizes else [int(n * s) for n, s in zip(x.shape[2:], scales[2:], strict=True)]
    )
    if node.get("mode", "nearest") == "nearest":
        assert node.get("coordinate_transformation_mode", "half_pixel") in (
            "asymmetric",
            "half_pixel",
        )
        assert node.get("nearest_mode") == "floor" or all(s % 1 == 0 for s in scales or [])
        return F.interpolate(x, size)
    assert node.get("mode") == "linear"
    aligned = node.get("coordinate_transformation_mode", "half_pixel") == "align_corners"
    return F.interpolate(x, size, mode="bilinear", align_corners=aligned)


@op("InstanceNormalization")
def _instance_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=bias, eps=node.get("epsilon", 1e-5))


@op("LayerNormalization")
def _layer_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    shape = x.shape[node.get("axis", -1) :]
    return F.layer_norm(x, shape, scale, bias, node.get("epsilon", 1e-5))


def _add_reductions() -> None:
    kinds: dict[str, Callable[..., Tensor]] = {
        "ReduceMean": torch.mean,
        "ReduceSum": torch.sum,
        "ReduceMax": torch.amax,
        "ReduceMin": torch.amin,
        "ReduceL1": lambda x, *how: torch.sum(x.abs(), *how),
        "ReduceL2": lambda x, *how: torch.sqrt(torch.sum(x * x, *how)),
        "ReduceSumSquare": lambda x, *how: torch.sum(x * x, *how),
        "ReduceLogSumExp": torch.logsumexp,
    }

    def run(node: Node, x: Tensor, *_: Tensor, function: Callable[..., Tensor]) -> Tensor:
        axes = node.constant(1, "axes") or []
        if not axes and node.get("noop_with_empty_axes"):
            return x
        return function(x, [*axes] or [*range(x.ndim)], bool(node.get("keepdims", 1)))

    for name, function in kinds.items():
        OPS[name] = lambda *arguments, function=function: run(*arguments, function=function)


_add_reductions()


@op("Transpose")
def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(node.get("perm", [*reversed(range(x.ndim))]))


@op("Reshape")
def _reshape(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    shape = node.constant(1)
    if not node.get("allowzero", 0):
        shape = [size or x.shape[axis] for axis, size in enumerate(shape)]
    return x.reshape(shape)


@op("Flatten")
def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


@op("Unsqueeze")
def _unsqueeze(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    axes = node.constant(1, "axes")
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


@op("Squeeze")
def _squeeze(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    axes = node.constant(1, "axes")
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


@op("Expand")
def _expand(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(node.constant(1))))


@op("Tile")
def _tile(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    return x.repeat(node.constant(1))


@op("Concat")
def _concat(node: Node, *x: Tensor) -> Tensor:
    return torch.cat(x, node.get("axis"))


@op("Split")
def _split(node: Node, x: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
    axis = node.get("axis", 0)
    sizes = node.constant(1, "split")
    if sizes is None:
        each = -(-x.shape[axis] // len(node.outputs))
        return torch.split(x, each, axis)
    return torch.split(x, sizes, axis)


@op("Slice")
def _slice(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    starts, ends = node.constant(1, "starts"), node.constant(2, "ends")
    axes = node.constant(3, "axes") or range(len(starts))
    steps = node.constant(4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        taken = range(x.shape[axis])[
            slice(start, None if step < 0 and end < -(2**31) else end, step)
        ]
        if step > 0:
            index = [slice(None)] * (axis % x.ndim) + [slice(taken.start, taken.stop, step)]
            x = x[tuple(index)]
        else:
            index = [slice(None)] * (axis % x.ndim) + [slice(taken[-1], taken[0] + 1, -step)]
            x = x[tuple(index)].flip(axis)
    return x


@op("Gather")
def _gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.get("axis", 0) % x.ndim
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    y = x.index_select(axis, indices.reshape(-1))
    return y.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


@op("Pad")
def _pad(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    pads, value = node.constant(1, "pads"), node.constant(2, "value")
    axes = node.constant(3) or [*range(x.ndim)]
    sizes = {axis % x.ndim: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    pairs = [sizes.get(axis, (0, 0)) for axis in reversed(range(x.ndim))]
    mode = {"edge": "replicate", "wrap": "circular"}.get(kind := node.get("mode", "constant"), kind)
    if mode == "constant":
        return F.pad(x, [n for pair in pairs for n in pair], value=value or 0.0)
    assert not any(sum(pair) for pair in pairs[-2:]), "of batch and channels"
    return F.pad(x, [n for pair in pairs[:-2] for n in pair], mode)


def _along(parameter: Tensor, axis: int, ndim: int) -> Tensor:
    """One value, or one for each index of an axis."""
    return parameter.reshape([-1 if i == axis % ndim else 1 for i in range(ndim)])


@op("DequantizeLinear")
def _dequantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    axis = node.get("axis", 1)
    y = x.to(scale.dtype)
    y = y if zero is None else y - _along(zero.to(scale.dtype), axis, x.ndim)
    return y * _along(scale, axis, x.ndim)


@op("QuantizeLinear")
def _quantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    axis = node.get("axis", 1)
    dtype = torch.uint8 if zero is None else zero.dtype
    y = torch.round(x / _along(scale, axis, x.ndim))
    y = y if zero is None else y + _along(zero.to(x.dtype), axis, x.ndim)
    limits = torch.iinfo(dtype)
    return torch.clamp(y, limits.min, limits.max).to(dtype)

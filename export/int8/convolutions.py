"""The convolutions of a synthesis graph that INT8 can compute, and what scales their inputs.

A style is multiplied into the input of a convolution, channel by channel: [N, C, 1, 1]. So factors
of the channels cost nothing where they go into the style, and the weight takes them back. The
demodulation, which is made of the same style, keeps the old one. The same holds of a shift behind
the style (StyleGAN 1), and through all that treats channels alike: leaky ReLU, resampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

__all__ = ["Convolution", "find_convolutions"]

LEAST_CHANNELS = 5  # to and from colours they are narrower, cost little time, and show every error

# What gives a x for a > 0 in place of x, if its first input is so scaled, channel by channel.
_HOMOGENEOUS = ("LeakyRelu", "Relu", "Resize", "Slice", "Cast")
# The same for one factor for all channels.
_LINEAR = ("Resize", "Slice", "Cast", "DepthToSpace", "SpaceToDepth")


@dataclass(frozen=True, eq=False)
class Convolution:
    """A dense convolution with a constant weight.

    Attributes:
        name: of the layer, such as 'b8.conv0'.
        node: a Conv or a ConvTranspose.
        weight: [O, I, k, k], or [I, O, k, k] of a ConvTranspose.
        scales: where the input's channels can be scaled: nodes, and which input of each; each of
            these inputs is [N, I, 1, 1] or [I, 1, 1]. None = nowhere.
        style: the one of `scales` that differs from image to image, None = none, or several.
        rescale: a node behind, and which input of it [N, C, 1, 1], that takes back a factor of
            each image, None = there is none.
        multiply_adds: of an image.
    """

    name: str
    node: ir.Node
    weight: np.ndarray
    scales: tuple[tuple[ir.Node, int], ...] | None
    style: ir.Value | None
    rescale: tuple[ir.Node, int] | None
    multiply_adds: int

    @property
    def output_axis(self) -> int:
        """The axis of the weight's output channels."""
        return 0 if self.node.op_type == "Conv" else 1

    @property
    def per_image(self) -> bool:
        """Whether a factor of each image costs nothing, either."""
        return self.style is not None and self.rescale is not None


def find_convolutions(graph: ir.Graph) -> list[Convolution]:
    """Those that are worth it, in their order. The shapes of all values must be known."""
    return [
        _describe(node, weight)
        for node in graph
        if node.op_type in ("Conv", "ConvTranspose")
        and (weight := _find_weight(node)) is not None
        and min(weight.shape[:2]) >= LEAST_CHANNELS
    ]


def _find_weight(node: ir.Node) -> np.ndarray | None:
    """The weight of a convolution with one group, None if it has several, or computes it."""
    stored = _constant(node.inputs[1])
    groups = node.attributes.get_int("group", 1)
    return stored if groups == 1 else None


def _describe(node: ir.Node, weight: np.ndarray) -> Convolution:
    value = _of(node.inputs[0])
    scales: list[tuple[ir.Node, int]] = []
    found = _collect_scales(value, scales)
    styles = [(n, i) for n, i in scales if _constant(n.inputs[i]) is None]
    multiplied = [n.inputs[i] for n, i in styles if n.op_type == "Mul"]
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    spatial = value if node.op_type == "ConvTranspose" else node.outputs[0]
    pixels = math.prod(d for d in _shape(spatial)[2:] if isinstance(d, int))
    return Convolution(
        name=str(node.name).removesuffix("/conv"),
        node=node,
        weight=weight,
        scales=tuple(scales) if found and scales else None,
        style=multiplied[0] if found and len(styles) == len(multiplied) == 1 else None,
        rescale=None if has_bias else _find_rescale(node.outputs[0]),
        multiply_adds=weight.size * pixels,
    )


def _collect_scales(value: ir.Value, scales: list[tuple[ir.Node, int]]) -> bool:
    """Whether the channels of a value can be scaled by what is before it, and where.

    A product can at one of its inputs; a sum has to at both.
    """
    node = value.producer()
    if node is None or len(value.uses()) != 1 or value.is_graph_output():
        return False
    if node.op_type in _HOMOGENEOUS:
        return _collect_scales(_of(node.inputs[0]), scales)
    if node.op_type not in ("Mul", "Add"):
        return False
    for i in (0, 1):
        if _is_per_channel(node.inputs[i]) and not _is_per_channel(node.inputs[1 - i]):
            scales.append((node, i))
            return node.op_type == "Mul" or _collect_scales(_of(node.inputs[1 - i]), scales)
    return False


def _find_rescale(value: ir.Value) -> tuple[ir.Node, int] | None:
    """The product behind a value by factors [N, C, 1, 1], with nothing but linear between."""
    while len(value.uses()) == 1 and not value.is_graph_output():
        ((node, index),) = value.uses()
        if node.op_type == "Mul":
            other = _of(node.inputs[1 - index])
            if _constant(other) is None:
                return (node, 1 - index) if _is_per_channel(other) else None
        elif node.op_type in ("Conv", "ConvTranspose"):
            has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
            if index != 0 or has_bias or _constant(node.inputs[1]) is None:
                return None
        elif node.op_type not in _LINEAR:
            return None
        value = node.outputs[0]
    return None


def _is_per_channel(value: ir.Value | None) -> bool:
    """Whether it is [N, C, 1, 1] or [C, 1, 1]: alike in all pixels."""
    shape = _shape(_of(value))
    return len(shape) in (3, 4) and tuple(shape[-2:]) == (1, 1) and shape[-3] != 1


def _shape(value: ir.Value) -> Sequence[int | str]:
    if value.shape is None:
        return ()
    return [d if isinstance(d, int) else str(d.value) for d in value.shape]


def _constant(value: ir.Value | None) -> np.ndarray | None:
    stored = None if value is None else value.const_value
    return None if stored is None else stored.numpy()


def _of(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value

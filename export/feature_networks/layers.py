"""Layers of feature networks as nodes of a graph; batch norm is folded into convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from stylert.export.feature_networks.weights import Weights
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["add_unit_rows", "convolve", "fold_norm", "pool_mean", "scale_pixels"]

EPS = 1e-10  # added to the length of a pixel's channels


def fold_norm(
    weights: Weights, norm: str, kernel: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """A kernel [O, I, k, k] with the batch norm behind it, and its bias [O]."""
    O = len(kernel)
    scale, shift = weights.take(f"{norm}.weight", O), weights.take(f"{norm}.bias", O)
    mean, variance = (weights.take(f"{norm}.running_{of}", O) for of in ("mean", "var"))
    gain = scale / np.sqrt(variance + eps)
    return kernel * gain[:, None, None, None], shift - mean * gain


def convolve(
    g: GraphBuilder,
    x: ir.Value,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    *,
    name: str,
    stride: int = 1,
    pads: Sequence[int] = (0, 0, 0, 0),
    group: int = 1,
) -> ir.Value:
    """A convolution; pads are those of the top, left, bottom and right."""
    constants = [g.constant(f"{name}.weight", kernel)]
    if bias is not None:
        constants.append(g.constant(f"{name}.bias", bias))
    sizes = {"kernel_shape": list(kernel.shape[2:]), "pads": list(pads)}
    return g.op("Conv", x, *constants, name=name, strides=[stride] * 2, group=group, **sizes)


def pool_mean(g: GraphBuilder, x: ir.Value, *, name: str) -> ir.Value:
    """The mean over all pixels: [N, C, H, W] -> [N, C]."""
    pooled = g.op("GlobalAveragePool", x, name=f"{name}/pool")
    return g.op("Flatten", pooled, name=name, axis=1)


def scale_pixels(g: GraphBuilder, x: ir.Value, scale: np.ndarray, shift: np.ndarray) -> ir.Value:
    """Pixels of 0 to 255 as the network was trained: x * scale + shift, a channel each.

    Not folded into the first convolution: its padding is zeros of what comes out here.
    """
    scaled = g.op("Mul", x, g.constant("scale", scale.reshape(1, -1, 1, 1)), name="scaled")
    return g.op("Add", scaled, g.constant("shift", shift.reshape(1, -1, 1, 1)), name="shifted")


def add_unit_rows(g: GraphBuilder, x: ir.Value, scale: np.ndarray, *, level: int) -> ir.Value:
    """A map [N, C, H, W] as rows [N, C H W], each pixel's channels at unit length times a scale.

    So the squared distance of two rows is a perceptual distance, of which LPIPS is one.

    Args:
        g: the graph.
        x: the map.
        scale: of each channel, [1, C, 1, 1], or one for all.
        level: which map it is, for the names.
    """
    eps = g.constant(f"eps{level}", np.full((), EPS, np.float32))
    length = g.op("ReduceL2", x, name=f"lengths{level}", axes=[1], keepdims=1)
    unit = g.op("Div", x, g.op("Add", length, eps, name=f"above{level}"), name=f"unit{level}")
    scaled = g.op("Mul", unit, g.constant(f"scale{level}", scale), name=f"weighted{level}")
    return g.op("Flatten", scaled, name=f"rows{level}", axis=1)

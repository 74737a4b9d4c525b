"""EfficientNet-lite0, of ImageNet: MBConv blocks with ReLU6 and no squeeze-and-excitation.

Its features are the means of its last map; its *maps* are those of five sizes, for losses: as
LPIPS, but each channel counts alike.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from stylert.export.feature_networks.layers import (
    add_unit_rows,
    convolve,
    fold_norm,
    pool_mean,
    scale_pixels,
)
from stylert.export.feature_networks.weights import Weights
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["SIZE", "count_maps", "emit_efficientnet_lite0", "emit_efficientnet_lite0_maps"]

SIZE = 224
EPS = 1e-3
STEM = 32
# Of each stage: blocks, kernel, stride of the first block, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
FEATURES = 1280
MAPS = (0, 1, 2, 4, 6)  # the stages whose last blocks give them: of each size, the last


def count_maps(size: int = SIZE) -> int:
    """Numbers of a picture's maps together."""
    return sum(STAGES[stage][4] * (size >> level) ** 2 for level, stage in enumerate(MAPS, 1))


def emit_efficientnet_lite0(g: GraphBuilder, x: ir.Value, weights: Weights) -> ir.Value:
    """The features [N, 1280] of pixels [N, 3, 224, 224] of 0 to 255."""
    net = _Network(g, weights)
    *_, x = net.list_stages(x)
    x = net.convolve(x, "_conv_head", "_bn1", (FEATURES, STAGES[-1][4], 1))
    return pool_mean(g, x, name="features")


def emit_efficientnet_lite0_maps(
    g: GraphBuilder, x: ir.Value, weights: Weights, *, size: int = SIZE
) -> ir.Value:
    """The maps [N, d] of pixels [N, 3, size, size] of 0 to 255.

    The squared distance of two pictures' is the mean over maps and pixels of that of their
    channels, at unit length.
    """
    maps = dict(enumerate(_Network(g, weights).list_stages(x)))
    scales = [np.full((), 1 / (size >> level) / len(MAPS) ** 0.5) for level in range(1, 6)]
    rows = [
        add_unit_rows(g, maps[stage], scale, level=level)
        for level, (stage, scale) in enumerate(zip(MAPS, scales, strict=True), 1)
    ]
    return g.op("Concat", *rows, name="joined", axis=1)


class _Network:
    def __init__(self, g: GraphBuilder, weights: Weights) -> None:
        self._g = g
        self._weights = weights
        zero, six = np.zeros((), np.float32), np.full((), 6, np.float32)
        self._bounds = g.constant("zero", zero), g.constant("six", six)

    def list_stages(self, x: ir.Value) -> list[ir.Value]:
        """The maps that the stages give of pixels of 0 to 255."""
        x = scale_pixels(self._g, x, np.full(3, 1 / 128), np.full(3, -127 / 128))
        x = self.convolve(x, "_conv_stem", "_bn0", (STEM, 3, 3), stride=2)
        channels, number, found = STEM, 0, []
        for blocks, kernel, first_stride, expansion, out in STAGES:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                at = f"_blocks.{number}."
                x = self.add_block(x, at, channels, kernel, stride, expansion, out)
                channels, number = out, number + 1
            found.append(x)
        return found

    def add_block(
        self, x: ir.Value, at: str, I: int, kernel: int, stride: int, expansion: int, out: int
    ) -> ir.Value:
        inner, wide = x, I * expansion
        if expansion > 1:
            inner = self.convolve(inner, f"{at}_expand_conv", f"{at}_bn0", (wide, I, 1))
        inner = self.convolve(
            inner, f"{at}_depthwise_conv", f"{at}_bn1", (wide, 1, kernel), stride=stride, group=wide
        )
        inner = self.convolve(
            inner, f"{at}_project_conv", f"{at}_bn2", (out, wide, 1), activate=False
        )
        return inner if stride > 1 or out != I else self._g.op("Add", inner, x, name=f"{at}sum")

    def convolve(
        self,
        x: ir.Value,
        name: str,
        norm: str,
        sizes: tuple[int, int, int],
        *,
        stride: int = 1,
        group: int = 1,
        activate: bool = True,
    ) -> ir.Value:
        """As TensorFlow pads: what is needed for even sizes, the odd pixel at the end."""
        O, I, k = sizes
        kernel, bias = fold_norm(
            self._weights, norm, self._weights.take(f"{name}.weight", O, I, k, k), EPS
        )
        before, after = (k - stride) // 2, (k - stride + 1) // 2
        pads = (before, before, after, after)
        x = convolve(self._g, x, kernel, bias, name=name, stride=stride, pads=pads, group=group)
        return self._g.op("Clip", x, *self._bounds, name=f"{name}/relu6") if activate else x

"""Inception of 2015, as FID has used it ever since: 2048 features of pictures of 299 pixels.

The layout is that of the PyTorch conversions (torch-fidelity, torchmetrics, pytorch-fid). Its means
over 3x3 pixels leave the padding out, and the last block takes the largest instead of the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from stylert.export.feature_networks.layers import convolve, fold_norm, pool_mean, scale_pixels
from stylert.export.feature_networks.weights import Weights
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["SIZE", "emit_inception"]

SIZE = 299
EPS = 1e-3

# A convolution of a block: name, channels out, height and width of its kernel.
Layer = tuple[str, int, int, int]


def emit_inception(g: GraphBuilder, x: ir.Value, weights: Weights) -> ir.Value:
    """The features [N, 2048] of pixels [N, 3, 299, 299] of 0 to 255."""
    net = _Inception(g, weights)
    x = scale_pixels(g, x, np.full(3, 1 / 128), np.full(3, -1.0))
    x, C = net.convolve(x, 3, "Conv2d_1a_3x3", 32, (3, 3), stride=2, same=False)
    x, C = net.convolve(x, C, "Conv2d_2a_3x3", 32, (3, 3), same=False)
    x, C = net.convolve(x, C, "Conv2d_2b_3x3", 64, (3, 3))
    x = net.pool_max(x, "MaxPool_1", stride=2)
    x, C = net.convolve(x, C, "Conv2d_3b_1x1", 80, (1, 1), same=False)
    x, C = net.convolve(x, C, "Conv2d_4a_3x3", 192, (3, 3), same=False)
    x = net.pool_max(x, "MaxPool_2", stride=2)
    for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x, C = net.add_a(x, C, name, pooled)
    x, C = net.add_b(x, C, "Mixed_6a")
    for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        x, C = net.add_c(x, C, name, width)
    x, C = net.add_d(x, C, "Mixed_7a")
    x, C = net.add_e(x, C, "Mixed_7b", largest=False)
    x, C = net.add_e(x, C, "Mixed_7c", largest=True)
    return pool_mean(g, x, name="features")


class _Inception:
    """Its blocks; each gives its output and how many channels that has."""

    def __init__(self, g: GraphBuilder, weights: Weights) -> None:
        self._g = g
        self._weights = weights

    def convolve(
        self,
        x: ir.Value,
        I: int,
        name: str,
        O: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        same: bool = True,
    ) -> tuple[ir.Value, int]:
        """Convolution, batch norm and ReLU."""
        weight = self._weights.take(f"{name}.conv.weight", O, I, *kernel)
        folded, bias = fold_norm(self._weights, f"{name}.bn", weight, EPS)
        ph, pw = (kernel[0] // 2, kernel[1] // 2) if same else (0, 0)
        x = convolve(self._g, x, folded, bias, name=name, stride=stride, pads=(ph, pw, ph, pw))
        return self._g.op("Relu", x, name=f"{name}/relu"), O

    def pool_max(self, x: ir.Value, name: str, *, stride: int, pad: int = 0) -> ir.Value:
        """The largest of 3x3 pixels."""
        sizes = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [pad] * 4}
        return self._g.op("MaxPool", x, name=name, **sizes)

    def pool_mean(self, x: ir.Value, name: str) -> ir.Value:
        """The mean of those of 3x3 pixels that are in the picture."""
        sizes = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1] * 4}
        return self._g.op("AveragePool", x, name=name, count_include_pad=0, **sizes)

    def chain(
        self, x: ir.Value, I: int, block: str, layers: Sequence[Layer], *, last_stride: int = 1
    ) -> tuple[ir.Value, int]:
        """Convolutions one behind the other; one of stride 2 at the end has no padding."""
        for number, (name, O, kh, kw) in enumerate(layers, 1):
            stride = last_stride if number == len(layers) else 1
            x, I = self.convolve(
                x, I, f"{block}.{name}", O, (kh, kw), stride=stride, same=stride == 1
            )
        return x, I

    def join(self, block: str, branches: Sequence[tuple[ir.Value, int]]) -> tuple[ir.Value, int]:
        """The channels of all branches."""
        joined = self._g.op("Concat", *(x for x, _ in branches), name=f"{block}/joined", axis=1)
        return joined, sum(C for _, C in branches)

    def add_a(self, x: ir.Value, I: int, at: str, pooled: int) -> tuple[ir.Value, int]:
        """35 x 35 pixels: 1x1, 5x5, twice 3x3, and a mean."""
        five = [("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 5)]
        three = [("branch3x3dbl_1", 64, 1, 1)]
        three += [(f"branch3x3dbl_{n}", 96, 3, 3) for n in (2, 3)]
        mean = self.pool_mean(x, f"{at}.pool")
        branches = [
            self.chain(x, I, at, [("branch1x1", 64, 1, 1)]),
            self.chain(x, I, at, five),
            self.chain(x, I, at, three),
            self.chain(mean, I, at, [("branch_pool", pooled, 1, 1)]),
        ]
        return self.join(at, branches)

    def add_b(self, x: ir.Value, I: int, at: str) -> tuple[ir.Value, int]:
        """To 17 x 17 pixels."""
        three = [("branch3x3dbl_1", 64, 1, 1)]
        three += [(f"branch3x3dbl_{n}", 96, 3, 3) for n in (2, 3)]
        branches = [
            self.chain(x, I, at, [("branch3x3", 384, 3, 3)], last_stride=2),
            self.chain(x, I, at, three, last_stride=2),
            (self.pool_max(x, f"{at}.pool", stride=2), I),
        ]
        return self.join(at, branches)

    def add_c(self, x: ir.Value, I: int, at: str, width: int) -> tuple[ir.Value, int]:
        """17 x 17 pixels: 7x7 as 1x7 and 7x1."""
        seven = [("branch7x7_1", width, 1, 1), ("branch7x7_2", width, 1, 7)]
        seven += [("branch7x7_3", 192, 7, 1)]
        twice = [("branch7x7dbl_1", width, 1, 1), ("branch7x7dbl_2", width, 7, 1)]
        twice += [("branch7x7dbl_3", width, 1, 7), ("branch7x7dbl_4", width, 7, 1)]
        twice += [("branch7x7dbl_5", 192, 1, 7)]
        mean = self.pool_mean(x, f"{at}.pool")
        branches = [
            self.chain(x, I, at, [("branch1x1", 192, 1, 1)]),
            self.chain(x, I, at, seven),
            self.chain(x, I, at, twice),
            self.chain(mean, I, at, [("branch_pool", 192, 1, 1)]),
        ]
        return self.join(at, branches)

    def add_d(self, x: ir.Value, I: int, at: str) -> tuple[ir.Value, int]:
        """To 8 x 8 pixels."""
        three = [("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 3)]
        seven = [("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, 1, 7)]
        seven += [("branch7x7x3_3", 192, 7, 1), ("branch7x7x3_4", 192, 3, 3)]
        branches = [
            self.chain(x, I, at, three, last_stride=2),
            self.chain(x, I, at, seven, last_stride=2),
            (self.pool_max(x, f"{at}.pool", stride=2), I),
        ]
        return self.join(at, branches)

    def add_e(self, x: ir.Value, I: int, at: str, *, largest: bool) -> tuple[ir.Value, int]:
        """8 x 8 pixels: 3x3 as 1x3 beside 3x1."""
        three, C = self.chain(x, I, at, [("branch3x3_1", 384, 1, 1)])
        double = [("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 3)]
        twice, D = self.chain(x, I, at, double)
        if largest:
            pooled = self.pool_max(x, f"{at}.pool", stride=1, pad=1)
        else:
            pooled = self.pool_mean(x, f"{at}.pool")
        branches = [
            self.chain(x, I, at, [("branch1x1", 320, 1, 1)]),
            self.chain(three, C, at, [("branch3x3_2a", 384, 1, 3)]),
            self.chain(three, C, at, [("branch3x3_2b", 384, 3, 1)]),
            self.chain(twice, D, at, [("branch3x3dbl_3a", 384, 1, 3)]),
            self.chain(twice, D, at, [("branch3x3dbl_3b", 384, 3, 1)]),
            self.chain(pooled, I, at, [("branch_pool", 192, 1, 1)]),
        ]
        return self.join(at, branches)

"""LPIPS of VGG16: features whose squared distance is the perceptual distance of two pictures.

LPIPS compares five layers, each pixel's channels at unit length, with a weight for each channel,
and takes the mean over pixels. So features times the root of that weight over the root of the
pixels give it as a plain distance.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from stylert.export.feature_networks.layers import add_unit_rows, convolve, scale_pixels
from stylert.export.feature_networks.weights import Weights
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.errors import CheckpointError

__all__ = ["SIZE", "count_features", "emit_vgg16_lpips"]

SIZE = 256  # of the pictures; PPL averages larger ones down to it
MEAN = np.array([-0.030, -0.088, -0.188])  # of pixels of -1 to 1
DEVIATION = np.array([0.458, 0.448, 0.450])
# The numbers of the convolutions among torchvision's `features`, and their channels, by layer.
LAYERS = (
    ((0, 2), 64),
    ((5, 7), 128),
    ((10, 12, 14), 256),
    ((17, 19, 21), 512),
    ((24, 26, 28), 512),
)


def count_features(size: int = SIZE) -> int:
    """Numbers of a picture: 7 million of 256 pixels, so they are compared, and not kept."""
    return sum(C * (size >> level) ** 2 for level, (_, C) in enumerate(LAYERS))


def emit_vgg16_lpips(
    g: GraphBuilder, x: ir.Value, weights: Weights, heads: Weights, *, size: int = SIZE
) -> ir.Value:
    """The features [N, d] of pixels [N, 3, size, size] of 0 to 255."""
    x = scale_pixels(g, x, 1 / (127.5 * DEVIATION), (-1 - MEAN) / DEVIATION)
    I, found = 3, []
    for level, (numbers, O) in enumerate(LAYERS):
        if level:
            sizes = {"kernel_shape": [2, 2], "strides": [2, 2]}
            x = g.op("MaxPool", x, name=f"pool{level}", **sizes)
        for number in numbers:
            name = f"features.{number}"
            kernel = weights.take(f"{name}.weight", O, I, 3, 3)
            bias = weights.take(f"{name}.bias", O)
            x = convolve(g, x, kernel, bias, name=name, pads=(1, 1, 1, 1))
            x, I = g.op("Relu", x, name=f"{name}/relu"), O
        head = heads.take(f"lin{level}.model.1.weight", 1, O, 1, 1)
        if (head < 0).any():
            raise CheckpointError(f"its tensor 'lin{level}.model.1.weight' has values below 0")
        found.append(add_unit_rows(g, x, np.sqrt(head) / (size >> level), level=level))
    return g.op("Concat", *found, name="joined", axis=1)

"""The synthesis network of StyleGAN 1 as an ONNX graph.

Its weights are constant by design: a style only scales and shifts what the instance normalisation
has made of a channel (StyleGAN, equation 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.checkpoints import Checkpoint, StyleGAN1Config
from stylert.export.graphs.emitter import SynthesisEmitter
from stylert.export.graphs.styles import StyledLayer
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["build_stylegan1_graph"]

CONVS = ("conv0", "conv1")  # of a block; each takes styles of two parts
PARTS = ("scale", "offset")
EPSILON = 1e-8  # of the instance normalisation
# ONNX Runtime's operator for it adds up pixel by pixel: 1e-5 off at 512 x 512, 1e-4 at 1024 x 1024.
MOST_PIXELS = 256 * 256


def build_stylegan1_graph(checkpoint: Checkpoint, **options: Any) -> GraphBuilder:
    """The synthesis network, with its noise as inputs.

    In half precision, the styles and the instance normalisation stay in float32.

    Args:
        checkpoint: a StyleGAN 1 generator.
        **options: of `SynthesisEmitter`.
    """
    return _Synthesis(checkpoint, **options).build()


class _Synthesis(SynthesisEmitter):
    config: StyleGAN1Config
    pixels: int  # of the block at hand

    def build(self) -> GraphBuilder:
        c = self.config
        self.emit_styles(self.list_layers())
        x = img = None
        for resolution, block in zip(c.block_resolutions, c.block_names, strict=True):
            self.pixels = math.prod(c.find_block_shape(resolution))
            x = self.enter(block, x)
            if x is None:
                x = self.constant_layer(f"{block}.conv0", f"synthesis.{block}.const")
            else:
                fused = c.is_fused(resolution)
                x = self.up_layer(x, f"{block}.conv0", fused=fused)
            x = self.layer(x, f"{block}.conv1")
            if block == c.block_names[-1]:
                img = self.torgb(x)
            self.leave(block)
        assert img is not None
        self.output_images(img, c.img_channels, c.img_shape)
        return self.graph

    def constant_layer(self, layer: str, name: str) -> ir.Value:
        """The learned constant, its bias added beforehand, and what follows every layer."""
        const = self.tensors[name].astype(np.float64)
        const = const + self.tensors[f"synthesis.{layer}.bias"][:, None, None]
        with self.graph.scope(layer):
            if not self.config.use_noise:  # no input has a part in it before the style
                const = _normalize(const, self.config.activation)
                x = self.graph.constant("const", const[None])
                return self.style(x, *self.scale_and_offset(layer))
            return self.finish(self.constant("const", const[None]), layer, np.ones(len(const)))

    def layer(self, x: ir.Value, layer: str) -> ir.Value:
        """A 3x3 convolution and what follows it."""
        weight, bias, factors = self.weights(layer)
        with self.graph.scope(layer):
            x = self.conv(x, weight, [1, 1, 1, 1], "conv", bias=bias)
            return self.finish(x, layer, factors)

    def up_layer(self, x: ir.Value, layer: str, *, fused: bool) -> ir.Value:
        """A convolution that upsamples by 2, the blur, and what follows them."""
        weight, bias, factors = self.weights(layer)
        channels = len(bias)
        with self.graph.scope(layer):
            x = self.graph.op(
                "ConvTranspose",
                x,
                self.weight("conv_weight", lowering.transpose_weight(weight, fused=fused)),
                name="conv",
                kernel_shape=[3, 3],
                strides=[2, 2],
            )
            self.watched.append(x)
            x = self.conv(
                x, lowering.make_box_kernel(channels), [0, 0, 0, 0], "box", group=channels
            )
            self.watched.append(x)
            x = self.conv(
                x,
                lowering.make_blur_kernel(channels),
                [1, 1, 1, 1],
                "blur",
                bias=bias,
                group=channels,
            )
            return self.finish(x, layer, factors)

    def weights(self, layer: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weight [O, I, 3, 3], bias [O], and the factors [O] that both are scaled with.

        In half precision the weight is brought to at most 1, so that nothing overflows inside of
        the convolution. All up to the instance normalisation scales alike, and that takes it back.
        """
        weight = self.tensors[f"synthesis.{layer}.weight"].astype(np.float64)
        weight = weight * math.sqrt(2 / math.prod(weight.shape[1:]))
        bias = self.tensors[f"synthesis.{layer}.bias"].astype(np.float64)
        if not self.in_half:
            return weight, bias, np.ones(len(bias))
        weight, factors = lowering.normalize_weight(weight)
        return weight, bias * factors, factors

    def finish(self, x: ir.Value, layer: str, factors: np.ndarray) -> ir.Value:
        """Noise, activation, instance normalisation and style; the bias is already there."""
        self.watched.append(x)
        if self.config.use_noise:
            x = self.graph.op("Add", x, self.noise(layer, factors), name="add_noise")
            self.watched.append(x)
        x = self.activation(x, self.config.activation)
        return self.adain(x, layer, factors)

    def adain(self, x: ir.Value, layer: str, factors: np.ndarray) -> ir.Value:
        """Every channel with mean 0 and variance 1, whatever its factor, then with its style."""
        g = self.graph
        scale, offset = self.scale_and_offset(layer)
        if self.in_half or self.pixels > MOST_PIXELS:
            with g.scope("normalize"):
                x, deviation = self.center(x, factors)
                return self.style(x, g.op("Div", scale, deviation, name="scale"), offset)
        ones = g.constant("ones", np.ones(len(factors)))
        zeros = g.constant("zeros", np.zeros(len(factors)))
        x = g.op("InstanceNormalization", x, ones, zeros, name="normalize", epsilon=EPSILON)
        return self.style(x, scale, offset)

    def center(self, x: ir.Value, factors: np.ndarray) -> tuple[ir.Value, ir.Value]:
        """Every channel less its mean, and its deviation [N, C, 1, 1], in float32.

        Good for any number of pixels, and with an epsilon for every factor.
        """
        g = self.graph
        if self.dtype != "float32":
            x = g.cast(x, "float32", name="to_float32")
        x = g.op("Sub", x, self.mean(x, "mean"), name="center")
        variance = self.mean(g.op("Mul", x, x, name="square"), "variance")
        epsilon = g.constant("epsilon", EPSILON * factors[:, None, None] ** 2)
        power = g.op("Add", variance, epsilon, name="power")
        return x, g.op("Sqrt", power, name="deviation")

    def mean(self, x: ir.Value, name: str) -> ir.Value:
        """The mean [N, C, 1, 1] of x [N, C, H, W]: rows first, which keeps the sums short."""
        rows = self.graph.op("ReduceMean", x, name=f"{name}_of_rows", axes=[3], keepdims=1)
        return self.graph.op("ReduceMean", rows, name=name, axes=[2], keepdims=1)

    def style(self, x: ir.Value, scale: ir.Value, offset: ir.Value) -> ir.Value:
        """Scale and shift every channel in float32; then the precision of the block."""
        x = self.graph.op("Mul", x, scale, name="modulate")
        x = self.graph.op("Add", x, offset, name="shift")
        x = self.to_block(x, "styled")
        self.watched.append(x)
        return x

    def list_layers(self) -> Iterator[StyledLayer]:
        """The scales and the offsets of all layers: affine functions of the w of each."""
        convs = (f"{block}.{conv}" for block in self.config.block_names for conv in CONVS)
        for index, layer in enumerate(convs):
            name = f"synthesis.{layer}.affine"
            weights = np.split(self.tensors[f"{name}.weight"], 2)
            scales, offsets = np.split(self.tensors[f"{name}.bias"].astype(np.float64), 2)
            for part, weight, bias in zip(PARTS, weights, (scales + 1, offsets), strict=True):
                affine = lowering.fold_dense(weight, bias)
                yield StyledLayer(f"{layer}.{part}", index, *affine)

    def scale_and_offset(self, layer: str) -> tuple[ir.Value, ir.Value]:
        """The scales and the offsets [N, C, 1, 1]."""
        g = self.graph
        axes = g.shared("channel_axes", np.array([2, 3]))
        styles = []
        for part in PARTS:
            with g.scope(f"{part}s"):
                styles.append(self.styles.find(f"{layer}.{part}"))
        scale, offset = (
            g.op("Unsqueeze", x, axes, name=part) for part, x in zip(PARTS, styles, strict=True)
        )
        return scale, offset

    def torgb(self, x: ir.Value) -> ir.Value:
        """1x1 convolution to the image's channels; from there on it is float32."""
        g = self.graph
        weight = self.tensors["synthesis.torgb.weight"].astype(np.float64)
        weight = weight / math.sqrt(weight.shape[1])
        bias = self.tensors["synthesis.torgb.bias"]
        with g.scope("torgb"):
            if self.dtype == "float32":
                x = self.conv(x, weight, [0, 0, 0, 0], "conv", bias=bias)
                self.watched.append(x)
                return x
            x = self.conv(x, weight, [0, 0, 0, 0], "conv")
            x = g.cast(x, "float32", name="to_float32")
            return g.op("Add", x, g.constant("bias", bias[:, None, None]), name="add_bias")


def _normalize(x: np.ndarray, activation: str) -> np.ndarray:
    """Activation and instance normalisation of a constant [C, H, W], in float64."""
    x = np.where(x > 0, x, x * (0.2 if activation == "lrelu" else 0))
    x = x - x.mean(axis=(1, 2), keepdims=True)
    normalized: np.ndarray = x / np.sqrt(np.square(x).mean(axis=(1, 2), keepdims=True) + EPSILON)
    return normalized

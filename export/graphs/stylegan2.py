"""The synthesis network of StyleGAN2 as an ONNX graph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.checkpoints import Checkpoint, StyleGAN2Config
from stylert.export.graphs.emitter import GAINS, HOMOGENEOUS
from stylert.export.graphs.modulation import ModulatedEmitter
from stylert.export.graphs.styles import StyledLayer
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["build_stylegan2_graph"]


def build_stylegan2_graph(
    checkpoint: Checkpoint, *, up_convolution: str = "transposed", **options: Any
) -> GraphBuilder:
    """The synthesis network, with its noise as inputs.

    In half precision, styles, demodulation and the sum of the RGB images stay in float32.

    Args:
        checkpoint: a StyleGAN2 generator.
        up_convolution: 'transposed' (transposed convolution, then the filter) or 'folded' (one
            convolution to four phases, then DepthToSpace). The function is the same.
        **options: of `SynthesisEmitter`.
    """
    assert up_convolution in lowering.UP_CONVOLUTIONS, up_convolution
    return _Synthesis(checkpoint, up_convolution, **options).build()


class _Synthesis(ModulatedEmitter):
    config: StyleGAN2Config

    def __init__(self, checkpoint: Checkpoint, up_convolution: str, **options: Any) -> None:
        super().__init__(checkpoint, **options)
        self.up_convolution = up_convolution

    def build(self) -> GraphBuilder:
        c = self.config
        self.emit_styles(self.list_layers())
        x = img = None
        for resolution, block in zip(c.block_resolutions, c.block_names, strict=True):
            x = self.enter(block, x)
            x, img = self.block(resolution, x, img)
            self.leave(block)
        assert img is not None
        self.output_images(img, c.img_channels, c.img_shape)
        return self.graph

    def list_layers(self) -> Iterator[StyledLayer]:
        """The layers that take styles, with the rows of ws that these are made of."""
        c = self.config
        index = 0  # the w of a block's ToRGB is that of the next block's first convolution
        for resolution, block in zip(c.block_resolutions, c.block_names, strict=True):
            for conv in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
                layer = f"{block}.{conv}"
                before, _ = self.find_gains(layer)
                weight = self.tensors[f"synthesis.{layer}.weight"]
                yield self.styled(layer, index, weight=weight, norm=before)
                index += 1
            if c.has_torgb(resolution):
                channels = self.tensors[f"synthesis.{block}.torgb.weight"].shape[1]
                gain = 1 / math.sqrt(channels)
                yield self.styled(f"{block}.torgb", index, gain=gain, is_rgb=True)

    def find_gains(self, layer: str) -> tuple[float, float]:
        """The gains before and behind the activation of a convolution.

        That before it is taken in by demodulation, noise and bias.
        """
        block, conv = layer.split(".")
        c = self.config
        gain = GAINS[c.activation]
        if c.architecture == "resnet" and conv == "conv1" and block != c.block_names[0]:
            gain *= math.sqrt(0.5)  # halving the variance of both branches keeps that of their sum
        return (gain, 1.0) if c.activation in HOMOGENEOUS else (1.0, gain)

    def block(
        self, resolution: int, x: ir.Value | None, img: ir.Value | None
    ) -> tuple[ir.Value, ir.Value | None]:
        """One resolution: the next activations and the next image."""
        c, g = self.config, self.graph
        block = f"b{resolution}"
        fir = self.tensors[f"synthesis.{block}.resample_filter"]
        residual = c.architecture == "resnet" and x is not None
        if x is None:
            y = self.constant(f"{block}.const", self.tensors[f"synthesis.{block}.const"][None])
        else:
            y = self.styled_conv(x, f"{block}.conv0", fir)
        y = self.styled_conv(y, f"{block}.conv1")
        if residual:
            assert x is not None
            with g.scope(f"{block}.skip"):
                y = g.op("Add", y, self.skip(x, f"synthesis.{block}.skip", fir), name="add")
                self.watched.append(y)
        if img is not None:
            with g.scope(f"{block}.upsample"):
                own = self.tensors.get(f"synthesis.{block}.torgb.resample_filter", fir)
                img = self.upsample_image(img, own)
        if c.has_torgb(resolution):
            with g.scope(f"{block}.torgb"):
                rgb = self.torgb(y, f"{block}.torgb")
                img = rgb if img is None else g.op("Add", img, rgb, name="add")
        return y, img

    def styled_conv(self, x: ir.Value, layer: str, fir: np.ndarray | None = None) -> ir.Value:
        """Modulated 3x3 convolution, noise, bias, activation, clamp; with a filter, upsamples."""
        c, g = self.config, self.graph
        name = f"synthesis.{layer}"
        before, behind = self.find_gains(layer)
        with g.scope(layer):
            scale, weight, d = self.modulation(layer, self.tensors[f"{name}.weight"])
            x = g.op("Mul", x, self.per_channel(scale, "styles"), name="modulate")
            x = self.convolution(x, weight, fir)
            self.watched.append(x)
            x = g.op("Mul", x, self.per_channel(d, "factors"), name="demodulate")
            if c.use_noise:
                x = g.op("Add", x, self.noise(layer, before), name="add_noise")
            bias = self.tensors[f"{name}.bias"].astype(np.float64) * before
            x = g.op("Add", x, self.constant("bias", bias[:, None, None]), name="add_bias")
            self.watched.append(x)
            x = self.activation(x, c.activation)
            x = self.scale(x, behind, "gain")
            gain = before * behind / GAINS[c.activation]
            return self.clamp(x, None if c.conv_clamp is None else c.conv_clamp * gain)

    def torgb(self, x: ir.Value, layer: str) -> ir.Value:
        """Modulated 1x1 convolution to the image's channels; from there on it is float32."""
        g = self.graph
        weight = self.tensors[f"synthesis.{layer}.weight"]
        bias = self.tensors[f"synthesis.{layer}.bias"]
        styles = self.styles.find(layer)
        x = g.op("Mul", x, self.per_channel(styles, "styles"), name="modulate")
        self.watched.append(x)
        if self.dtype == "float32":
            constants = g.weight("weight", weight), g.constant("bias", bias)
            x = g.op("Conv", x, *constants, name="conv", kernel_shape=[1, 1])
            self.watched.append(x)
        else:
            x = g.op("Conv", x, self.constant("weight", weight), name="conv", kernel_shape=[1, 1])
            x = g.cast(x, "float32", name="to_float32")
            x = g.op("Add", x, g.constant("bias", bias[:, None, None]), name="add_bias")
        return self.clamp(x, self.config.conv_clamp, "float32")

    def convolution(self, x: ir.Value, weight: np.ndarray, fir: np.ndarray | None) -> ir.Value:
        """3x3 convolution; with a filter, upsample by 2."""
        g = self.graph
        if fir is None:
            return self.conv(x, weight, [1, 1, 1, 1], "conv")
        if self.up_convolution == "folded":
            folded, pads = lowering.fold_up_convolution(weight, fir)
            x = self.conv(x, folded, pads, "conv")
            return g.op("DepthToSpace", x, name="to_space", blocksize=2, mode="CRD")
        x = g.op(
            "ConvTranspose",
            x,
            self.weight("conv_weight", weight.transpose(1, 0, 2, 3)),
            name="conv",
            kernel_shape=[3, 3],
            strides=[2, 2],
        )
        self.watched.append(x)
        kernel, pads = lowering.transpose_fir(fir)
        kernels = np.broadcast_to(kernel, (weight.shape[0], 1, *kernel.shape))
        return self.conv(x, kernels, pads, "filter", group=weight.shape[0])

    def skip(self, x: ir.Value, name: str, fir: np.ndarray) -> ir.Value:
        """The residual branch: 1x1 convolution, then upsampling by 2."""
        weight = self.tensors[f"{name}.weight"].astype(np.float64)
        x = self.conv(x, weight * math.sqrt(0.5 / weight.shape[1]), [0, 0, 0, 0], "conv")
        self.watched.append(x)
        return self.upsample(x, fir, weight.shape[0], self.dtype)

    def upsample_image(self, img: ir.Value, fir: np.ndarray) -> ir.Value:
        """Upsampling by 2 with a filter in one step, in float32: a transposed convolution."""
        g, channels = self.graph, self.config.img_channels
        kernel, pads = lowering.transpose_up_fir(fir)
        kernels = np.broadcast_to(kernel, (channels, 1, *kernel.shape))
        return g.op(
            "ConvTranspose",
            img,
            g.weight("filter_weight", kernels),
            name="filter",
            kernel_shape=list(kernel.shape),
            strides=[2, 2],
            pads=pads,
            group=channels,
        )

    def upsample(self, x: ir.Value, fir: np.ndarray, channels: int, dtype: str) -> ir.Value:
        """Upsampling by 2 with a filter: its four phases, then DepthToSpace."""
        phases, pads = lowering.split_up_fir(fir)  # [4, h, w]
        kernels = np.tile(phases, (channels, 1, 1))[:, None]  # [4 C, 1, h, w]
        x = self.conv(x, kernels, pads, "filter", group=channels, dtype=dtype)
        return self.graph.op("DepthToSpace", x, name="to_space", blocksize=2, mode="CRD")

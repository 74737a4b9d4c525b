"""StyleGAN2 as two ONNX graphs with constant weights and a dynamic batch.

The modulation is moved from the weights to the activations: y = d * conv(s * x, W), with the
demodulation d from one small matrix product (StyleGAN2, section 2.2, and `lowering`).
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.checkpoints.checkpoint import Checkpoint
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["mapping_graph", "noise_name", "synthesis_graph"]

_GAINS = {"linear": 1.0, "relu": math.sqrt(2), "lrelu": math.sqrt(2), "swish": math.sqrt(2)}
_HOMOGENEOUS = ("linear", "relu", "lrelu")  # f(a x) = a f(x) for a > 0: a gain may go first


def noise_name(layer: str) -> str:
    """The input that carries the noise of a layer: 'noise_b8_conv0' of 'b8.conv0'."""
    return f"noise_{layer.replace('.', '_')}"


def mapping_graph(checkpoint: Checkpoint) -> GraphBuilder:
    """The mapping network, with a truncation psi for every image and layer as input."""
    return _Mapping(checkpoint).build()


def synthesis_graph(checkpoint: Checkpoint, *, up_convolution: str = "transposed") -> GraphBuilder:
    """The synthesis network, with its noise as inputs.

    Args:
        checkpoint: a StyleGAN2 generator.
        up_convolution: 'transposed' (transposed convolution, then the filter) or 'folded' (one
            convolution to four phases, then DepthToSpace). The function is the same.
    """
    assert up_convolution in lowering.UP_CONVOLUTIONS, up_convolution
    return _Synthesis(checkpoint, up_convolution).build()


class _Emitter:
    """What both graphs emit."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self.config = checkpoint.config
        self.tensors = checkpoint.tensors
        self.graph = GraphBuilder(name)

    def dense(
        self,
        x: ir.Value,
        name: str,  # of the layer's tensors
        *,
        lr_multiplier: float = 1.0,
        gain: float = 1.0,
    ) -> ir.Value:
        matrix, bias = lowering.fully_connected(
            self.tensors[f"{name}.weight"],
            self.tensors[f"{name}.bias"],
            lr_multiplier=lr_multiplier,
            gain=gain,
        )
        g = self.graph
        return g.op("Gemm", x, g.constant("weight", matrix), g.constant("bias", bias), name="gemm")

    def activation(self, x: ir.Value, activation: str) -> ir.Value:
        """The bare activation, without its gain."""
        g = self.graph
        if activation == "lrelu":
            return g.op("LeakyRelu", x, name="lrelu", alpha=0.2)
        if activation == "relu":
            return g.op("Relu", x, name="relu")
        if activation == "swish":
            return g.op("Mul", x, g.op("Sigmoid", x, name="sigmoid"), name="swish")
        return x

    def scale(self, x: ir.Value, factor: float, name: str) -> ir.Value:
        if factor == 1:
            return x
        return self.graph.op(
            "Mul", x, self.graph.constant(f"{name}_factor", np.array(factor)), name=name
        )

    def clamp(self, x: ir.Value, bound: float | None) -> ir.Value:
        if bound is None:
            return x
        g = self.graph
        low, high = (
            g.constant("low", np.array(-float(bound))),
            g.constant("high", np.array(float(bound))),
        )
        return g.op("Clip", x, low, high, name="clamp")


class _Mapping(_Emitter):
    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint, "mapping")

    def build(self) -> GraphBuilder:
        c, g = self.config, self.graph
        x = self.normalized(g.input("z", ["N", c.z_dim]), "normalize_z")
        if c.c_dim:
            label = g.input("c", ["N", c.c_dim])
            with g.scope("embed"):
                embedded = self.dense(label, "mapping.embed")
            x = g.op("Concat", x, self.normalized(embedded, "normalize_c"), name="concat", axis=1)
        psi = g.input("truncation_psi", ["N", c.num_ws])
        gain = _GAINS[c.mapping_activation]
        first = c.mapping_activation in _HOMOGENEOUS
        for i in range(c.mapping_layers):
            with g.scope(f"fc{i}"):
                x = self.dense(
                    x,
                    f"mapping.fc{i}",
                    lr_multiplier=c.mapping_lr_multiplier,
                    gain=gain if first else 1,
                )
                x = self.activation(x, c.mapping_activation)
                x = self.scale(x, 1 if first else gain, "gain")
        with g.scope("truncate"):
            ws = self.truncated(x, psi)
        g.output(ws, "ws", "float32", ["N", c.num_ws, c.w_dim])
        return g

    def normalized(self, x: ir.Value, name: str) -> ir.Value:
        """The row scaled to a mean square of 1."""
        g = self.graph
        with g.scope(name):
            mean = g.op(
                "ReduceMean", g.op("Mul", x, x, name="square"), name="mean", axes=[1], keepdims=1
            )
            power = g.op("Add", mean, g.constant("epsilon", np.array(1e-8)), name="power")
            return g.op("Div", x, g.op("Sqrt", power, name="sqrt"), name="divide")

    def truncated(self, w: ir.Value, psi: ir.Value) -> ir.Value:
        """w_avg + psi * (w - w_avg), a psi for every layer."""
        g = self.graph
        mean = g.constant("w_avg", self.tensors["mapping.w_avg"])
        offset = g.op("Sub", w, mean, name="offset")
        offset = g.op(
            "Unsqueeze", offset, g.constant("layer_axis", np.array([1])), name="layers"
        )  # [N, 1, w]
        psi = g.op("Unsqueeze", psi, g.constant("w_axis", np.array([2])), name="psi")  # [N, L, 1]
        pulled = g.op("Mul", offset, psi, name="pull")  # [N, L, w]
        return g.op("Add", pulled, mean, name="add")


class _Synthesis(_Emitter):
    def __init__(self, checkpoint: Checkpoint, up_convolution: str) -> None:
        super().__init__(checkpoint, "synthesis")
        self.up_convolution = up_convolution

    def build(self) -> GraphBuilder:
        c, g = self.config, self.graph
        self.ws = g.input("ws", ["N", c.num_ws, c.w_dim])
        x = img = None
        index = 0  # the w of a block's ToRGB is that of the next block's first convolution
        for resolution in c.block_resolutions:
            x, img = self.block(resolution, x, img, index)
            index += 1 if resolution == 4 else 2
        assert img is not None
        height, width = c.img_shape
        g.output(self.uint8(img), "image", "uint8", ["N", height, width, c.img_channels])
        g.output(img, "img", "float32", ["N", c.img_channels, height, width])
        return g

    def block(
        self, resolution: int, x: ir.Value | None, img: ir.Value | None, index: int
    ) -> tuple[ir.Value, ir.Value | None]:
        """One resolution: the next activations and the next image."""
        c, g = self.config, self.graph
        block = f"b{resolution}"
        fir = self.tensors[f"synthesis.{block}.resample_filter"]
        residual = c.architecture == "resnet" and x is not None
        if x is None:
            y = g.constant(f"{block}.const", self.tensors[f"synthesis.{block}.const"][None])
        else:
            y = self.styled_conv(x, f"{block}.conv0", index, fir=fir)
            index += 1
        # Halving the variance of both branches keeps that of their sum.
        gain = math.sqrt(0.5) if residual else 1.0
        y = self.styled_conv(y, f"{block}.conv1", index, gain=gain)
        if residual:
            assert x is not None
            with g.scope(f"{block}.skip"):
                y = g.op("Add", y, self.skip(x, f"synthesis.{block}.skip", fir, gain), name="add")
        if img is not None:
            with g.scope(f"{block}.upsample"):
                img = self.upsample(img, fir, c.img_channels)
        if c.has_torgb(resolution):
            with g.scope(f"{block}.torgb"):
                rgb = self.torgb(y, f"synthesis.{block}.torgb", index + 1)
                img = rgb if img is None else g.op("Add", img, rgb, name="add")
        return y, img

    def styled_conv(
        self,
        x: ir.Value,
        layer: str,
        index: int,
        *,
        fir: np.ndarray | None = None,
        gain: float = 1.0,
    ) -> ir.Value:
        """Modulated 3x3 convolution, noise, bias, activation, clamp; upsamples where given a filter."""
        c, g = self.config, self.graph
        name = f"synthesis.{layer}"
        total = _GAINS[c.activation] * gain
        first = c.activation in _HOMOGENEOUS
        before = total if first else 1.0  # the gain that the demodulation, noise and bias take in
        with g.scope(layer):
            styles = self.styles(name, index)
            x = g.op("Mul", x, self.per_channel(styles, "styles"), name="modulate")
            x = self.convolution(x, name, fir)
            d = self.demodulation(styles, self.tensors[f"{name}.weight"], before)
            x = g.op("Mul", x, self.per_channel(d, "factors"), name="demodulate")
            if c.use_noise:
                x = g.op("Add", x, self.noise(layer, before), name="add_noise")
            bias = self.tensors[f"{name}.bias"].astype(np.float64) * before
            x = g.op("Add", x, g.constant("bias", bias[:, None, None]), name="add_bias")
            x = self.activation(x, c.activation)
            x = self.scale(x, 1.0 if first else total, "gain")
            return self.clamp(x, None if c.conv_clamp is None else c.conv_clamp * gain)

    def torgb(self, x: ir.Value, name: str, index: int) -> ir.Value:
        """Modulated 1x1 convolution to the image's channels, without demodulation."""
        g = self.graph
        weight = self.tensors[f"{name}.weight"]
        styles = self.styles(name, index, gain=1 / math.sqrt(weight.shape[1]))
        x = g.op("Mul", x, self.per_channel(styles, "styles"), name="modulate")
        bias = g.constant("bias", self.tensors[f"{name}.bias"])
        x = g.op("Conv", x, g.constant("weight", weight), bias, name="conv", kernel_shape=[1, 1])
        return self.clamp(x, self.config.conv_clamp)

    def styles(self, name: str, index: int, *, gain: float = 1.0) -> ir.Value:
        """The styles [N, I] of a layer: an affine function of its w."""
        g = self.graph
        at = g.shared(f"ws_index_{index}", np.array(index))
        with g.scope("affine"):
            w = g.op("Gather", self.ws, at, name="w", axis=1)
            return self.dense(w, f"{name}.affine", gain=gain)

    def demodulation(self, styles: ir.Value, weight: np.ndarray, gain: float) -> ir.Value:
        """The factors [N, O] that bring the modulated weights to norm `gain`."""
        g = self.graph
        matrix, epsilon = lowering.demodulation(weight, gain=gain)
        with g.scope("demodulation"):
            square = g.op("Mul", styles, styles, name="square")
            constants = g.constant("matrix", matrix), g.constant("epsilon", epsilon)
            power = g.op("Gemm", square, *constants, name="gemm")
            return g.op("Reciprocal", g.op("Sqrt", power, name="sqrt"), name="reciprocal")

    def convolution(self, x: ir.Value, name: str, fir: np.ndarray | None) -> ir.Value:
        """3x3 convolution with the weight as it is stored; with a filter, upsample by 2."""
        g = self.graph
        weight = self.tensors[f"{name}.weight"]
        if fir is None:
            return self.conv(x, weight, [1, 1, 1, 1], "conv")
        if self.up_convolution == "folded":
            folded, pads = lowering.up_convolution_folded(weight, fir)
            x = self.conv(x, folded, pads, "conv")
            return g.op("DepthToSpace", x, name="to_space", blocksize=2, mode="CRD")
        x = g.op(
            "ConvTranspose",
            x,
            g.constant("conv_weight", weight.transpose(1, 0, 2, 3)),
            name="conv",
            kernel_shape=[3, 3],
            strides=[2, 2],
        )
        kernel, pads = lowering.transposed_fir(fir)
        return self.depthwise(x, kernel, pads, weight.shape[0], "filter")

    def skip(self, x: ir.Value, name: str, fir: np.ndarray, gain: float) -> ir.Value:
        """The residual branch: 1x1 convolution, then upsampling by 2."""
        weight = self.tensors[f"{name}.weight"].astype(np.float64)
        x = self.conv(x, weight * (gain / math.sqrt(weight.shape[1])), [0, 0, 0, 0], "conv")
        return self.upsample(x, fir, weight.shape[0])

    def upsample(self, x: ir.Value, fir: np.ndarray, channels: int) -> ir.Value:
        """Upsampling by 2 with a filter: its four phases, then DepthToSpace."""
        phases, pads = lowering.up_fir(fir)  # [4, h, w]
        kernels = np.tile(phases, (channels, 1, 1))[:, None]  # [4 C, 1, h, w]
        x = self.conv(x, kernels, pads, "filter", group=channels)
        return self.graph.op("DepthToSpace", x, name="to_space", blocksize=2, mode="CRD")

    def depthwise(
        self, x: ir.Value, kernel: np.ndarray, pads: list[int], channels: int, name: str
    ) -> ir.Value:
        """Filter every channel with the same kernel [h, w]."""
        kernels = np.broadcast_to(kernel, (channels, 1, *kernel.shape))
        return self.conv(x, kernels, pads, name, group=channels)

    def conv(
        self, x: ir.Value, weight: np.ndarray, pads: list[int], name: str, *, group: int = 1
    ) -> ir.Value:
        return self.graph.op(
            "Conv",
            x,
            self.graph.constant(f"{name}_weight", weight),
            name=name,
            kernel_shape=list(weight.shape[2:]),
            pads=pads,
            group=group,
        )

    def noise(self, layer: str, gain: float) -> ir.Value:
        """The noise input of a layer [M, 1, h, w] times its strength."""
        height, width = self.tensors[f"synthesis.{layer}.noise_const"].shape
        noise = self.graph.input(noise_name(layer), ["M", 1, height, width])
        strength = float(self.tensors[f"synthesis.{layer}.noise_strength"]) * gain
        strengths = self.graph.constant("noise_strength", np.array(strength))
        return self.graph.op("Mul", noise, strengths, name="noise")

    def per_channel(self, x: ir.Value, name: str) -> ir.Value:
        """[N, C] to [N, C, 1, 1]."""
        axes = self.graph.shared("channel_axes", np.array([2, 3]))
        return self.graph.op("Unsqueeze", x, axes, name=name)

    def uint8(self, img: ir.Value) -> ir.Value:
        """The image as the original tools save it: img * 127.5 + 128, clipped, truncated, NHWC."""
        g = self.graph
        with g.scope("image"):
            x = g.op("Mul", img, g.constant("half_range", np.array(127.5)), name="scale")
            x = g.op("Add", x, g.constant("middle", np.array(128.0)), name="shift")
            x = g.op(
                "Clip",
                x,
                g.constant("black", np.array(0.0)),
                g.constant("white", np.array(255.0)),
                name="clip",
            )
            x = g.op("Transpose", x, name="to_nhwc", perm=[0, 2, 3, 1])
            return g.op("Cast", x, name="to_uint8", to=ir.DataType.UINT8)

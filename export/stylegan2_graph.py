"""StyleGAN2 as two ONNX graphs with constant weights and a dynamic batch.

The modulation is moved from the weights to the activations: y = d * conv(s * x, W), with the
demodulation d from one small matrix product (StyleGAN2, section 2.2, and `lowering`).
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.checkpoints.checkpoint import Checkpoint
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["mapping_graph", "noise_inputs", "noise_name", "synthesis_graph"]

_GAINS = {"linear": 1.0, "relu": math.sqrt(2), "lrelu": math.sqrt(2), "swish": math.sqrt(2)}
_HOMOGENEOUS = ("linear", "relu", "lrelu")  # f(a x) = a f(x) for a > 0: a gain may go first


def noise_name(layer: str) -> str:
    """The input that carries the noise of a layer: 'noise_b8_conv0' of 'b8.conv0'."""
    return f"noise_{layer.replace('.', '_')}"


def noise_inputs(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The checkpoint's own noise as the graph takes it: [1, 1, h, w] float32 by input name."""
    return {noise_name(layer): field[None, None] for layer, field in checkpoint.noise.items()}


def mapping_graph(checkpoint: Checkpoint) -> GraphBuilder:
    """The mapping network, with a truncation psi for every image and layer as input."""
    return _Mapping(checkpoint).build()


def synthesis_graph(
    checkpoint: Checkpoint,
    *,
    half_blocks: Collection[int] = (),
    half: str = "float16",
    watch: bool = False,
    up_convolution: str = "transposed",
) -> GraphBuilder:
    """The synthesis network, with its noise as inputs.

    Args:
        checkpoint: a StyleGAN2 generator.
        half_blocks: resolutions of the blocks that compute in half precision; styles, demodulation
            and the sum of the RGB images stay in float32 there, too.
        half: what those blocks compute in; 'float32' shows what half precision would have to hold.
        watch: add an output 'peak_bR' for every half block: its largest absolute value.
        up_convolution: 'transposed' (transposed convolution, then the filter) or 'folded' (one
            convolution to four phases, then DepthToSpace). The function is the same.
    """
    assert up_convolution in lowering.UP_CONVOLUTIONS, up_convolution
    return _Synthesis(checkpoint, frozenset(half_blocks), half, watch, up_convolution).build()


class _Emitter:
    """What both graphs emit."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self.config = checkpoint.config
        self.tensors = checkpoint.tensors
        self.graph = GraphBuilder(name)
        self.dtype = "float32"  # of the values at hand

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
        factors = self.graph.constant(f"{name}_factor", np.array(factor), self.dtype)
        return self.graph.op("Mul", x, factors, name=name)

    def clamp(self, x: ir.Value, bound: float | None, dtype: str | None = None) -> ir.Value:
        if bound is None:
            return x
        g, dtype = self.graph, dtype or self.dtype
        low = g.constant("low", np.array(-float(bound)), dtype)
        high = g.constant("high", np.array(float(bound)), dtype)
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
    def __init__(
        self,
        checkpoint: Checkpoint,
        half_blocks: frozenset[int],
        half: str,
        watch: bool,
        up_convolution: str,
    ) -> None:
        super().__init__(checkpoint, "synthesis")
        self.half_blocks = half_blocks
        self.half = half
        self.watch = watch
        self.up_convolution = up_convolution
        self.in_half = False  # the block at hand has the half-precision form
        self.watched: list[ir.Value] = []  # its values that half precision would have to hold

    def build(self) -> GraphBuilder:
        c, g = self.config, self.graph
        self.ws = g.input("ws", ["N", c.num_ws, c.w_dim])
        x = img = None
        index = 0  # the w of a block's ToRGB is that of the next block's first convolution
        for resolution in c.block_resolutions:
            x = self.enter(resolution, x)
            x, img = self.block(resolution, x, img, index)
            index += 1 if resolution == 4 else 2
            if self.watch and self.in_half:
                self.output_peak(resolution)
        assert img is not None
        self.dtype = "float32"
        height, width = c.img_shape
        g.output(self.uint8(img), "image", "uint8", ["N", height, width, c.img_channels])
        g.output(img, "img", "float32", ["N", c.img_channels, height, width])
        return g

    def enter(self, resolution: int, x: ir.Value | None) -> ir.Value | None:
        """Take up the precision of a block, and bring its input there."""
        before = self.dtype
        self.in_half = resolution in self.half_blocks
        self.dtype = self.half if self.in_half else "float32"
        self.watched = []
        if x is None or before == self.dtype:
            return x
        return self.graph.cast(x, self.dtype, name=f"b{resolution}/to_{self.dtype}")

    def block(
        self, resolution: int, x: ir.Value | None, img: ir.Value | None, index: int
    ) -> tuple[ir.Value, ir.Value | None]:
        """One resolution: the next activations and the next image."""
        c, g = self.config, self.graph
        block = f"b{resolution}"
        fir = self.tensors[f"synthesis.{block}.resample_filter"]
        residual = c.architecture == "resnet" and x is not None
        if x is None:
            y = self.constant(f"{block}.const", self.tensors[f"synthesis.{block}.const"][None])
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
                self.watched.append(y)
        if img is not None:
            with g.scope(f"{block}.upsample"):
                img = self.upsample(img, fir, c.img_channels, "float32")
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
        """Modulated 3x3 convolution, noise, bias, activation, clamp; with a filter, upsamples."""
        c, g = self.config, self.graph
        name = f"synthesis.{layer}"
        total = _GAINS[c.activation] * gain
        first = c.activation in _HOMOGENEOUS
        before = total if first else 1.0  # the gain that the demodulation, noise and bias take in
        with g.scope(layer):
            weight = self.tensors[f"{name}.weight"]
            scale, weight, d = self.modulation(self.styles(name, index), weight, before)
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
            x = self.scale(x, 1.0 if first else total, "gain")
            return self.clamp(x, None if c.conv_clamp is None else c.conv_clamp * gain)

    def modulation(
        self, styles: ir.Value, weight: np.ndarray, gain: float
    ) -> tuple[ir.Value, np.ndarray, ir.Value]:
        """The factors of the input [N, I], the weight, and the factors of the output [N, O].

        In half precision the weight and the styles are brought to at most 1, so that nothing
        overflows inside of the convolution (ADA, appendix); the demodulation takes that back.
        """
        if not self.in_half:
            return styles, weight, self.demodulation(styles, weight, gain)
        g = self.graph
        normalized, factors = lowering.normalize_weight(weight)
        d = self.demodulation(styles, weight, gain / factors)
        size = g.op("Abs", styles, name="style_size")
        peak = g.op("ReduceMax", size, name="style_peak", axes=[1], keepdims=1)  # [N, 1]
        peak = g.op("Max", peak, g.constant("smallest", np.array(1e-8)), name="style_norm")
        return (
            g.op("Div", styles, peak, name="normalize"),
            normalized,
            g.op("Mul", d, peak, name="denormalize"),
        )

    def torgb(self, x: ir.Value, name: str, index: int) -> ir.Value:
        """Modulated 1x1 convolution to the image's channels; from there on it is float32."""
        g = self.graph
        weight = self.tensors[f"{name}.weight"]
        bias = self.tensors[f"{name}.bias"]
        styles = self.styles(name, index, gain=1 / math.sqrt(weight.shape[1]))
        x = g.op("Mul", x, self.per_channel(styles, "styles"), name="modulate")
        self.watched.append(x)
        if self.dtype == "float32":
            constants = g.constant("weight", weight), g.constant("bias", bias)
            x = g.op("Conv", x, *constants, name="conv", kernel_shape=[1, 1])
            self.watched.append(x)
        else:
            x = g.op("Conv", x, self.constant("weight", weight), name="conv", kernel_shape=[1, 1])
            x = g.cast(x, "float32", name="to_float32")
            x = g.op("Add", x, g.constant("bias", bias[:, None, None]), name="add_bias")
        return self.clamp(x, self.config.conv_clamp, "float32")

    def styles(self, name: str, index: int, *, gain: float = 1.0) -> ir.Value:
        """The styles [N, I] of a layer: an affine function of its w, in float32."""
        g = self.graph
        at = g.shared(f"ws_index_{index}", np.array(index))
        with g.scope("affine"):
            w = g.op("Gather", self.ws, at, name="w", axis=1)
            return self.dense(w, f"{name}.affine", gain=gain)

    def demodulation(
        self, styles: ir.Value, weight: np.ndarray, gain: float | np.ndarray
    ) -> ir.Value:
        """The factors [N, O] that bring the modulated weights to norm `gain`, in float32."""
        g = self.graph
        matrix, epsilon = lowering.demodulation(weight, gain=gain)
        with g.scope("demodulation"):
            square = g.op("Mul", styles, styles, name="square")
            constants = g.constant("matrix", matrix), g.constant("epsilon", epsilon)
            power = g.op("Gemm", square, *constants, name="gemm")
            return g.op("Reciprocal", g.op("Sqrt", power, name="sqrt"), name="reciprocal")

    def convolution(self, x: ir.Value, weight: np.ndarray, fir: np.ndarray | None) -> ir.Value:
        """3x3 convolution; with a filter, upsample by 2."""
        g = self.graph
        if fir is None:
            return self.conv(x, weight, [1, 1, 1, 1], "conv")
        if self.up_convolution == "folded":
            folded, pads = lowering.up_convolution_folded(weight, fir)
            x = self.conv(x, folded, pads, "conv")
            return g.op("DepthToSpace", x, name="to_space", blocksize=2, mode="CRD")
        x = g.op(
            "ConvTranspose",
            x,
            self.constant("conv_weight", weight.transpose(1, 0, 2, 3)),
            name="conv",
            kernel_shape=[3, 3],
            strides=[2, 2],
        )
        self.watched.append(x)
        kernel, pads = lowering.transposed_fir(fir)
        kernels = np.broadcast_to(kernel, (weight.shape[0], 1, *kernel.shape))
        return self.conv(x, kernels, pads, "filter", group=weight.shape[0])

    def skip(self, x: ir.Value, name: str, fir: np.ndarray, gain: float) -> ir.Value:
        """The residual branch: 1x1 convolution, then upsampling by 2."""
        weight = self.tensors[f"{name}.weight"].astype(np.float64)
        x = self.conv(x, weight * (gain / math.sqrt(weight.shape[1])), [0, 0, 0, 0], "conv")
        self.watched.append(x)
        return self.upsample(x, fir, weight.shape[0], self.dtype)

    def upsample(self, x: ir.Value, fir: np.ndarray, channels: int, dtype: str) -> ir.Value:
        """Upsampling by 2 with a filter: its four phases, then DepthToSpace."""
        phases, pads = lowering.up_fir(fir)  # [4, h, w]
        kernels = np.tile(phases, (channels, 1, 1))[:, None]  # [4 C, 1, h, w]
        x = self.conv(x, kernels, pads, "filter", group=channels, dtype=dtype)
        return self.graph.op("DepthToSpace", x, name="to_space", blocksize=2, mode="CRD")

    def conv(
        self,
        x: ir.Value,
        weight: np.ndarray,
        pads: list[int],
        name: str,
        *,
        group: int = 1,
        dtype: str | None = None,  # None = the block's
    ) -> ir.Value:
        return self.graph.op(
            "Conv",
            x,
            self.graph.constant(f"{name}_weight", weight, dtype or self.dtype),
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
        return self.to_block(self.graph.op("Mul", noise, strengths, name="noise"), "noise")

    def per_channel(self, x: ir.Value, name: str) -> ir.Value:
        """[N, C] in float32 to [N, C, 1, 1] in the precision of the block."""
        axes = self.graph.shared("channel_axes", np.array([2, 3]))
        return self.to_block(self.graph.op("Unsqueeze", x, axes, name=name), name)

    def to_block(self, x: ir.Value, name: str) -> ir.Value:
        """Bring a float32 value to the precision of the block."""
        if self.dtype == "float32":
            return x
        return self.graph.cast(x, self.dtype, name=f"{name}_{self.dtype}")

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        """A constant in the precision of the block."""
        return self.graph.constant(name, array, self.dtype)

    def output_peak(self, resolution: int) -> None:
        """Make the block's largest absolute value an output [] of the graph."""
        g = self.graph
        with g.scope(f"b{resolution}.peak"):
            peaks = []
            for i, value in enumerate(self.watched):
                low = g.op("ReduceMin", value, name=f"min{i}", keepdims=0)
                peaks.append(g.op("Neg", low, name=f"negative{i}"))
                peaks.append(g.op("ReduceMax", value, name=f"max{i}", keepdims=0))
            peak = g.op("Max", *peaks, name="max")
        g.output(peak, f"peak_b{resolution}", "float32", [])

    def uint8(self, img: ir.Value) -> ir.Value:
        """The image as the original tools save it: img * 127.5 + 128, clipped, truncated, NHWC."""
        g = self.graph
        with g.scope("image"):
            x = g.op("Mul", img, g.constant("half_range", np.array(127.5)), name="scale")
            x = g.op("Add", x, g.constant("middle", np.array(128.0)), name="shift")
            bounds = (
                g.constant("black", np.array(0.0)),
                g.constant("white", np.array(255.0)),
            )
            x = g.op("Clip", x, *bounds, name="clip")
            x = g.op("Transpose", x, name="to_nhwc", perm=[0, 2, 3, 1])
            return g.cast(x, "uint8", name="to_uint8")

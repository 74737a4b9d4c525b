"""What the graphs of all families are made of: dense layers, activations, and the image.

`Emitter` writes nodes of either precision; `SynthesisEmitter` adds what every synthesis network
has, and keeps track of which of its blocks compute in half precision.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.checkpoints import Checkpoint
from stylert.export.graphs.styles import StyledLayer, Styles
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.control.style_space import STYLE_OFFSET
from stylert.runtime.noise import UNIFORM

__all__ = ["GAINS", "HOMOGENEOUS", "Emitter", "SynthesisEmitter", "list_noise_inputs", "name_noise"]

GAINS = {"linear": 1.0, "relu": math.sqrt(2), "lrelu": math.sqrt(2), "swish": math.sqrt(2)}
SPARE = 0.01  # share of a network's numbers that may be zeros for fewer products of styles
HOMOGENEOUS = ("linear", "relu", "lrelu")  # f(a x) = a f(x) for a > 0: a gain may go first


def name_noise(layer: str) -> str:
    """The input with the noise of a layer: 'noise_b8_conv0' of 'b8.conv0', 'noise' of ''."""
    return f"noise_{layer.replace('.', '_')}" if layer else UNIFORM


def list_noise_inputs(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The checkpoint's own noise as the graph takes it: [1, 1, h, w] float32 by input name."""
    return {name_noise(layer): field[None, None] for layer, field in checkpoint.noise.items()}


class Emitter:
    """What the graphs of mapping and synthesis emit."""

    def __init__(self, checkpoint: Checkpoint, name: str, *, compact: bool = False) -> None:
        self.config = checkpoint.config
        self.tensors = checkpoint.tensors
        self.graph = GraphBuilder(name, compact=compact)
        self.dtype = "float32"  # of the values at hand

    def dense(
        self,
        x: ir.Value,
        name: str,  # of the layer's tensors
        *,
        lr_multiplier: float = 1.0,
        gain: float = 1.0,
    ) -> ir.Value:
        """A fully connected layer with an equalised learning rate, in float32."""
        matrix, bias = lowering.fold_dense(
            self.tensors[f"{name}.weight"],
            self.tensors[f"{name}.bias"],
            lr_multiplier=lr_multiplier,
            gain=gain,
        )
        g = self.graph
        return g.op("Gemm", x, g.weight("weight", matrix), g.constant("bias", bias), name="gemm")

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
        """The value times a factor."""
        if factor == 1:
            return x
        factors = self.graph.constant(f"{name}_factor", np.array(factor), self.dtype)
        return self.graph.op("Mul", x, factors, name=name)

    def clamp(self, x: ir.Value, bound: float | None, dtype: str | None = None) -> ir.Value:
        """The value within +-bound, None = as it is."""
        if bound is None:
            return x
        g, dtype = self.graph, dtype or self.dtype
        low = g.constant("low", np.array(-float(bound)), dtype)
        high = g.constant("high", np.array(float(bound)), dtype)
        return g.op("Clip", x, low, high, name="clamp")


class SynthesisEmitter(Emitter):
    """What every synthesis graph emits.

    Args:
        checkpoint: the generator.
        half_blocks: names of the blocks that compute in half precision.
        half: what those compute in; 'float32' shows what half precision would have to hold.
        watch: add an output 'peak_BLOCK' for every half block: its largest absolute value.
        compact: store the weights of the other blocks as float16, too, where that keeps them;
            None = if there are half blocks.
        style_space: add an input 'style_offset', which is added to the styles.
    """

    styles: Styles  # of all layers, once they are emitted

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        half_blocks: Collection[str] = (),
        half: str = "float16",
        watch: bool = False,
        compact: bool | None = None,
        style_space: bool = False,
    ) -> None:
        if compact is None:
            compact = bool(half_blocks) and half == "float16"
        super().__init__(checkpoint, "synthesis", compact=compact)
        unknown = set(half_blocks) - set(self.config.block_names)
        assert not unknown, unknown
        self.half_blocks = frozenset(half_blocks)
        self.half = half
        self.watch = watch
        self.style_space = style_space
        self.in_half = False  # the block at hand has the half-precision form
        self.watched: list[ir.Value] = []  # its values that half precision would have to hold
        self.ws = self.graph.input("ws", ["N", self.config.num_ws, self.config.w_dim])

    def enter(self, block: str, x: ir.Value | None) -> ir.Value | None:
        """Take up the precision of a block, and bring its input there."""
        before = self.dtype
        self.in_half = block in self.half_blocks
        self.dtype = self.half if self.in_half else "float32"
        self.watched = []
        if x is None or before == self.dtype:
            return x
        return self.graph.cast(x, self.dtype, name=f"{block}/to_{self.dtype}")

    def emit_styles(self, layers: Iterable[StyledLayer], **options: bool) -> None:
        """Emit the styles of all layers, before these, with options of `Styles`."""
        spare = int(SPARE * sum(tensor.size for tensor in self.tensors.values()))
        self.graph.styled = tuple(layers)
        offset = None
        if self.style_space:
            size = sum(layer.count for layer in self.graph.styled)
            offset = self.graph.input(STYLE_OFFSET, ["K", size])
        self.styles = Styles(
            self.graph, self.ws, self.graph.styled, spare=spare, offset=offset, **options
        )

    def conv(
        self,
        x: ir.Value,
        weight: np.ndarray,  # [O, I, k, k]
        pads: list[int],  # as ONNX has them: top, left, bottom, right
        name: str,
        *,
        bias: np.ndarray | None = None,  # [O]
        group: int = 1,
        dtype: str | None = None,  # None = the block's
    ) -> ir.Value:
        """A convolution."""
        constants = [self.graph.weight(f"{name}_weight", weight, dtype or self.dtype)]
        if bias is not None:
            constants.append(self.constant(f"{name}_bias", bias))
        return self.graph.op(
            "Conv",
            x,
            *constants,
            name=name,
            kernel_shape=list(weight.shape[2:]),
            pads=pads,
            group=group,
        )

    def noise(self, layer: str, gain: float | np.ndarray) -> ir.Value:
        """The noise input of a layer [M, 1, h, w] times its strength [] or [C]."""
        height, width = self.tensors[f"synthesis.{layer}.noise_const"].shape
        noise = self.graph.input(name_noise(layer), ["M", 1, height, width])
        strength = self.tensors[f"synthesis.{layer}.noise_strength"].astype(np.float64) * gain
        strength = strength[:, None, None] if strength.ndim else strength
        strengths = self.graph.constant("noise_strength", strength)
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

    def weight(self, name: str, array: np.ndarray) -> ir.Value:
        """A weight of a layer in the precision of the block, see `GraphBuilder.weight`."""
        return self.graph.weight(name, array, self.dtype)

    def leave(self, block: str) -> None:
        """End a block: where half precision is watched, its peak becomes an output."""
        if self.watch and self.in_half:
            self.output_peak(block)

    def output_images(self, img: ir.Value, channels: int, shape: tuple[int, int]) -> None:
        """Make the float32 image [N, C, H, W], and the same as bytes, the graph's outputs.

        Each is the output of a node that hands it to no other node: converters of other people's
        that change an output's type (to half precision and back) change it for those, too.
        """
        self.dtype = "float32"
        g, (height, width) = self.graph, shape
        g.output(self.uint8(img), "image", "uint8", ["N", height, width, channels])
        img = g.op("Identity", img, name="to_output")
        g.output(img, "img", "float32", ["N", channels, height, width])

    def output_peak(self, block: str) -> None:
        """Make the block's largest absolute value an output [] of the graph."""
        g = self.graph
        with g.scope(f"{block}.peak"):
            peaks = []
            for i, value in enumerate(self.watched):
                low = g.op("ReduceMin", value, name=f"min{i}", keepdims=0)
                peaks.append(g.op("Neg", low, name=f"negative{i}"))
                peaks.append(g.op("ReduceMax", value, name=f"max{i}", keepdims=0))
            peak = g.op("Max", *peaks, name="max")
        g.output(peak, f"peak_{block}", "float32", [])

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

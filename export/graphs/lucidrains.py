"""The synthesis network of lucidrains' stylegan2_pytorch as an ONNX graph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.checkpoints import Checkpoint, LucidrainsConfig
from stylert.export.checkpoints.configs.lucidrains import HEAD_FEATURES, HEADS
from stylert.export.graphs.modulation import ModulatedEmitter
from stylert.export.graphs.styles import StyledLayer
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.noise import UNIFORM

__all__ = ["build_lucidrains_graph"]


def build_lucidrains_graph(checkpoint: Checkpoint, **options: Any) -> GraphBuilder:
    """The synthesis network, with its one map of noise as an input.

    In half precision, what comes before the first block, the attention, styles, demodulation and
    the sum of the RGB images stay in float32.

    Args:
        checkpoint: a generator of stylegan2_pytorch.
        **options: of `SynthesisEmitter`.
    """
    return _Synthesis(checkpoint, **options).build()


class _Synthesis(ModulatedEmitter):
    config: LucidrainsConfig

    def build(self) -> GraphBuilder:
        c, g = self.config, self.graph
        self.emit_styles(self.list_layers())
        field = g.input(UNIFORM, ["M", 1, *c.img_shape])
        field = g.op("Transpose", field, name="noise_turned", perm=[0, 1, 3, 2])
        x, img = self.start(), None
        for index, block in enumerate(c.block_names):
            entered = self.enter(block, self.attend(x, block))
            assert entered is not None
            x = entered
            self.watched.append(x)
            noise = self.cut_noise(field, block)
            for conv in ("conv0", "conv1"):
                up = conv == "conv0" and index > 0
                x = self.styled_conv(x, f"{block}.{conv}", noise, up=up)
            img = self.add_rgb(img, x, block)
            self.leave(block)
        assert img is not None
        img = g.op("Sub", img, g.constant("one", np.array(1.0)), name="centre")
        self.output_images(img, c.img_channels, c.img_shape)
        return g

    def list_layers(self) -> Iterator[StyledLayer]:
        """The layers that take styles: those of a block have one row of ws."""
        for index, block in enumerate(self.config.block_names):
            for layer in (f"{block}.conv0", f"{block}.conv1"):
                weight = self.tensors[f"synthesis.{layer}.weight"]
                yield self.styled(layer, index, weight=weight)
            yield self.styled(f"{block}.torgb", index, is_rgb=True)

    def start(self) -> ir.Value:
        """The first activations, [1, C, 4, 4] or [N, C, 4, 4]."""
        g = self.graph
        weight, bias = (self.tensors[f"synthesis.start.conv.{leaf}"] for leaf in ("weight", "bias"))
        if self.config.learned_const:
            const = self.tensors["synthesis.start.const"]
            return g.constant("start.const", lowering.convolve(const, weight, bias)[None])
        matrix = self.tensors["synthesis.start.project.weight"]
        with g.scope("start"):
            w = g.op("ReduceMean", self.ws, name="mean_w", axes=[1], keepdims=0)
            flat = g.weight("project_weight", matrix.reshape(len(matrix), -1))
            x = g.op("MatMul", w, flat, name="project")
            x = self.reshape(x, (matrix.shape[1], 4, 4), "to_pixels")
            return self.conv(x, weight, [1, 1, 1, 1], "conv", bias=bias)

    def cut_noise(self, field: ir.Value, block: str) -> ir.Value:
        """The corner of the turned map that a block's layers see, in its precision."""
        g = self.graph
        shape = self.config.find_block_shape(int(block[1:]))
        with g.scope(f"{block}.noise"):
            if shape != self.config.img_shape:
                bounds = [np.array([0, 0]), np.array(shape), np.array([2, 3])]
                names = ("from", "to", "axes")
                ends = [g.constant(name, b) for name, b in zip(names, bounds, strict=True)]
                field = g.op("Slice", field, *ends, name="corner")
            return self.to_block(field, "noise")

    def styled_conv(self, x: ir.Value, layer: str, noise: ir.Value, *, up: bool) -> ir.Value:
        """Modulated 3x3 convolution, noise, bias, activation; with `up`, of the doubled input."""
        g, name = self.graph, f"synthesis.{layer}"
        with g.scope(layer):
            scale, weight, d = self.modulation(layer, self.tensors[f"{name}.weight"])
            x = g.op("Mul", x, self.per_channel(scale, "styles"), name="modulate")
            x = self.double(x) if up else x  # which leaves the channels' factors as they are
            x = self.conv(x, weight, [1, 1, 1, 1], "conv")
            self.watched.append(x)
            x = g.op("Mul", x, self.per_channel(d, "factors"), name="demodulate")
            strength, bias = (
                self.constant(leaf, self.tensors[f"{name}.{leaf}"][:, None, None])
                for leaf in ("noise_strength", "bias")
            )
            noise = g.op("Mul", noise, strength, name="noise")
            noise = g.op("Add", noise, bias, name="noise_and_bias")
            x = g.op("Add", x, noise, name="add_noise")
            self.watched.append(x)
            return self.activation(x, "lrelu")

    def add_rgb(self, img: ir.Value | None, x: ir.Value, block: str) -> ir.Value:
        """The image up to this block, from 0 to 2, in float32."""
        g, channels = self.graph, self.config.img_channels
        if img is not None:
            with g.scope(f"{block}.upsample"):
                img = self.double(img)
                pads = g.constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
                img = g.op("Pad", img, pads, name="mirror", mode="reflect")
                blur = lowering.make_blur_kernel(channels)
                img = self.conv(img, blur, [0] * 4, "blur", group=channels, dtype="float32")
        with g.scope(f"{block}.torgb"):
            styles = self.styles.find(f"{block}.torgb")
            x = g.op("Mul", x, self.per_channel(styles, "styles"), name="modulate")
            self.watched.append(x)
            weight = 2 * self.tensors[f"synthesis.{block}.torgb.weight"]
            x = self.conv(x, weight, [0] * 4, "conv")
            self.watched.append(x)
            if self.dtype != "float32":
                x = g.cast(x, "float32", name="to_float32")
            return x if img is None else g.op("Add", img, x, name="add")

    def double(self, x: ir.Value) -> ir.Value:
        """Bilinear upsampling by 2."""
        scales = self.graph.shared("doubled", np.array([1, 1, 2, 2], np.float32))
        way = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return self.graph.op("Resize", x, None, scales, name="double", **way)

    # ---- attention, all of it in float32 ----

    def attend(self, x: ir.Value, block: str) -> ir.Value:
        """The input of a block, with what attention and the layers behind it add if it has them."""
        if block not in self.config.attention:
            return x
        g, name = self.graph, f"synthesis.{block}"
        if self.dtype != "float32":
            x = g.cast(x, "float32", name=f"attention_{block}/to_float32")
        self.dtype, self.in_half = "float32", False
        side = max(4, int(block[1:]) // 2)
        with g.scope(f"attention_{block}"):
            more = self.attention(self.normalize(x, f"{name}.attention.norm"), name, side)
            x = g.op("Add", x, more, name="add")
        with g.scope(f"feedforward_{block}"):
            more = self.normalize(x, f"{name}.feedforward.norm")
            more = self.pointwise(more, f"{name}.feedforward.wide", "wide")
            more = self.pointwise(
                self.activation(more, "lrelu"), f"{name}.feedforward.narrow", "narrow"
            )
            return g.op("Add", x, more, name="add")

    def attention(self, x: ir.Value, name: str, side: int) -> ir.Value:
        """Linear attention: keys and values of all pixels become one matrix for each head."""
        g, heads = self.graph, (HEADS, HEAD_FEATURES, side * side)
        weight = self.tensors[f"{name}.attention.near.weight"]
        near = self.conv(x, weight, [1] * 4, "near", group=len(weight))
        parts = {}
        for part, source in (("queries", x), ("keys", near), ("values", near)):
            parts[part] = self.reshape(
                self.pointwise(source, f"{name}.attention.{part}", part), heads, f"{part}_of_heads"
            )
        queries = g.op("Softmax", parts["queries"], name="over_features", axis=2)
        keys = g.op("Softmax", parts["keys"], name="over_pixels", axis=3)
        keys = g.op("Transpose", keys, name="keys_turned", perm=[0, 1, 3, 2])
        context = g.op("MatMul", parts["values"], keys, name="context")  # [N, heads, 64, 64]
        context = self.scale(context, HEAD_FEATURES**-0.5, "scale")
        answers = g.op("MatMul", context, queries, name="answers")
        wide = (HEADS * HEAD_FEATURES, side, side)
        answers = self.gelu(self.reshape(answers, wide, "to_pixels"))
        return self.pointwise(answers, f"{name}.attention.out", "out")

    def pointwise(self, x: ir.Value, name: str, short: str) -> ir.Value:
        """A 1x1 convolution, with its bias if it has one."""
        bias = self.tensors.get(f"{name}.bias")
        return self.conv(x, self.tensors[f"{name}.weight"], [0] * 4, short, bias=bias)

    def normalize(self, x: ir.Value, name: str) -> ir.Value:
        """Each pixel with mean 0 and variance 1 over its channels, then scaled and shifted."""
        g = self.graph
        with g.scope("norm"):
            mean = g.op("ReduceMean", x, name="mean", axes=[1], keepdims=1)
            x = g.op("Sub", x, mean, name="center")
            square = g.op("Mul", x, x, name="square")
            power = g.op("ReduceMean", square, name="variance", axes=[1], keepdims=1)
            power = g.op("Add", power, g.constant("epsilon", np.array(1e-5)), name="power")
            x = g.op("Div", x, g.op("Sqrt", power, name="deviation"), name="divide")
            scale, shift = (
                g.constant(leaf, self.tensors[f"{name}.{leaf}"][:, None, None])
                for leaf in ("weight", "bias")
            )
            return g.op("Add", g.op("Mul", x, scale, name="scale"), shift, name="shift")

    def gelu(self, x: ir.Value) -> ir.Value:
        """The value times its normal distribution function."""
        g = self.graph
        erf = g.op("Erf", self.scale(x, math.sqrt(0.5), "erf_input"), name="erf")
        share = g.op("Add", erf, g.constant("gelu_one", np.array(1.0)), name="share")
        return self.scale(g.op("Mul", x, share, name="gelu"), 0.5, "half_gelu")

    def reshape(self, x: ir.Value, shape: tuple[int, ...], name: str) -> ir.Value:
        """The value as [N, *shape]."""
        to = self.graph.constant(f"{name}_shape", np.array([0, *shape]))
        return self.graph.op("Reshape", x, to, name=name)

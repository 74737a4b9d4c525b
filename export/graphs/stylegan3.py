"""The synthesis network of StyleGAN3, T and R, as an ONNX graph.

All that the checkpoint makes of its weights before it uses them is done here: the weights' norm,
the gain for the input's magnitude and that of the leaky ReLU are in the demodulation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from stylert.export import lowering_filters
from stylert.export.checkpoints import Checkpoint, StyleGAN3Config, StyleGAN3Layer
from stylert.export.graphs.filtered_lrelu import FORMS, FilteredLrelu
from stylert.export.graphs.modulation import ModulatedEmitter
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["stylegan3_graph"]

import os

GROUP_BYTES = int(os.environ.get("GB",384)) << 20
MULTIPLE = 8  # of channels: what vector units and tensor cores take at a time


def stylegan3_graph(
    checkpoint: Checkpoint, *, filters: str = "phases", **options: Any
) -> GraphBuilder:
    """The synthesis network, with the transform of the picture as an input.

    In half precision, styles, demodulation, Fourier features and the image stay in float32.

    Args:
        checkpoint: a StyleGAN3 generator.
        filters: 'phases', 'matrix'.
        **options: of `SynthesisEmitter`.
    """
    return _Synthesis(checkpoint, filters, **options).build()


class _Synthesis(ModulatedEmitter):
    def __init__(self, checkpoint: Checkpoint, filters: str, **options: Any) -> None:
        super().__init__(checkpoint, **options)
        assert isinstance(checkpoint.config, StyleGAN3Config)
        self.config = checkpoint.config
        self.filters = filters
        self.tensors = _padded(checkpoint)

    def build(self) -> GraphBuilder:
        c = self.config
        with self.graph.scope("input"):
            x = self.fourier_features()
        for index, layer in enumerate(c.layers, start=1):
            x = self.enter(layer.name, x)
            with self.graph.scope(layer.name):
                x = self.layer(x, layer, index)
            self.leave(layer.name)
        self.output_images(x, c.img_channels, c.img_shape)
        return self.graph

    def fourier_features(self) -> ir.Value:
        """Plane waves over the image and its margin, mixed to the first layer's input."""
        c, g = self.config, self.graph
        waves = self.waves()  # [N, C, 3]
        x, y, shift = (
            g.op("Gather", waves, g.constant(f"{name}_at", np.array([[i]])), name=name, axis=2)
            for i, name in enumerate(("wave_x", "wave_y", "wave_shift"))
        )  # [N, C, 1, 1]
        # Frequencies above the bandwidth fade out before they would alias.
        fade = 1 / (c.input_rate / 2 - c.input_bandwidth)
        squares = g.op("Mul", x, x, name="square_x"), g.op("Mul", y, y, name="square_y")
        frequency = g.op("Sqrt", g.op("Add", *squares, name="square"), name="frequency")
        amplitude = g.op("Mul", frequency, g.constant("fade", np.array(-fade)), name="faded")
        full = g.constant("full", np.array(1 + c.input_bandwidth * fade))
        amplitude = g.op("Add", amplitude, full, name="unbounded")
        bounds = g.constant("none", np.array(0.0)), g.constant("all", np.array(1.0))
        amplitude = g.op("Clip", amplitude, *bounds, name="amplitude")
        # Angles in radians.
        places = 2 * np.pi * (np.arange(c.input_size) + 0.5 - c.input_size / 2) / c.input_rate
        along_x = g.op("Mul", x, g.constant("columns", places), name="along_x")
        along_y = g.op("Mul", y, g.constant("rows", places[:, None]), name="along_y")
        phases = 2 * np.pi * self.tensors["synthesis.input.phases"].astype(np.float64)
        shift = g.op("Mul", shift, g.constant("turn", np.array(2 * np.pi)), name="shift")
        shift = g.op("Add", shift, g.constant("phases", phases[:, None, None]), name="phase")
        angles = g.op("Add", along_x, g.op("Add", along_y, shift, name="start"), name="angles")
        features = g.op("Mul", g.op("Sin", angles, name="sin"), amplitude, name="features")
        mix = self.tensors["synthesis.input.weight"].astype(np.float64)
        mix /= math.sqrt(c.input_channels)
        return self.conv(features, mix[:, :, None, None], [0, 0, 0, 0], "mix")

    def waves(self) -> ir.Value:
        """The waves [N, C, 3] in the transformed coordinates: x, y in cycles per unit, the shift.

        The coordinates go through the user's transform, the checkpoint's own, and the pose that w
        gives: a translation by (-x, -y), then a rotation.
        """
        g = self.graph
        freqs = self.tensors["synthesis.input.freqs"].astype(np.float64)
        pose = self.pose()
        rotated = np.zeros((2, 4, len(freqs)))  # x and y, of cos and sin
        rotated[0, :2] = freqs.T
        rotated[1, :2] = freqs.T[::-1] * [[1], [-1]]
        shifts, waves = [], []
        for i, axis in enumerate("xy"):
            matrix = g.constant(f"rotation_{axis}", rotated[i])
            wave = g.op("MatMul", pose, matrix, name=f"rotated_{axis}")  # [N, C]
            place = g.op(
                "Gather", pose, g.constant(f"{axis}_at", np.array([2 + i])), name=axis, axis=1
            )
            shifts.append(g.op("Mul", wave, place, name=f"shift_{axis}"))
            waves.append(wave)
        waves.append(g.op("Neg", g.op("Add", *shifts, name="shifts"), name="shift_back"))
        axis = g.constant("wave_axis", np.array([2]))
        waves = [g.op("Unsqueeze", wave, axis, name=f"wave{i}") for i, wave in enumerate(waves)]
        transform = g.input("transform", ["N", 3, 3])
        own = self.tensors["synthesis.input.transform"].astype(np.float64)
        if not np.array_equal(own, np.eye(3)):
            transform = g.op("MatMul", g.constant("own", own), transform, name="transforms")
        return g.op("MatMul", g.op("Concat", *waves, name="posed", axis=2), transform, name="waves")

    def pose(self) -> ir.Value:
        """Cosine and sine of the angle, and the place in x and y, that w gives: [N, 4]."""
        g = self.graph
        pose = self.styles("synthesis.input", 0)  # in any unit
        square = g.op("Mul", pose, pose, name="pose_square")
        of_angle = g.constant("of_angle", np.array([[1.0], [1.0], [0.0], [0.0]]))
        length = g.op("Sqrt", g.op("MatMul", square, of_angle, name="unit_square"), name="unit")
        return g.op("Div", pose, length, name="pose")

    def layer(self, x: ir.Value, layer: StyleGAN3Layer, index: int) -> ir.Value:
        """Modulated convolution, bias, filtered leaky ReLU."""
        g, name = self.graph, f"synthesis.{layer.name}"
        weight = self.tensors[f"{name}.weight"].astype(np.float64)
        bias = self.tensors[f"{name}.bias"].astype(np.float64)
        magnitude = float(self.tensors[f"{name}.magnitude_ema"])
        gain = layer.gain / math.sqrt(magnitude)
        if layer.is_torgb:
            return self.torgb(x, layer, index)
        weight = weight / np.sqrt(np.square(weight).mean(axis=(1, 2, 3), keepdims=True)).clip(1e-20)
        scale, weight, d = self.modulation(self.styles(name, index), weight, gain)
        lrelu = self.filtered_lrelu(layer)
        x, pads = self.trimmed(x, layer, lrelu)
        x = g.op("Mul", x, self.per_channel(scale, "styles"), name="modulate")
        x = self.conv(x, weight, pads, "conv")
        self.watched.append(x)
        x = g.op("Mul", x, self.per_channel(d, "factors"), name="demodulate")
        x = g.op("Add", x, self.constant("bias", bias[:, None, None] * layer.gain), name="add_bias")
        self.watched.append(x)
        x = self.in_groups(x, len(weight), lrelu)
        self.watched.append(x)
        return x

    def in_groups(self, x: ir.Value, channels: int, lrelu: FilteredLrelu) -> ir.Value:
        """The activation of some channels after others, so that few are at the high rate at once."""
        g = self.graph
        limit = max(GROUP_BYTES // (4 * lrelu.layer.activation_size**2) // MULTIPLE, 1) * MULTIPLE
        if channels <= limit:
            return lrelu.emit(x, channels)
        sizes = [min(limit, channels - start) for start in range(0, channels, limit)]
        parts = g.split(x, sizes, name="groups", axis=1)
        outs = []
        for i, (part, size) in enumerate(zip(parts, sizes, strict=True)):
            with g.scope(f"group{i}"):
                outs.append(lrelu.emit(part, size))
        return g.op("Concat", *outs, name="all_groups", axis=1)

    def filtered_lrelu(self, layer: StyleGAN3Layer) -> FilteredLrelu:
        unit = np.ones(1)
        up_fir = self.tensors.get(f"synthesis.{layer.name}.up_filter", unit)
        down_fir = self.tensors.get(f"synthesis.{layer.name}.down_filter", unit)
        return FORMS[self.filters](self, layer, up_fir, down_fir, self.config.conv_clamp)

    def trimmed(
        self, x: ir.Value, layer: StyleGAN3Layer, lrelu: FilteredLrelu
    ) -> tuple[ir.Value, list[int]]:
        """The input, and the pads of the convolution that makes only what the activation reads."""
        full = layer.kernel - 1
        before, after = full - lrelu.start, full - (layer.conv_size - lrelu.stop)
        if min(before, after) < 0:
            stop = layer.in_size + min(after, 0)
            x = self.cut(x, max(-before, 0), stop, "trim")
        before, after = max(before, 0), max(after, 0)
        return x, [before, before, after, after]

    def cut(self, x: ir.Value, start: int, stop: int, name: str) -> ir.Value:
        """Rows and columns of an image from `start` up to `stop`."""
        g = self.graph
        return g.op(
            "Slice",
            x,
            g.constant(f"{name}_start", np.array([start, start])),
            g.constant(f"{name}_stop", np.array([stop, stop])),
            g.shared("image_axes", np.array([2, 3])),
            name=name,
        )

    def torgb(self, x: ir.Value, layer: StyleGAN3Layer, index: int) -> ir.Value:
        g, name = self.graph, f"synthesis.{layer.name}"
        weight = self.tensors[f"{name}.weight"].astype(np.float64)
        bias = self.tensors[f"{name}.bias"].astype(np.float64)
        magnitude = float(self.tensors[f"{name}.magnitude_ema"])
        scale = self.config.output_scale
        gain = scale / math.sqrt(layer.in_channels * layer.kernel**2 * magnitude)
        styles = self.styles(name, index, gain=gain)
        x = g.op("Mul", x, self.per_channel(styles, "styles"), name="modulate")
        self.watched.append(x)
        x = self.conv(x, weight, [layer.kernel - 1] * 4, "conv")
        self.watched.append(x)
        if self.dtype != "float32":
            x = g.cast(x, "float32", name="to_float32")
        x = g.op("Add", x, g.constant("bias", bias[:, None, None] * scale), name="add_bias")
        clamp = self.config.conv_clamp
        return self.clamp(x, None if clamp is None else clamp * scale, "float32")


def _padded(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The tensors, with channels between the layers that are zero, up to a multiple."""
    assert isinstance(checkpoint.config, StyleGAN3Config)
    tensors = dict(checkpoint.tensors)
    for layer in checkpoint.config.layers:
        name = f"synthesis.{layer.name}"
        wide_in, wide_out = (
            -(-channels // MULTIPLE) * MULTIPLE
            for channels in (layer.in_channels, layer.out_channels)
        )
        if layer.is_torgb:
            wide_out = layer.out_channels
        sizes = {
            "weight": (wide_out, wide_in),
            "bias": (wide_out,),
            "affine.weight": (wide_in,),
            "affine.bias": (wide_in,),
        }
        for leaf, size in sizes.items():
            tensors[f"{name}.{leaf}"] = lowering_filters.padded_to(tensors[f"{name}.{leaf}"], size)
    wide = -(-checkpoint.config.input_channels // MULTIPLE) * MULTIPLE
    mix = "synthesis.input.weight"
    tensors[mix] = lowering_filters.padded_to(tensors[mix], (wide,))
    return tensors

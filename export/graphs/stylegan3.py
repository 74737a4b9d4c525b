"""The synthesis network of StyleGAN3, T and R, as an ONNX graph.

What a checkpoint makes of its weights before it uses them is made here: their norm, the gain for
the magnitude of the input and that of the leaky ReLU are part of the demodulation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import onnx_ir as ir

from stylert.export.checkpoints import Checkpoint, StyleGAN3Config, StyleGAN3Layer
from stylert.export.graphs.filtered_lrelu import FORMS, FilteredLrelu, FrameForm
from stylert.export.graphs.fourier_features import emit_fourier_features
from stylert.export.graphs.modulation import ModulatedEmitter
from stylert.export.graphs.styles import StyledLayer
from stylert.export.half_rounding import HALF_MAX, round_filter, round_weight
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["build_stylegan3_graph"]

MULTIPLE = 8  # of channels, which vector units and tensor cores take at a time
GROUP_BYTES = 192 * 2**20  # of one image at the high rate: more channels are done one after another

Parts = list[tuple[slice, ir.Value]]  # which channels of a value, and these


def build_stylegan3_graph(
    checkpoint: Checkpoint, *, filters: str = "auto", **options: Any
) -> GraphBuilder:
    """The synthesis network, with the transform of the picture as an input.

    In half precision, styles, demodulation, bias, Fourier features and the image stay in float32.

    Args:
        checkpoint: a StyleGAN3 generator.
        filters: form of the filtered leaky ReLU, of `FORMS` (see `filtered_lrelu`; the function is
            the same), or 'auto': 'matrix' where the graph has half precision, as it
            has for GPUs, else 'phases'.
        **options: of `SynthesisEmitter`.
    """
    assert filters in ("auto", *FORMS), filters
    return _Synthesis(checkpoint, filters, **options).build()


class _Synthesis(ModulatedEmitter):
    config: StyleGAN3Config

    def __init__(self, checkpoint: Checkpoint, filters: str, **options: Any) -> None:
        super().__init__(checkpoint, **options)
        forms = {"auto": "matrix" if self.half_blocks else "phases"}
        self.form = FORMS[forms.get(filters, filters)]
        self.given = "float32"  # precision of what the layer at hand takes
        self.tensors = _add_channels(self.config, checkpoint.tensors)

    def build(self) -> GraphBuilder:
        c, g = self.config, self.graph
        with g.scope("input"):
            x = emit_fourier_features(self, c, exact=self.form is FrameForm)
        # An error in a style is the same in every pixel. Pictures of little contrast show it: with
        # half precision here, the golden T reaches 61 dB, not 69 dB. And products of several
        # layers, which are for GPUs, take it from 0.2 to 0.5 of its bound in ONNX Runtime.
        self.emit_styles(self.list_layers(), exact=True, alone=not self.half_blocks)
        parts: Parts = [(slice(None), x)]
        for layer in c.layers:
            self.given = self.dtype
            self.enter(layer.name, None)
            with g.scope(layer.name):
                emit = self.torgb if layer.is_torgb else self.layer
                parts = emit(parts, layer)
            self.leave(layer.name)
        ((_, img),) = parts
        self.output_images(img, c.img_channels, c.img_shape)
        return g

    def list_layers(self) -> Iterator[StyledLayer]:
        """The layers that take styles; the first row of ws is that of the Fourier features."""
        for index, layer in enumerate(self.config.layers, start=1):
            gain, real = self.find_gain(layer), layer.in_channels
            if layer.is_torgb:
                gain /= math.sqrt(layer.in_channels * layer.kernel**2)
                yield self.styled(layer.name, index, gain=gain, real=real, is_rgb=True)
            else:
                weight = _scale_to_unit_variance(self.tensors[f"synthesis.{layer.name}.weight"])
                yield self.styled(
                    layer.name, index, weight=weight, norm=gain, channels=real, real=real
                )

    def layer(self, parts: Parts, layer: StyleGAN3Layer) -> Parts:
        """Modulated convolution, bias, filtered leaky ReLU."""
        g, name = self.graph, f"synthesis.{layer.name}"
        bias = self.tensors[f"{name}.bias"].astype(np.float64) * layer.gain
        weight = _scale_to_unit_variance(self.tensors[f"{name}.weight"])
        scale, weight, d = self.modulation(layer.name, weight)
        lrelu = self.filtered_lrelu(layer)
        x, rounding = self.modulated_conv(parts, scale, weight, lrelu)
        if rounding is not None:
            d = g.op("Mul", d, g.constant("rounding", rounding), name="unscale")
        x = g.op("Mul", x, self.unsqueeze(d, "factors"), name="demodulate")
        x = g.op("Add", x, g.constant("bias", bias[:, None, None]), name="add_bias")
        x = self.guard(x, lrelu, bias)
        x = self.to_block(x, "filtered")
        self.watched.append(x)
        parts = self.emit_in_groups(x, len(weight), lrelu)
        self.watched += [x for _, x in parts]
        return parts

    def torgb(self, parts: Parts, layer: StyleGAN3Layer) -> Parts:
        """Modulated convolution to the image's channels; from there on it is float32."""
        g, c, name = self.graph, self.config, f"synthesis.{layer.name}"
        weight = self.tensors[f"{name}.weight"].astype(np.float64)
        bias = self.tensors[f"{name}.bias"].astype(np.float64) * c.output_scale
        lrelu = self.filtered_lrelu(layer)
        styles = self.styles.find(layer.name)
        x, rounding = self.modulated_conv(parts, styles, weight, lrelu)
        if rounding is not None:
            x = g.op("Mul", x, g.constant("rounding", rounding[:, None, None]), name="unscale")
        x = g.op("Add", x, g.constant("bias", bias[:, None, None]), name="add_bias")
        self.dtype = "float32"
        clamp = None if c.conv_clamp is None else c.conv_clamp * c.output_scale
        return [(slice(None), lrelu.emit(x, c.img_channels, clamp))]

    def find_gain(self, layer: StyleGAN3Layer) -> float:
        """The gain of a layer's result, times what brings its input to unit variance."""
        gain = self.config.output_scale if layer.is_torgb else layer.gain
        return float(gain / math.sqrt(self.tensors[f"synthesis.{layer.name}.magnitude_ema"]))

    def filtered_lrelu(self, layer: StyleGAN3Layer) -> FilteredLrelu:
        """The filtered leaky ReLU of a layer, with its filters as the block stores them best."""
        one_tap = np.ones(1)
        up_fir = self.tensors.get(f"synthesis.{layer.name}.up_filter", one_tap)
        down_fir = self.tensors.get(f"synthesis.{layer.name}.down_filter", one_tap)
        if self.dtype == "float16":
            up_fir, down_fir = round_filter(up_fir, phases=layer.up), round_filter(down_fir)
        return self.form(self, layer, up_fir, down_fir)

    def modulated_conv(
        self,
        parts: Parts,
        styles: ir.Value,  # [N, I]
        weight: np.ndarray,  # [O, I, k, k]
        lrelu: FilteredLrelu,
    ) -> tuple[ir.Value, np.ndarray | None]:
        """The convolution, in float32, and factors [O] it is yet to be multiplied by, None = 1.

        It is the sum of those of the parts, so that no two of them need memory at a time. The
        styles are multiplied in float32, and the product is rounded once. A weight that is stored
        in half precision is rounded as it is best.
        """
        factors = None
        if self.dtype == "float16" or self.graph.compact:
            weight, factors = round_weight(weight)
        g, scale, total = self.graph, self.unsqueeze(styles, "styles"), None
        for i, (channels, part) in enumerate(parts):
            with g.scope(f"of_part{i}") if len(parts) > 1 else nullcontext():
                x, pads = self.trim(part, lrelu)
                if self.given == "float16":
                    x = g.cast(x, "float32", name="input_float32")
                by = scale
                if len(parts) > 1:
                    by = lrelu.cut(scale, channels.start, channels.stop, [1], "styles")
                x = self.to_block(g.op("Mul", x, by, name="modulate"), "modulated")
                self.watched.append(x)
                x = self.conv(x, weight[:, channels], pads, "conv")
                self.watched.append(x)
                if self.dtype == "float16":
                    x = g.cast(x, "float32", name="conv_float32")
                total = x if total is None else g.op("Add", total, x, name="sum")
        assert total is not None
        return total, None if factors is None else 1 / factors

    def trim(self, x: ir.Value, lrelu: FilteredLrelu) -> tuple[ir.Value, list[int]]:
        """What is needed of the input, and the pads, for what `lrelu` reads of the convolution."""
        layer = lrelu.layer
        full = layer.kernel - 1
        axes = list(zip(lrelu.reads, layer.conv_shape, strict=True))
        before = [full - start for (start, _), _ in axes]  # negative = rows or columns to cut off
        after = [full - (side - stop) for (_, stop), side in axes]
        if min(*before, *after) < 0:
            starts = [max(-pad, 0) for pad in before]
            stops = [s + min(pad, 0) for s, pad in zip(layer.in_shape, after, strict=True)]
            x = lrelu.cut(x, starts, stops, [2, 3], "trim")
        return x, [max(pad, 0) for pad in (*before, *after)]

    def emit_in_groups(self, x: ir.Value, channels: int, lrelu: FilteredLrelu) -> Parts:
        """The activation of some channels after that of others: it needs far more memory than x."""
        g = self.graph
        clamp = self.config.conv_clamp
        item = 2 if self.dtype == "float16" else 4
        fitting = GROUP_BYTES // (item * math.prod(lrelu.layer.activation_shape))
        size = max(fitting // MULTIPLE, 1) * MULTIPLE
        if channels <= size:
            return [(slice(None), lrelu.emit(x, channels, clamp))]
        parts: Parts = []
        for start in range(0, channels, size):
            stop = min(start + size, channels)
            with g.scope(f"from{start}"):
                part = lrelu.cut(x, start, stop, [1], "channels")
                parts.append((slice(start, stop), lrelu.emit(part, stop - start, clamp)))
        if not self.half_blocks:
            return parts
        # For GPUs, where one large convolution is worth more than the memory.
        return [(slice(None), g.op("Concat", *(x for _, x in parts), name="channels", axis=1))]

    def guard(self, x: ir.Value, lrelu: FilteredLrelu, bias: np.ndarray) -> ir.Value:
        """Keep what is upsampled in half precision finite, where it could become infinite.

        The convolution's input is at most the clamp, and the demodulation divides by the norm of
        the weights: by Cauchy and Schwarz nothing is larger than `largest`. Trained layers are far
        below, and all that is cut off here is far above the clamp behind the filter.
        """
        if not self.in_half or self.config.conv_clamp is None:
            return x
        layer = lrelu.layer
        norm = math.sqrt(layer.in_channels) * layer.kernel * self.config.conv_clamp
        largest = self.find_gain(layer) * norm + float(np.abs(bias).max())
        limit = 0.99 * HALF_MAX / lrelu.overshoot
        return self.clamp(x, limit if largest > limit else None, "float32")

    def unsqueeze(self, x: ir.Value, name: str) -> ir.Value:
        """[N, C] to [N, C, 1, 1], in float32."""
        axes = self.graph.shared("axes_23", np.array([2, 3]))
        return self.graph.op("Unsqueeze", x, axes, name=name)


def _scale_to_unit_variance(weight: np.ndarray) -> np.ndarray:
    """The weight [O, I, k, k], scaled so that every output channel has a mean square of 1."""
    weight = weight.astype(np.float64)
    square = np.square(weight).mean(axis=(1, 2, 3), keepdims=True)
    return weight / np.sqrt(np.where(square > 0, square, 1))


def _add_channels(
    config: StyleGAN3Config, tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The tensors with channels between the layers that are always zero, up to a multiple of 8."""
    padded = dict(tensors)

    def pad(name: str, *sizes: int) -> None:
        array = tensors[name]
        wanted = [*(-(-size // MULTIPLE) * MULTIPLE for size in sizes), *array.shape[len(sizes) :]]
        by = [(0, size - old) for size, old in zip(wanted, array.shape, strict=True)]
        padded[name] = np.pad(array, by)

    pad("synthesis.input.weight", config.input_channels)
    for layer in config.layers:
        name = f"synthesis.{layer.name}"
        pad(f"{name}.affine.weight", layer.in_channels)
        pad(f"{name}.affine.bias", layer.in_channels)
        if layer.is_torgb:
            by = -layer.in_channels % MULTIPLE
            padded[f"{name}.weight"] = np.pad(
                tensors[f"{name}.weight"], [(0, 0), (0, by), (0, 0), (0, 0)]
            )
        else:
            pad(f"{name}.weight", layer.out_channels, layer.in_channels)
            pad(f"{name}.bias", layer.out_channels)
    return padded

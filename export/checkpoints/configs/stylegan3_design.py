"""How a StyleGAN3 is designed: each layer's rate, size, channels, padding and filters.

Karras et al. 2021 (Alias-Free Generative Adversarial Networks), section 3 and appendix C. A network
that was trained carries what this came to, so only networks without a checkpoint need it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylert.export.checkpoints.configs.stylegan3 import StyleGAN3Config, StyleGAN3Layer

__all__ = ["StyleGAN3Design", "bessel_j1", "design_low_pass", "design_radial_low_pass"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class StyleGAN3Design:
    """What a StyleGAN3 is made from. The defaults are those of StyleGAN3-T.

    Frequencies are in cycles per unit of the coordinates, whose unit is the height of the image;
    rates are in samples per unit. Layer `num_layers` is ToRGB.
    """

    img_resolution: int  # height of the image in pixels, a power of 2
    img_channels: int = 3
    channel_base: int = 32768  # channels of a layer times twice its cutoff
    channel_max: int = 512
    num_layers: int = 14  # without ToRGB
    num_critical: int = 2  # last layers whose cutoff is half of their rate
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3  # last stopband over the last cutoff
    margin_size: int = 10  # pixels beyond the image, above and below
    num_fp16_res: int = 4  # layers above img_resolution / 2^num_fp16_res were trained in half
    conv_kernel: int = 3  # 1 in StyleGAN3-R
    filter_size: int = 6  # taps for each sample of the lower of two rates
    lrelu_upsampling: int = 2  # rate of the leaky ReLU over the higher one of its layer's rates
    use_radial_filters: bool = False  # True in StyleGAN3-R
    square: bool = True  # False: half as wide as high, margins included, as in StyleGAN-Human

    @property
    def cutoffs(self) -> Floats:
        """Highest frequency that each layer keeps."""
        return self._make_progression(self.first_cutoff, self.img_resolution / 2)

    @property
    def stopbands(self) -> Floats:
        """Frequency from which on each layer keeps nothing."""
        last = self.img_resolution / 2 * self.last_stopband_rel
        return self._make_progression(self.first_stopband, last)

    @property
    def rates(self) -> NDArray[np.int64]:
        """Samples per unit: the power of 2 that holds the stopband, but at most the image's."""
        needed = np.minimum(2 * self.stopbands, self.img_resolution)
        return np.exp2(np.ceil(np.log2(needed))).astype(np.int64)

    @property
    def half_widths(self) -> Floats:
        """Half of the width of each filter's transition band."""
        return np.maximum(self.stopbands, self.rates / 2) - self.cutoffs

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Height of each layer's output in pixels: with a margin, but for the last two."""
        sizes = self.rates + 2 * self.margin_size
        sizes[-2:] = self.img_resolution
        return sizes

    @property
    def channels(self) -> NDArray[np.int64]:
        """Output channels of each layer."""
        wide = np.minimum(self.channel_base / 2 / self.cutoffs, self.channel_max)
        channels = np.rint(wide).astype(np.int64)
        channels[-1] = self.img_channels
        return channels

    def make_layers(self) -> tuple[StyleGAN3Layer, ...]:
        """The records of all layers."""
        return tuple(self._make_layer(index) for index in range(self.num_layers + 1))

    def make_config(self, **fields: Any) -> StyleGAN3Config:
        """The architecture.

        Args:
            **fields: of `Config`: the latents, the mapping network and the clamp.
        """
        return StyleGAN3Config(
            img_channels=self.img_channels,
            input_channels=int(self.channels[0]),
            input_shape=self._make_shape(0),
            input_rate=int(self.rates[0]),
            input_bandwidth=float(self.cutoffs[0]),
            layers=self.make_layers(),
            **fields,
        )

    def make_filters(self, layers: Sequence[StyleGAN3Layer] | None = None) -> dict[str, np.ndarray]:
        """The float32 filters of layers, None = its own, by their tensors' names."""
        filters = {}
        for index, layer in enumerate(self.make_layers() if layers is None else layers):
            before = max(index - 1, 0)
            rate = float(self.rates[before] * layer.up)  # of the leaky ReLU
            for kind, taps, band in (
                ("up", layer.up_taps, before),
                ("down", layer.down_taps, index),
            ):
                if taps:
                    radial = kind == "down" and layer.down_radial
                    design = design_radial_low_pass if radial else design_low_pass
                    cutoff, half_width = float(self.cutoffs[band]), float(self.half_widths[band])
                    fir = design(taps, cutoff=cutoff, width=2 * half_width, rate=rate)
                    filters[f"synthesis.{layer.name}.{kind}_filter"] = fir.astype(np.float32)
        return filters

    def _make_progression(self, first: float, last: float) -> Floats:
        """Geometric from first to last, which the critically sampled layers keep."""
        steps = np.arange(self.num_layers + 1) / (self.num_layers - self.num_critical)
        return first * (last / first) ** np.minimum(steps, 1)

    def _make_shape(self, index: int) -> tuple[int, int]:
        """Height and width of a layer's output in pixels."""
        height = int(self.sizes[index])
        return height, height if self.square else height // 2

    def _make_layer(self, index: int) -> StyleGAN3Layer:
        before = max(index - 1, 0)
        is_torgb = index == self.num_layers
        is_critical = index >= self.num_layers - self.num_critical
        rate_in, rate_out = int(self.rates[before]), int(self.rates[index])
        rate = max(rate_in, rate_out) * (1 if is_torgb else self.lrelu_upsampling)
        up, down = rate // rate_in, rate // rate_out
        up_taps = self.filter_size * up if up > 1 and not is_torgb else 0
        down_taps = self.filter_size * down if down > 1 and not is_torgb else 0
        kernel = 1 if is_torgb else self.conv_kernel
        in_shape, out_shape = self._make_shape(before), self._make_shape(index)
        channels = int(self.channels[index])
        pads: list[int] = []
        for in_size, out_size in zip(in_shape[::-1], out_shape[::-1], strict=True):
            # What the filters and the rate of the output need, less what the convolution gives.
            needed = (out_size - 1) * down + 1 + max(up_taps, 1) - 1 + max(down_taps, 1) - 1
            padding = needed - (in_size + kernel - 1) * up
            first = (padding + up) // 2  # inserted zeros follow their sample: half of them go first
            pads += [first, padding - first]
        return StyleGAN3Layer(
            name=f"L{index}_{out_shape[1]}_{channels}",
            in_channels=int(self.channels[before]),
            out_channels=channels,
            kernel=kernel,
            in_shape=in_shape,
            out_shape=out_shape,
            up=up,
            down=down,
            up_taps=up_taps,
            down_taps=down_taps,
            down_radial=bool(down_taps) and self.use_radial_filters and not is_critical,
            padding=(pads[0], pads[1], pads[2], pads[3]),
            half=rate_out * 2**self.num_fp16_res > self.img_resolution,
            is_torgb=is_torgb,
        )


def design_low_pass(taps: int, *, cutoff: float, width: float, rate: float) -> Floats:
    """A windowed sinc [taps] of sum 1 (Kaiser 1974): one factor of a separable filter.

    Args:
        taps: its length.
        cutoff: where it halves the amplitude.
        width: of the transition band.
        rate: samples per unit.
    """
    times = _list_sample_times(taps, rate)
    return _scale_to_sum_1(np.sinc(2 * cutoff * times) * _kaiser_window(taps, width / rate))


def design_radial_low_pass(taps: int, *, cutoff: float, width: float, rate: float) -> Floats:
    """A windowed jinc [taps, taps] of sum 1: it keeps a disc of frequencies.

    Args:
        taps: length of both sides; even, so that no sample lies in the centre.
        cutoff: where it halves the amplitude.
        width: of the transition band.
        rate: samples per unit.
    """
    times = _list_sample_times(taps, rate)
    radii = np.hypot(times[:, None], times)
    window = _kaiser_window(taps, width / rate)
    return _scale_to_sum_1(bessel_j1(2 * np.pi * cutoff * radii) / radii * np.outer(window, window))


def bessel_j1(x: Floats) -> Floats:
    """The Bessel function of the first kind of order 1, exact to rounding for |x| < 100.

    The integral of cos(t - x sin t) / pi over half a period; the trapezoidal rule converges
    exponentially on it (Abramowitz and Stegun, 9.1.21).
    """
    steps = 256
    t = np.pi * (np.arange(steps) + 0.5) / steps
    means: Floats = np.cos(t - np.asarray(x)[..., None] * np.sin(t)).mean(axis=-1)
    return means


def _scale_to_sum_1(fir: Floats) -> Floats:
    normalized: Floats = fir / fir.sum()
    return normalized


def _list_sample_times(taps: int, rate: float) -> Floats:
    times = np.arange(taps, dtype=np.float64) - (taps - 1) / 2
    return times / rate


def _kaiser_window(taps: int, width: float) -> Floats:
    """The Kaiser window for a transition band of a width in cycles per sample.

    Kaiser's formulas for the attenuation that so many taps reach, and the window that reaches it.
    """
    attenuation = 2.285 * 2 * math.pi * width * (taps - 1) + 7.95  # in dB
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    return np.asarray(np.kaiser(taps, beta), np.float64)

"""The configuration of a StyleGAN3, and the names of its tensors.

They are those of the stylegan3 state dict (C and K are a layer's output and input channels, k its
kernel size, t the taps of a filter; the mapping network is in `config`):

    synthesis.input.weight                        [C, C]
    synthesis.input.affine.{weight, bias}         [4, w_dim], [4]        rotation and translation
    synthesis.input.transform                     [3, 3]                 of the coordinates
    synthesis.input.{freqs, phases}               [C, 2], [C]            of the Fourier features
    synthesis.L*.weight                           [C, K, k, k]
    synthesis.L*.bias                             [C]
    synthesis.L*.affine.{weight, bias}            [K, w_dim], [K]
    synthesis.L*.magnitude_ema                    []                     mean square of its input
    synthesis.L*.up_filter                        [t]                    only if up_taps > 0
    synthesis.L*.down_filter                      [t] or [t, t]          only if down_taps > 0

A filter [t] is one factor of a separable one; every filter sums to 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from typing_extensions import override

from stylert.export.checkpoints.configs.config import (
    Config,
    Shapes,
    check_choice,
    check_integer,
    check_integers,
    check_positive,
)
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.runtime.errors import CheckpointError

__all__ = ["MOST_LAYERS", "MOST_PIXELS", "StyleGAN3Config", "StyleGAN3Layer"]

MOST_LAYERS = 64
MOST_PIXELS = 2**14  # of a side

# What a field of a layer may be: an integer's least and most.
_LAYER_RANGES = {
    "in_channels": (1, 2**16),
    "out_channels": (1, 2**16),
    "up": (1, 16),
    "down": (1, 16),
    "up_taps": (0, 256),
    "down_taps": (0, 256),
}


@dataclass(frozen=True, kw_only=True)
class StyleGAN3Layer:
    """One layer of the synthesis: a modulated convolution, then a filtered leaky ReLU.

    The convolution pads its input by kernel - 1 zeros on each side. The activation is computed at
    `up` times the resolution: zeros are inserted, `padding` is added (or cut off where negative),
    `up_filter`, leaky ReLU, `down_filter`, and every `down`-th sample is kept. Factors and filters
    are those of both directions; sizes are height and width.
    """

    name: str  # 'L0_36_512': its number, output width and output channels
    in_channels: int
    out_channels: int
    kernel: int  # of the convolution: 1 or 3
    in_shape: tuple[int, int]  # of the input in pixels
    out_shape: tuple[int, int]  # of the output in pixels
    up: int = 1  # factor of the upsampling
    down: int = 1  # factor of the downsampling
    up_taps: int = 0  # length of up_filter [t], 0 = there is none
    down_taps: int = 0  # length of down_filter, 0 = there is none
    down_radial: bool = False  # down_filter is [t, t] and not separable
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  # left, right, top, bottom
    half: bool = False  # it was trained in half precision
    is_torgb: bool = False  # it makes the image: no demodulation, filters and nonlinearity

    def __post_init__(self) -> None:
        """Refuse values that no layer has.

        Raises:
            CheckpointError: a field has another type, is out of its range, or the sizes differ.
        """
        for field, (least, most) in _LAYER_RANGES.items():
            check_integer(field, getattr(self, field), least, most)
        check_choice("kernel", self.kernel, (1, 3))
        for field in ("down_radial", "half", "is_torgb"):
            check_choice(field, getattr(self, field), (True, False))
        for field in ("in_shape", "out_shape"):
            check_integers(field, getattr(self, field), 2, 2, MOST_PIXELS)
        if type(self.padding) is not tuple or len(self.padding) != 4:
            raise CheckpointError("padding: expected four integers")
        for amount in self.padding:
            check_integer("padding", amount, -MOST_PIXELS, MOST_PIXELS)
        if self.down_radial and not self.down_taps:
            raise CheckpointError("a radial down_filter without taps")
        taps = max(self.down_taps, 1)
        made = tuple((high - taps) // self.down + 1 for high in self.activation_shape)
        if min(self.activation_shape) < taps or made != self.out_shape:
            raise CheckpointError(
                f"{quote(self.name)} makes {_show(made)} pixels of {_show(self.in_shape)}, not "
                f"{_show(self.out_shape)}: its factors, taps and padding do not fit its sizes"
            )

    @property
    def slope(self) -> float:
        """Of the leaky ReLU: 1 = linear."""
        return 1.0 if self.is_torgb else 0.2

    @property
    def gain(self) -> float:
        """What the leaky ReLU's output is multiplied by, before it is clamped."""
        return 1.0 if self.is_torgb else math.sqrt(2)

    @property
    def pads(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The padding before and after the rows, and that of the columns."""
        left, right, top, bottom = self.padding
        return (top, bottom), (left, right)

    @property
    def conv_shape(self) -> tuple[int, int]:
        """Height and width in pixels of what the convolution makes."""
        height, width = self.in_shape
        return height + self.kernel - 1, width + self.kernel - 1

    @property
    def activation_shape(self) -> tuple[int, int]:
        """Height and width in pixels of what the leaky ReLU takes, at the higher resolution."""
        height, width = (
            side * self.up + sum(pads) - max(self.up_taps, 1) + 1
            for side, pads in zip(self.conv_shape, self.pads, strict=True)
        )
        return height, width


@dataclass(frozen=True, kw_only=True)
class StyleGAN3Config(Config):
    """The architecture of a StyleGAN3 generator (Karras et al. 2021), T or R, enough to build it.

    The first w drives the Fourier features, each other one a layer. Of StyleGAN-XL's networks, too,
    whose layers for more pixels go on with numbers that leave some out.
    """

    family = "stylegan3"
    title = "StyleGAN3"
    has_transform = True

    input_channels: int  # of the Fourier features
    input_shape: tuple[int, int]  # height and width of the Fourier features in pixels
    input_rate: int  # pixels of the Fourier features for one unit of their coordinates
    input_bandwidth: float  # highest frequency of the Fourier features, in cycles per unit
    layers: tuple[StyleGAN3Layer, ...]  # the last one makes the image
    use_noise: bool = False  # no layer adds noise
    output_scale: float = 0.25  # what the image is multiplied by in the end

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("input_channels", self.input_channels, 1, 2**16)
        check_integers("input_shape", self.input_shape, 2, 2, MOST_PIXELS)
        check_integer("input_rate", self.input_rate, 1, MOST_PIXELS)
        check_positive("input_bandwidth", self.input_bandwidth)
        check_positive("output_scale", self.output_scale)
        check_choice("use_noise", self.use_noise, (False,))
        if not 2 * self.input_bandwidth < self.input_rate:
            raise CheckpointError(
                f"input_bandwidth {self.input_bandwidth:g}: expected less than half of the "
                f"input_rate {self.input_rate}"
            )
        self._check_layers()

    def _check_layers(self) -> None:
        """Each layer takes what the one before it makes; the last, and only it, is ToRGB."""
        if type(self.layers) is not tuple or not 1 <= len(self.layers) <= MOST_LAYERS:
            raise CheckpointError(f"layers: expected 1 to {MOST_LAYERS} of them")
        number, channels, shape = -1, self.input_channels, self.input_shape
        for layer in self.layers:
            if type(layer) is not StyleGAN3Layer:
                raise CheckpointError("layers: expected StyleGAN3Layer records")
            number = _check_name(layer, number + 1)
            if (layer.in_channels, layer.in_shape) != (channels, shape):
                raise CheckpointError(
                    f"{layer.name} takes {layer.in_channels} channels of {_show(layer.in_shape)} "
                    f"pixels, but what is before it makes {channels} of {_show(shape)}"
                )
            if layer.is_torgb != (layer is self.layers[-1]):
                raise CheckpointError(f"{layer.name}: the last layer, and only it, is ToRGB")
            channels, shape = layer.out_channels, layer.out_shape
        if channels != self.img_channels:
            raise CheckpointError(f"ToRGB makes {channels} channels, expected {self.img_channels}")

    @property
    @override
    def img_shape(self) -> tuple[int, int]:
        return self.layers[-1].out_shape

    @property
    @override
    def num_ws(self) -> int:
        return len(self.layers) + 1  # the first is the input's

    @property
    @override
    def block_names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)  # the input is always float32

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Pixels of each layer's output for one unit of the input's coordinates."""
        rates, rate = [], Fraction(self.input_rate)
        for layer in self.layers:
            rate = rate * layer.up / layer.down
            rates.append(rate)
        return tuple(rates)

    @property
    @override
    def native_half_blocks(self) -> tuple[str, ...]:
        trained = tuple(layer.name for layer in self.layers if layer.half)
        if trained:
            return trained
        highest = sorted(set(self.rates))[-4:]
        pairs = zip(self.layers, self.rates, strict=True)
        return tuple(layer.name for layer, rate in pairs if rate in highest)

    @property
    @override
    def max_fan_in(self) -> int:
        return max(layer.in_channels * layer.kernel**2 for layer in self.layers)

    @override
    def list_synthesis_shapes(self) -> Shapes:
        wide = self.input_channels
        shapes: Shapes = {
            "synthesis.input.weight": (wide, wide),
            "synthesis.input.affine.weight": (4, self.w_dim),
            "synthesis.input.affine.bias": (4,),
            "synthesis.input.transform": (3, 3),
            "synthesis.input.freqs": (wide, 2),
            "synthesis.input.phases": (wide,),
        }
        for layer in self.layers:
            name, kernel = f"synthesis.{layer.name}", layer.kernel
            shapes[f"{name}.weight"] = (layer.out_channels, layer.in_channels, kernel, kernel)
            shapes[f"{name}.bias"] = (layer.out_channels,)
            shapes[f"{name}.affine.weight"] = (layer.in_channels, self.w_dim)
            shapes[f"{name}.affine.bias"] = (layer.in_channels,)
            shapes[f"{name}.magnitude_ema"] = ()
            if layer.up_taps:
                shapes[f"{name}.up_filter"] = (layer.up_taps,)
            if layer.down_taps:
                dimensions = 2 if layer.down_radial else 1
                shapes[f"{name}.down_filter"] = (layer.down_taps,) * dimensions
        return shapes

    @override
    def count_synthesis_multiply_adds(self) -> int:
        total = self.input_channels**2 * math.prod(self.input_shape) + 4 * self.w_dim
        for layer in self.layers:
            taps = layer.in_channels * layer.kernel**2
            total += layer.out_channels * taps * math.prod(layer.conv_shape)
            total += layer.in_channels * self.w_dim
        return total

    @override
    def summarize(self) -> dict[str, str]:
        half = [layer.name for layer in self.layers if layer.half]
        radial = any(layer.down_radial for layer in self.layers)
        kernel = max(layer.kernel for layer in self.layers)
        return super().summarize() | {
            "network": f"{self.title}-{'R' if radial else 'T'}, "
            f"{kernel}x{kernel} convolutions, {'radial' if radial else 'separable'} filters",
            "channels": ", ".join(str(layer.out_channels) for layer in self.layers),
            "layers": ", ".join(self.block_names),
            "trained in": f"float32, {len(half)} layers in half" if half else "float32",
        }

    @classmethod
    @override
    def from_json(cls, data: Mapping[str, Any]) -> StyleGAN3Config:
        layers = data.get("layers")
        if type(layers) is not list or not all(type(layer) is dict for layer in layers):
            raise CheckpointError("layers: expected a list of records")
        return super().from_json({**data, "layers": [_read_layer(layer) for layer in layers]})


def _show(shape: Sequence[int]) -> str:
    """Height and width in words."""
    return " x ".join(map(str, shape))


def _check_name(layer: StyleGAN3Layer, least: int) -> int:
    """The number in a layer's name, which must be at least so much and go with its sizes."""
    sizes = f"_{layer.out_shape[1]}_{layer.out_channels}"
    found = re.match(r"L(0|[1-9]\d{0,3})_", layer.name) if type(layer.name) is str else None
    number = int(found[1]) if found else -1
    if number < least or layer.name != f"L{number}{sizes}":
        raise CheckpointError(f"the layer {quote(layer.name)} should be named L{least}{sizes}")
    return number


def _read_layer(data: dict[str, Any]) -> StyleGAN3Layer:
    fields: dict[str, Any] = {k: tuple(v) if type(v) is list else v for k, v in data.items()}
    try:
        return StyleGAN3Layer(**fields)
    except TypeError as error:
        raise CheckpointError(f"a layer of the configuration is incomplete: {error}") from None

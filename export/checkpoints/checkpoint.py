"""What every reader gives: a `Checkpoint`, which is a configuration and its tensors. NumPy only.

The tensors carry the names of the StyleGAN2-ADA state dict, whatever file they came from
(R is a block's nominal resolution 4, 8, 16, ...; C its channels; K the previous block's):

    mapping.w_avg                                 [w_dim]
    mapping.embed.{weight, bias}                  [E, c_dim], [E]        only if c_dim > 0
    mapping.fc{i}.{weight, bias}                  [out, in], [out]
    synthesis.b4.const                            [C, H0, W0]
    synthesis.bR.conv0.weight                     [C, K, 3, 3]           not in b4; upsamples by 2
    synthesis.bR.conv1.weight                     [C, C, 3, 3]
    synthesis.bR.convX.bias                       [C]
    synthesis.bR.convX.affine.{weight, bias}      [in, w_dim], [in]
    synthesis.bR.convX.{noise_const, noise_strength}   [H, W], []        only if use_noise
    synthesis.bR.torgb.{weight, bias}             [img_channels, C, 1, 1], [img_channels]
    synthesis.bR.torgb.affine.{weight, bias}      [C, w_dim], [C]        'skip': all, else the last
    synthesis.bR.skip.weight                      [C, K, 1, 1]           'resnet' only, not in b4
    synthesis.bR.resample_filter                  [t, t] or [t]          the FIR filter, of sum 1
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from stylert.runtime.errors import CheckpointError

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "Checkpoint",
    "Source",
    "StyleGAN2Config",
    "expected_shapes",
    "multiply_adds",
]

ARCHITECTURES = ("skip", "resnet", "orig")
ACTIVATIONS = ("lrelu", "relu", "swish", "linear")


# What a field may be: an integer's least and most; a tuple's shortest, longest, and its most.
_RANGES = {
    "z_dim": (1, 2**16),
    "c_dim": (0, 2**20),
    "w_dim": (1, 2**16),
    "img_channels": (1, 2**10),
    "mapping_layers": (1, 256),
    "embed_features": (0, 2**16),
    "mapping_features": (1, 2**16),
}
_SEQUENCES = {"const_shape": (2, 2, 2**10), "channels": (1, 14, 2**16)}
_CHOICES: dict[str, tuple[Any, ...]] = {
    "mapping_activation": ACTIVATIONS,
    "architecture": ARCHITECTURES,
    "activation": ACTIVATIONS,
    "use_noise": (True, False),
}


@dataclass(frozen=True)
class StyleGAN2Config:
    """The architecture of a StyleGAN2 generator (Karras et al. 2020), enough to build it.

    The image is `const_shape * 2^(len(channels) - 1)` pixels; its sides need not be equal.
    """

    z_dim: int  # length of the latent z
    c_dim: int  # length of the conditioning label c, 0 = unconditional
    w_dim: int  # length of the intermediate latent w
    img_channels: int  # channels of the image: 1, 3, 4, ...
    const_shape: tuple[int, int]  # height and width of the learned constant
    channels: tuple[int, ...]  # output channels of the blocks b4, b8, b16, ...
    mapping_layers: int  # fully connected layers of the mapping network
    embed_features: int = 0  # length of the embedded label, 0 if c_dim is 0
    mapping_features: int = 512  # width of the mapping network between its first and last layer
    mapping_activation: str = "lrelu"
    mapping_lr_multiplier: float = 0.01  # the mapping network's weights are stored divided by it
    architecture: str = "skip"  # how blocks make the image: 'skip', 'resnet' or 'orig'
    activation: str = "lrelu"  # of the synthesis layers
    conv_clamp: float | None = None  # activations are clamped to +-conv_clamp, None = not
    use_noise: bool = True  # layers add noise
    num_fp16_res: int = 0  # how many of the highest resolutions were trained in half precision

    def __post_init__(self) -> None:
        """Refuse values that no StyleGAN2 has.

        Raises:
            CheckpointError: a field has another type, or is out of its range.
        """
        for name, (least, most) in _RANGES.items():
            _check_integer(name, getattr(self, name), least, most)
        for name, (shortest, longest, most) in _SEQUENCES.items():
            _check_integers(name, getattr(self, name), shortest, longest, most)
        for name, choices in _CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        _check_positive("mapping_lr_multiplier", self.mapping_lr_multiplier)
        if self.conv_clamp is not None:
            _check_positive("conv_clamp", self.conv_clamp)
        if (self.c_dim > 0) != (self.embed_features > 0):
            raise CheckpointError(
                f"embed_features is {self.embed_features} and c_dim {self.c_dim}, "
                "expected both 0 or none"
            )
        _check_integer("num_fp16_res", self.num_fp16_res, 0, len(self.channels))

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """Nominal resolutions that name the blocks: 4, 8, 16, ..."""
        return tuple(4 << i for i in range(len(self.channels)))

    @property
    def img_shape(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.block_shape(self.block_resolutions[-1])

    @property
    def num_ws(self) -> int:
        """How many w vectors the synthesis takes: one a layer, and one for the last ToRGB."""
        return 2 * len(self.channels)

    def block_shape(self, resolution: int) -> tuple[int, int]:
        """Height and width in pixels of the block `resolution`."""
        scale = resolution // 4
        return self.const_shape[0] * scale, self.const_shape[1] * scale

    def has_torgb(self, resolution: int) -> bool:
        """Whether the block `resolution` has a ToRGB layer."""
        return self.architecture == "skip" or resolution == self.block_resolutions[-1]

    def to_json(self) -> dict[str, Any]:
        """The configuration as plain JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StyleGAN2Config:
        """The configuration from what `to_json` gave.

        Raises:
            CheckpointError: a field is missing, unknown, or of the wrong kind.
        """
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        try:
            return cls(**fields)
        except TypeError as error:
            raise CheckpointError(f"the StyleGAN2 configuration is incomplete: {error}") from None


def _check_integer(name: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise CheckpointError(f"{name}: got {_shown(value)}, expected {least} to {most}")


def _check_integers(name: str, values: Any, shortest: int, longest: int, most: int) -> None:
    if type(values) is not tuple or not shortest <= len(values) <= longest:
        raise CheckpointError(
            f"{name}: got {_shown(values)}, expected {shortest} to {longest} integers"
        )
    for value in values:
        _check_integer(name, value, 1, most)


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        expected = ", ".join(map(str, choices))
        raise CheckpointError(f"not supported: {name} {_shown(value)}, expected {expected}")


def _check_positive(name: str, value: Any) -> None:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise CheckpointError(f"{name}: got {_shown(value)}, expected a number above 0")


def _shown(value: Any) -> str:
    """A value of any kind for a message: short, and on one line."""
    return ascii(value)[:80] if type(value) in (str, int, float, bool) else type(value).__name__


@dataclass(frozen=True)
class Source:
    """Where a checkpoint came from."""

    file: str  # name without folders
    sha256: str
    bytes: int
    format: str  # e.g. 'stylegan2-ada-pytorch pickle'
    network: str  # which network of the file: 'G_ema', 'G', ...


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Checkpoint:
    """A generator's configuration and its tensors, all float32 and C-contiguous."""

    family: str  # 'stylegan2'
    config: StyleGAN2Config
    tensors: Mapping[str, np.ndarray]
    source: Source
    notes: tuple[str, ...] = field(default=())  # what a user should know about the reading

    @property
    def num_parameters(self) -> int:
        """Trainable numbers: all tensors but w_avg, the noise constants and the filters."""
        frozen = ("w_avg", "noise_const", "resample_filter")
        return sum(t.size for name, t in self.tensors.items() if not name.endswith(frozen))

    @property
    def noise(self) -> dict[str, np.ndarray]:
        """The constant noise [H, W] by the name of its layer, such as 'b8.conv0'."""
        suffix = ".noise_const"
        return {
            name.removeprefix("synthesis.").removesuffix(suffix): tensor
            for name, tensor in self.tensors.items()
            if name.endswith(suffix)
        }


def expected_shapes(config: StyleGAN2Config) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that such a StyleGAN2 has, but its filters."""
    c = config
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (c.w_dim,)}
    if c.c_dim:
        shapes["mapping.embed.weight"] = (c.embed_features, c.c_dim)
        shapes["mapping.embed.bias"] = (c.embed_features,)
    widths = [c.z_dim + c.embed_features, *[c.mapping_features] * (c.mapping_layers - 1), c.w_dim]
    for i, (wide_in, wide_out) in enumerate(pairwise(widths)):
        shapes[f"mapping.fc{i}.weight"] = (wide_out, wide_in)
        shapes[f"mapping.fc{i}.bias"] = (wide_out,)

    def layer(name: str, wide_in: int, wide_out: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (wide_out, wide_in, kernel, kernel)
        shapes[f"{name}.bias"] = (wide_out,)
        shapes[f"{name}.affine.weight"] = (wide_in, c.w_dim)
        shapes[f"{name}.affine.bias"] = (wide_in,)

    previous = 0
    for resolution, wide in zip(c.block_resolutions, c.channels, strict=True):
        block = f"synthesis.b{resolution}"
        if resolution == 4:
            shapes[f"{block}.const"] = (wide, *c.const_shape)
        else:
            layer(f"{block}.conv0", previous, wide, 3)
            if c.architecture == "resnet":
                shapes[f"{block}.skip.weight"] = (wide, previous, 1, 1)
        layer(f"{block}.conv1", wide, wide, 3)
        if c.use_noise:
            for conv in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
                shapes[f"{block}.{conv}.noise_const"] = c.block_shape(resolution)
                shapes[f"{block}.{conv}.noise_strength"] = ()
        if c.has_torgb(resolution):
            layer(f"{block}.torgb", wide, c.img_channels, 1)
        previous = wide
    return shapes


def multiply_adds(config: StyleGAN2Config) -> dict[str, int]:
    """Multiply-adds of one image, a transposed convolution counted at its input pixels.

    Returns 'mapping' and 'synthesis'. Modulation, filters and pointwise work are not counted.
    """
    shapes = expected_shapes(config)
    counts = {"mapping": 0, "synthesis": 0}
    for name, shape in shapes.items():
        part, *middle, leaf = name.split(".")
        if leaf != "weight":
            continue
        pixels = 1
        if part == "synthesis" and middle[-1] != "affine":
            resolution = int(middle[0][1:])
            at_input = middle[-1] in ("conv0", "skip")
            pixels = math.prod(config.block_shape(resolution // 2 if at_input else resolution))
        counts[part] += math.prod(shape) * pixels
    return counts

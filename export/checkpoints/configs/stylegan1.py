"""The configuration of a StyleGAN 1, and the names of its tensors.

They follow StyleGAN2's where the two are alike (R is a block's resolution 4, 8, 16, ...; C its
channels; K the previous block's; the mapping network is in `config`, its biases divided by the
sqrt(2) that StyleGAN 1 does not scale them with):

    synthesis.b4.const                            [C, H0, W0]
    synthesis.bR.conv0.weight                     [C, K, 3, 3]           not in b4; upsamples by 2
    synthesis.bR.conv1.weight                     [C, C, 3, 3]
    synthesis.bR.convX.bias                       [C]                    b4.conv0: of the constant
    synthesis.bR.convX.affine.{weight, bias}      [2 C, w_dim], [2 C]    scales less 1, then offsets
    synthesis.bR.convX.{noise_const, noise_strength}   [H, W], [C]       only if use_noise
    synthesis.torgb.{weight, bias}                [img_channels, C, 1, 1], [img_channels]

The 3x3 kernels are in the orientation of the checkpoint's own operator: a convolution's, but in
conv0 of the blocks from `fused_from` on a transposed convolution's, which means flipped.
Weights are stored with unit variance; the equalised learning rate is applied at run time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stylert.export.checkpoints.configs.config import (
    ACTIVATIONS,
    Config,
    Shapes,
    check_choice,
    check_integer,
    check_integers,
)
from stylert.runtime.errors import CheckpointError

__all__ = ["StyleGAN1Config"]


@dataclass(frozen=True, kw_only=True)
class StyleGAN1Config(Config):
    """The architecture of a StyleGAN generator (Karras et al. 2019), enough to build it.

    The image is `const_shape * 2^(len(channels) - 1)` pixels; its sides need not be equal.
    """

    family = "stylegan1"
    title = "StyleGAN 1"
    truncation_psi = 0.7
    truncation_cutoff = 8

    const_shape: tuple[int, int]  # height and width of the learned constant
    channels: tuple[int, ...]  # output channels of the blocks b4, b8, b16, ...
    activation: str = "lrelu"  # of the synthesis layers: 'lrelu' or 'relu'
    fused_from: int = 128  # blocks of this resolution and more upsample by a transposed convolution

    def __post_init__(self) -> None:
        """Refuse values that no StyleGAN 1 has.

        Raises:
            CheckpointError: a field has another type, or is out of its range.
        """
        super().__post_init__()
        check_integers("const_shape", self.const_shape, 2, 2, 2**10)
        check_integers("channels", self.channels, 1, 14, 2**16)
        check_choice("activation", self.activation, ACTIVATIONS[:2])
        check_integer("fused_from", self.fused_from, 1, 2**16)
        check_choice("conv_clamp", self.conv_clamp, (None,))
        if self.const_shape == (1, 1):
            raise CheckpointError(
                "not supported: const_shape 1 x 1, expected more pixels: "
                "the instance normalisation leaves nothing of a single one"
            )

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """Nominal resolutions that name the blocks: 4, 8, 16, ..."""
        return tuple(4 << i for i in range(len(self.channels)))

    @property
    def block_names(self) -> tuple[str, ...]:
        """The blocks 'b4', 'b8', ..."""
        return tuple(f"b{resolution}" for resolution in self.block_resolutions)

    @property
    def native_half_blocks(self) -> tuple[str, ...]:
        """It was trained in float32: the four highest resolutions above 4."""
        return self.block_names[max(1, len(self.channels) - 4) :]

    @property
    def max_fan_in(self) -> int:
        """The largest number of inputs that one output of a convolution sums."""
        return 9 * max(self.channels)

    @property
    def img_shape(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.block_shape(self.block_resolutions[-1])

    @property
    def num_ws(self) -> int:
        """How many w vectors the synthesis takes: one a layer, the constant's included."""
        return 2 * len(self.channels)

    @property
    def filter_names(self) -> tuple[str, ...]:
        """None: the blur is always [1, 2, 1]."""
        return ()

    def block_shape(self, resolution: int) -> tuple[int, int]:
        """Height and width in pixels of the block `resolution`."""
        scale = resolution // 4
        return self.const_shape[0] * scale, self.const_shape[1] * scale

    def is_fused(self, resolution: int) -> bool:
        """Whether the block `resolution` upsamples by a transposed convolution."""
        return resolution >= self.fused_from

    def synthesis_shapes(self) -> Shapes:
        """Name and shape of every tensor of the synthesis."""
        shapes: Shapes = {}
        previous = 0
        for resolution, wide in zip(self.block_resolutions, self.channels, strict=True):
            block = f"synthesis.b{resolution}"
            if resolution == 4:
                shapes[f"{block}.const"] = (wide, *self.const_shape)
            else:
                shapes[f"{block}.conv0.weight"] = (wide, previous, 3, 3)
            shapes[f"{block}.conv1.weight"] = (wide, wide, 3, 3)
            for layer in (f"{block}.conv0", f"{block}.conv1"):
                shapes[f"{layer}.bias"] = (wide,)
                shapes[f"{layer}.affine.weight"] = (2 * wide, self.w_dim)
                shapes[f"{layer}.affine.bias"] = (2 * wide,)
                if self.use_noise:
                    shapes[f"{layer}.noise_const"] = self.block_shape(resolution)
                    shapes[f"{layer}.noise_strength"] = (wide,)
            previous = wide
        shapes["synthesis.torgb.weight"] = (self.img_channels, previous, 1, 1)
        shapes["synthesis.torgb.bias"] = (self.img_channels,)
        return shapes

    def summary(self) -> dict[str, str]:
        """What a user wants to know of the architecture, by what it is."""
        rows = super().summary()
        blocks = zip(self.block_names, self.channels, strict=True)
        return rows | {
            "channels": ", ".join(f"{block}: {wide}" for block, wide in blocks),
            "activations": f"{self.activation}, {rows['activations']}",
            "trained in": "float32",
        }

    def synthesis_multiply_adds(self) -> int:
        """Multiply-adds of the convolutions and affine layers of one image."""
        total = 0
        for name, shape in self.synthesis_shapes().items():
            _, *middle, leaf = name.split(".")
            if leaf != "weight":
                continue
            pixels = 1
            if middle[-1] == "torgb":
                pixels = math.prod(self.img_shape)
            elif middle[-1] != "affine":
                resolution = int(middle[0][1:])
                pixels = math.prod(self.block_shape(resolution))
                if middle[-1] == "conv0" and self.is_fused(resolution):
                    pixels = math.prod(self.block_shape(resolution // 2)) * 16 // 9  # 4x4 kernel
            total += math.prod(shape) * pixels
        return total

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

from typing_extensions import override

from stylert.export.checkpoints.configs.blocks import BlockConfig
from stylert.export.checkpoints.configs.config import Shapes, check_choice, check_integer
from stylert.runtime.errors import CheckpointError

__all__ = ["StyleGAN1Config"]


@dataclass(frozen=True, kw_only=True)
class StyleGAN1Config(BlockConfig):
    """The architecture of a StyleGAN generator (Karras et al. 2019), enough to build it."""

    family = "stylegan1"
    title = "StyleGAN 1"
    truncation_psi = 0.7
    truncation_cutoff = 8
    activations = ("lrelu", "relu")

    fused_from: int = 128  # blocks of this resolution and more upsample by a transposed convolution

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("fused_from", self.fused_from, 1, 2**16)
        check_choice("conv_clamp", self.conv_clamp, (None,))
        if self.const_shape == (1, 1):
            raise CheckpointError(
                "not supported: const_shape 1 x 1, expected more pixels: "
                "the instance normalisation leaves nothing of a single one"
            )

    def is_fused(self, resolution: int) -> bool:
        """Whether the block `resolution` upsamples by a transposed convolution."""
        return resolution >= self.fused_from

    @override
    def list_synthesis_shapes(self) -> Shapes:
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
                    shapes[f"{layer}.noise_const"] = self.find_block_shape(resolution)
                    shapes[f"{layer}.noise_strength"] = (wide,)
            previous = wide
        shapes["synthesis.torgb.weight"] = (self.img_channels, previous, 1, 1)
        shapes["synthesis.torgb.bias"] = (self.img_channels,)
        return shapes

    @override
    def summarize(self) -> dict[str, str]:
        return super().summarize() | {"trained in": "float32"}

    @override
    def count_pixels(self, layer: str) -> int:
        if layer == "torgb":
            return math.prod(self.img_shape)
        block, _, name = layer.partition(".")
        resolution = int(block[1:])
        if name == "conv0" and self.is_fused(resolution):
            return math.prod(self.find_block_shape(resolution // 2)) * 16 // 9  # 4x4 kernel
        return math.prod(self.find_block_shape(resolution))

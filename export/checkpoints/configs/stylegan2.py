"""The configuration of a StyleGAN2, and the names of its tensors, whatever file they came from.

They are those of the StyleGAN2-ADA state dict (R is a block's nominal resolution 4, 8, 16, ...;
C its channels; K the previous block's; the mapping network is in `config`):

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
from dataclasses import dataclass

from typing_extensions import override

from stylert.export.checkpoints.configs.blocks import BlockConfig
from stylert.export.checkpoints.configs.config import Shapes, check_choice, check_integer

__all__ = ["ARCHITECTURES", "StyleGAN2Config"]

ARCHITECTURES = ("skip", "resnet", "orig")


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Config(BlockConfig):
    """The architecture of a StyleGAN2 generator (Karras et al. 2020), enough to build it."""

    family = "stylegan2"
    title = "StyleGAN2"

    architecture: str = "skip"  # how blocks make the image: 'skip', 'resnet' or 'orig'
    num_fp16_res: int = 0  # how many of the highest resolutions were trained in half precision
    own_image_filter: bool = False  # whether the image is upsampled with another filter than conv0

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("architecture", self.architecture, ARCHITECTURES)
        check_integer("num_fp16_res", self.num_fp16_res, 0, len(self.channels))
        choices = (False, True) if self.architecture == "skip" else (False,)
        check_choice("own_image_filter", self.own_image_filter, choices)

    @property
    @override
    def native_half_blocks(self) -> tuple[str, ...]:
        if not self.num_fp16_res:
            return super().native_half_blocks
        return self.block_names[-self.num_fp16_res :]

    @property
    @override
    def filter_names(self) -> tuple[str, ...]:
        names = [f"synthesis.{block}.resample_filter" for block in self.block_names]
        if self.own_image_filter:
            names += [f"synthesis.{block}.torgb.resample_filter" for block in self.block_names[1:]]
        return tuple(names)

    def has_torgb(self, resolution: int) -> bool:
        """Whether the block `resolution` has a ToRGB layer."""
        return self.architecture == "skip" or resolution == self.block_resolutions[-1]

    @override
    def list_synthesis_shapes(self) -> Shapes:
        shapes: Shapes = {}

        def add_layer(name: str, wide_in: int, wide_out: int, kernel: int) -> None:
            shapes[f"{name}.weight"] = (wide_out, wide_in, kernel, kernel)
            shapes[f"{name}.bias"] = (wide_out,)
            shapes[f"{name}.affine.weight"] = (wide_in, self.w_dim)
            shapes[f"{name}.affine.bias"] = (wide_in,)

        previous = 0
        for resolution, wide in zip(self.block_resolutions, self.channels, strict=True):
            block = f"synthesis.b{resolution}"
            if resolution == 4:
                shapes[f"{block}.const"] = (wide, *self.const_shape)
            else:
                add_layer(f"{block}.conv0", previous, wide, 3)
                if self.architecture == "resnet":
                    shapes[f"{block}.skip.weight"] = (wide, previous, 1, 1)
            add_layer(f"{block}.conv1", wide, wide, 3)
            if self.use_noise:
                for conv in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
                    shapes[f"{block}.{conv}.noise_const"] = self.find_block_shape(resolution)
                    shapes[f"{block}.{conv}.noise_strength"] = ()
            if self.has_torgb(resolution):
                add_layer(f"{block}.torgb", wide, self.img_channels, 1)
            previous = wide
        return shapes

    @override
    def summarize(self) -> dict[str, str]:
        count = self.num_fp16_res
        half = f", the {count} highest resolutions in half" if count else ""
        return super().summarize() | {
            "network": f"{self.title}, architecture {self.architecture}",
            "trained in": f"float32{half}",
        }

    @override
    def count_pixels(self, layer: str) -> int:
        block, _, name = layer.partition(".")
        scale = 2 if name in ("conv0", "skip") else 1  # these upsample what they made
        return math.prod(self.find_block_shape(int(block[1:]) // scale))

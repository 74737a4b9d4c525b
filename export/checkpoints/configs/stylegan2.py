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

from stylert.export.checkpoints.configs.config import (
    ACTIVATIONS,
    Config,
    Shapes,
    check_choice,
    check_integer,
    check_integers,
)

__all__ = ["ARCHITECTURES", "StyleGAN2Config"]

ARCHITECTURES = ("skip", "resnet", "orig")


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Config(Config):
    """The architecture of a StyleGAN2 generator (Karras et al. 2020), enough to build it.

    The image is `const_shape * 2^(len(channels) - 1)` pixels; its sides need not be equal.
    """

    family = "stylegan2"
    title = "StyleGAN2"

    const_shape: tuple[int, int]  # height and width of the learned constant
    channels: tuple[int, ...]  # output channels of the blocks b4, b8, b16, ...
    architecture: str = "skip"  # how blocks make the image: 'skip', 'resnet' or 'orig'
    activation: str = "lrelu"  # of the synthesis layers
    num_fp16_res: int = 0  # how many of the highest resolutions were trained in half precision

    def __post_init__(self) -> None:
        """Refuse values that no StyleGAN2 has.

        Raises:
            CheckpointError: a field has another type, or is out of its range.
        """
        super().__post_init__()
        check_integers("const_shape", self.const_shape, 2, 2, 2**10)
        check_integers("channels", self.channels, 1, 14, 2**16)
        check_choice("architecture", self.architecture, ARCHITECTURES)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_integer("num_fp16_res", self.num_fp16_res, 0, len(self.channels))

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
        """Blocks trained in half precision, else the four highest resolutions above 4."""
        count = self.num_fp16_res or min(4, len(self.channels) - 1)
        return self.block_names[len(self.channels) - count :]

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
        """How many w vectors the synthesis takes: one a layer, and one for the last ToRGB."""
        return 2 * len(self.channels)

    @property
    def filter_names(self) -> tuple[str, ...]:
        """The filter of every block."""
        return tuple(f"synthesis.{block}.resample_filter" for block in self.block_names)

    def block_shape(self, resolution: int) -> tuple[int, int]:
        """Height and width in pixels of the block `resolution`."""
        scale = resolution // 4
        return self.const_shape[0] * scale, self.const_shape[1] * scale

    def has_torgb(self, resolution: int) -> bool:
        """Whether the block `resolution` has a ToRGB layer."""
        return self.architecture == "skip" or resolution == self.block_resolutions[-1]

    def synthesis_shapes(self) -> Shapes:
        """Name and shape of every tensor of the synthesis, but its filters."""
        shapes: Shapes = {}

        def layer(name: str, wide_in: int, wide_out: int, kernel: int) -> None:
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
                layer(f"{block}.conv0", previous, wide, 3)
                if self.architecture == "resnet":
                    shapes[f"{block}.skip.weight"] = (wide, previous, 1, 1)
            layer(f"{block}.conv1", wide, wide, 3)
            if self.use_noise:
                for conv in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
                    shapes[f"{block}.{conv}.noise_const"] = self.block_shape(resolution)
                    shapes[f"{block}.{conv}.noise_strength"] = ()
            if self.has_torgb(resolution):
                layer(f"{block}.torgb", wide, self.img_channels, 1)
            previous = wide
        return shapes

    def summary(self) -> dict[str, str]:
        """What a user wants to know of the architecture, by what it is."""
        rows = super().summary()
        count = self.num_fp16_res
        blocks = zip(self.block_names, self.channels, strict=True)
        return rows | {
            "network": f"{self.title}, architecture {self.architecture}",
            "channels": ", ".join(f"{block}: {wide}" for block, wide in blocks),
            "activations": f"{self.activation}, {rows['activations']}",
            "trained in": "float32"
            + (f", the {count} highest resolutions in half" if count else ""),
        }

    def synthesis_multiply_adds(self) -> int:
        """Multiply-adds of the convolutions and affine layers of one image."""
        total = 0
        for name, shape in self.synthesis_shapes().items():
            _, *middle, leaf = name.split(".")
            if leaf != "weight":
                continue
            pixels = 1
            if middle[-1] != "affine":
                resolution = int(middle[0][1:])
                at_input = middle[-1] in ("conv0", "skip")
                pixels = math.prod(self.block_shape(resolution // 2 if at_input else resolution))
            total += math.prod(shape) * pixels
        return total

"""What the configurations of StyleGAN 1 and 2 share: blocks, each of twice the resolution."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from stylert.export.checkpoints.configs.config import (
    ACTIVATIONS,
    Config,
    check_choice,
    check_integers,
)

__all__ = ["MAX_BLOCKS", "BlockConfig"]

MAX_BLOCKS = 14  # 32768 pixels


@dataclass(frozen=True, kw_only=True)
class BlockConfig(Config):
    """An architecture of blocks b4, b8, b16, ...

    The image is `const_shape * 2^(len(channels) - 1)` pixels; its sides need not be equal.
    """

    activations: ClassVar[tuple[str, ...]] = ACTIVATIONS  # that the synthesis layers may have

    const_shape: tuple[int, int]  # height and width of the learned constant
    channels: tuple[int, ...]  # output channels of the blocks b4, b8, b16, ...
    activation: str = "lrelu"  # of the synthesis layers

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        check_integers("const_shape", self.const_shape, 2, 2, 2**10)
        check_integers("channels", self.channels, 1, MAX_BLOCKS, 2**16)
        check_choice("activation", self.activation, self.activations)

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """Nominal resolutions that name the blocks: 4, 8, 16, ..."""
        return tuple(4 << i for i in range(len(self.channels)))

    @property
    @override
    def block_names(self) -> tuple[str, ...]:
        return tuple(f"b{resolution}" for resolution in self.block_resolutions)

    @property
    @override
    def native_half_blocks(self) -> tuple[str, ...]:
        return self.block_names[max(1, len(self.channels) - 4) :]

    @property
    @override
    def max_fan_in(self) -> int:
        return 9 * max(self.channels)

    @property
    @override
    def img_shape(self) -> tuple[int, int]:
        return self.find_block_shape(self.block_resolutions[-1])

    @property
    @override
    def num_ws(self) -> int:
        return 2 * len(self.channels)  # StyleGAN2's last ToRGB has one for the missing b4.conv0

    def find_block_shape(self, resolution: int) -> tuple[int, int]:
        """Height and width in pixels of the block `resolution`."""
        scale = resolution // 4
        return self.const_shape[0] * scale, self.const_shape[1] * scale

    @override
    def summarize(self) -> dict[str, str]:
        rows = super().summarize()
        blocks = zip(self.block_names, self.channels, strict=True)
        return rows | {
            "channels": ", ".join(f"{block}: {wide}" for block, wide in blocks),
            "activations": f"{self.activation}, {rows['activations']}",
        }

    @override
    def count_synthesis_multiply_adds(self) -> int:
        total = 0
        for name, shape in self.list_synthesis_shapes().items():
            *layer, leaf = name.removeprefix("synthesis.").split(".")
            if leaf == "weight":
                pixels = 1 if layer[-1] == "affine" else self.count_pixels(".".join(layer))
                total += math.prod(shape) * pixels
        return total

    @abstractmethod
    def count_pixels(self, layer: str) -> int:
        """At how many pixels a convolution such as 'b8.conv0' has all its weights multiplied."""

"""The configuration of a generator of lucidrains' stylegan2_pytorch, and its tensors' names.

It is a StyleGAN2 of other layers. R is a block's resolution 4, 8, 16, ...; C its channels; K those
of the block before, in b4 its own; I = K in conv0, C in conv1; H = 512, of eight heads:

    synthesis.noise_const                         [S, S]                 one map for all layers
    synthesis.start.const                         [C, 4, 4]              only if learned_const
    synthesis.start.project.weight                [w_dim, C, 4, 4]       only if not
    synthesis.start.conv.{weight, bias}           [C, C, 3, 3], [C]
    synthesis.bR.convX.weight                     [C, I, 3, 3]           conv0 of an upsampled input
    synthesis.bR.convX.{bias, noise_strength}     [C], [C]
    synthesis.bR.convX.affine.{weight, bias}      [I, w_dim], [I]
    synthesis.bR.torgb.weight                     [img_channels, C, 1, 1]
    synthesis.bR.torgb.affine.{weight, bias}      [C, w_dim], [C]
    synthesis.bR.attention.norm.{weight, bias}    [K], [K]               only if in `attention`
    synthesis.bR.attention.near.weight            [K, 1, 3, 3]           before keys and values
    synthesis.bR.attention.{queries, keys, values}.weight      [H, K, 1, 1]
    synthesis.bR.attention.out.{weight, bias}     [K, H, 1, 1], [K]
    synthesis.bR.feedforward.norm.{weight, bias}  [K], [K]
    synthesis.bR.feedforward.wide.{weight, bias}       [2 K, K, 1, 1], [2 K]
    synthesis.bR.feedforward.narrow.{weight, bias}     [K, 2 K, 1, 1], [K]

The mapping network and the affine layers are the other families', with the factors that these have
and it has not taken out of the weights; 1 is added to the affine biases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from typing_extensions import override

from stylert.export.checkpoints.configs.blocks import BlockConfig
from stylert.export.checkpoints.configs.config import Shapes, check_choice
from stylert.runtime.errors import CheckpointError

__all__ = ["HEADS", "HEAD_FEATURES", "LucidrainsConfig"]

HEADS = 8  # of an attention layer
HEAD_FEATURES = 64


@dataclass(frozen=True, kw_only=True)
class LucidrainsConfig(BlockConfig):
    """The architecture of a generator of stylegan2_pytorch, enough to build it."""

    family = "lucidrains"
    title = "StyleGAN2 of lucidrains"
    truncation_psi = 0.75
    activations = ("lrelu",)

    learned_const: bool = True  # else the first activations are made of the mean of the ws
    attention: tuple[str, ...] = ()  # blocks whose input goes through an attention layer first

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("const_shape", self.const_shape, ((4, 4),))
        check_choice("c_dim", self.c_dim, (0,))
        check_choice("conv_clamp", self.conv_clamp, (None,))
        check_choice("use_noise", self.use_noise, (True,))
        check_choice("learned_const", self.learned_const, (True, False))
        if type(self.attention) is not tuple:
            raise CheckpointError("attention: expected a list of blocks")
        for block in self.attention:
            check_choice("attention of", block, self.block_names)

    @property
    @override
    def num_ws(self) -> int:
        return len(self.channels)  # each drives all layers of a block

    @override
    def list_synthesis_shapes(self) -> Shapes:
        wide = previous = self.channels[0]
        shapes: Shapes = {"synthesis.noise_const": self.img_shape}
        if self.learned_const:
            shapes["synthesis.start.const"] = (wide, 4, 4)
        else:
            shapes["synthesis.start.project.weight"] = (self.w_dim, wide, 4, 4)
        shapes["synthesis.start.conv.weight"] = (wide, wide, 3, 3)
        shapes["synthesis.start.conv.bias"] = (wide,)
        for block, wide in zip(self.block_names, self.channels, strict=True):
            if block in self.attention:
                shapes |= _list_attention_shapes(f"synthesis.{block}", previous)
            for conv, inputs in (("conv0", previous), ("conv1", wide)):
                layer = f"synthesis.{block}.{conv}"
                shapes[f"{layer}.weight"] = (wide, inputs, 3, 3)
                shapes[f"{layer}.bias"] = shapes[f"{layer}.noise_strength"] = (wide,)
                shapes[f"{layer}.affine.weight"] = (inputs, self.w_dim)
                shapes[f"{layer}.affine.bias"] = (inputs,)
            layer = f"synthesis.{block}.torgb"
            shapes[f"{layer}.weight"] = (self.img_channels, wide, 1, 1)
            shapes[f"{layer}.affine.weight"] = (wide, self.w_dim)
            shapes[f"{layer}.affine.bias"] = (wide,)
            previous = wide
        return shapes

    @override
    def summarize(self) -> dict[str, str]:
        return super().summarize() | {
            "noise": "one map for all layers, uniform from 0 to 1",
            "attention": ", ".join(self.attention) or "none",
            "trained in": "float32",
        }

    @override
    def count_synthesis_multiply_adds(self) -> int:
        # Keys with values, and that with queries.
        products = 2 * HEADS * HEAD_FEATURES**2
        attention = sum(products * self.count_pixels(f"{b}.attention.out") for b in self.attention)
        return super().count_synthesis_multiply_adds() + attention

    @override
    def count_pixels(self, layer: str) -> int:
        block, _, part = layer.partition(".")
        if block == "start":
            return 1 if part == "project" else 16
        if part.endswith("norm"):
            return 0
        of_input = part.startswith(("attention", "feedforward"))
        resolution = int(block[1:])
        return math.prod(self.find_block_shape(max(4, resolution // 2 if of_input else resolution)))


def _list_attention_shapes(block: str, wide: int) -> Shapes:
    """Those of the attention layer and of the two convolutions behind it."""
    inner = HEADS * HEAD_FEATURES
    first, second = f"{block}.attention", f"{block}.feedforward"
    shapes: Shapes = {f"{first}.near.weight": (wide, 1, 3, 3)}
    for name in ("queries", "keys", "values"):
        shapes[f"{first}.{name}.weight"] = (inner, wide, 1, 1)
    for layer, outputs, inputs in (
        (f"{first}.out", wide, inner),
        (f"{second}.wide", 2 * wide, wide),
        (f"{second}.narrow", wide, 2 * wide),
    ):
        shapes[f"{layer}.weight"] = (outputs, inputs, 1, 1)
        shapes[f"{layer}.bias"] = (outputs,)
    for layer in (first, second):
        shapes[f"{layer}.norm.weight"] = shapes[f"{layer}.norm.bias"] = (wide,)
    return shapes

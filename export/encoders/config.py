"""What an encoder is: its kind, widths and sizes, and the names and shapes of its tensors.

An encoder makes the styles of a photo in one pass. Its parts:

    backbone   'ir_se50' (input_layer, body.0-23), 'resnet34' (conv1, bn1, relu, body.0-15), or
               'plain' (stem, down, same, hidden)
    head       'pyramid': a style block for each layer, on three scales (styles, latlayer1, 2)
               'flat':    a style block for each layer, all on the last map (styles)
               'w':       one code for all layers, from the mean of the last map (linear)
               'w_plus':  all codes by one dense layer (output_layer_2, linear)
               'plain':   one code for all layers (codes)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from stylert.export.checkpoints.checkpoint import Source

__all__ = ["BACKBONES", "COARSE", "MIDDLE", "POOLED", "Encoder", "EncoderConfig", "list_units"]

Shape = tuple[int, ...]

BACKBONES = {"ir_se50": (3, 4, 14, 3), "resnet34": (3, 4, 6, 3)}  # units of the four stages
POOLED = 7  # the side of the map that 'w_plus' flattens
COARSE, MIDDLE = 3, 7  # the pyramid's first layers of the middle and of the fine scale


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The architecture of an encoder."""

    title: str  # 'pSp', 'e4e', 'ReStyle pSp', ...
    backbone: str
    head: str
    widths: Shape  # of the backbone's stages
    squeeze: int = 16  # channels a hidden one of squeeze-and-excitation; of 'ir_se50'
    hidden: int = 0  # of the dense layer; of 'plain'
    num_codes: int  # codes that the network makes
    num_ws: int  # layers of the generator; further codes are cut off, one code serves all
    w_dim: int
    offsets: bool = False  # all codes but the first are what is added to the first
    picture: str = "photo"  # or 'sketch' (grey, 0 to 1), or 'labels' (a plane of 0 and 1 a class)
    channels: int = 3  # of that picture
    feedback: bool = False  # it also sees what the generator makes of its codes, and adds to them
    passes: int = 1
    height: int = 256
    width: int = 256
    rows: tuple[int, int] | None = None  # of the generator's picture, the part that shows something

    @property
    def in_channels(self) -> int:
        """Of the backbone's input."""
        return 2 * self.channels if self.feedback else self.channels

    def find_scale(self, code: int) -> int:
        """Which map a style block sees: 0 the last and smallest, 1, or 2 the largest."""
        return 0 if self.head == "flat" else (code >= COARSE) + (code >= MIDDLE)

    def count_convs(self, code: int) -> int:
        """The convolutions of a style block; each halves the map, down to one position."""
        return 4 + self.find_scale(code)

    def list_shapes(self) -> dict[str, Shape]:
        """The shapes of all tensors by name."""
        list_backbone = {"ir_se50": _list_ir_se50, "resnet34": _list_resnet34, "plain": _list_plain}
        return dict([*list_backbone[self.backbone](self), *_list_head(self)])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Encoder:
    """An encoder's configuration and its tensors, all float32 and C-contiguous."""

    config: EncoderConfig
    tensors: dict[str, np.ndarray]
    average: np.ndarray | None  # [num_ws, w_dim], added to the codes; None = nothing is
    source: Source
    notes: tuple[str, ...] = field(default=())


def list_units(config: EncoderConfig) -> list[tuple[int, int, int]]:
    """The units of the backbone's body: channels in and out, and the stride."""
    units = []
    wide = config.widths[0]
    for stage, (width, count) in enumerate(
        zip(config.widths, BACKBONES[config.backbone], strict=True)
    ):
        for i in range(count):
            # ResNet's first stage keeps the size: its stem has halved it.
            halves = i == 0 and (stage > 0 or config.backbone == "ir_se50")
            units.append((wide, width, 2 if halves else 1))
            wide = width
    return units


Named = Iterator[tuple[str, Shape]]


def _list_norm(name: str, width: int) -> Named:
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{leaf}", (width,)


def _list_ir_se50(c: EncoderConfig) -> Named:
    first = c.widths[0]
    yield "input_layer.0.weight", (first, c.in_channels, 3, 3)
    yield from _list_norm("input_layer.1", first)
    yield "input_layer.2.weight", (first,)
    for i, (wide, depth, _) in enumerate(list_units(c)):
        name = f"body.{i}.res_layer"
        yield from _list_norm(f"{name}.0", wide)
        yield f"{name}.1.weight", (depth, wide, 3, 3)
        yield f"{name}.2.weight", (depth,)
        yield f"{name}.3.weight", (depth, depth, 3, 3)
        yield from _list_norm(f"{name}.4", depth)
        yield f"{name}.5.fc1.weight", (depth // c.squeeze, depth, 1, 1)
        yield f"{name}.5.fc2.weight", (depth, depth // c.squeeze, 1, 1)
        if wide != depth:
            yield f"body.{i}.shortcut_layer.0.weight", (depth, wide, 1, 1)
            yield from _list_norm(f"body.{i}.shortcut_layer.1", depth)


def _list_resnet34(c: EncoderConfig) -> Named:
    first = c.widths[0]
    yield "conv1.weight", (first, c.in_channels, 7, 7)
    yield from _list_norm("bn1", first)
    yield "relu.weight", (first,)
    for i, (wide, depth, stride) in enumerate(list_units(c)):
        yield f"body.{i}.conv1.weight", (depth, wide, 3, 3)
        yield from _list_norm(f"body.{i}.bn1", depth)
        yield f"body.{i}.conv2.weight", (depth, depth, 3, 3)
        yield from _list_norm(f"body.{i}.bn2", depth)
        if wide != depth or stride > 1:
            yield f"body.{i}.downsample.0.weight", (depth, wide, 1, 1)
            yield from _list_norm(f"body.{i}.downsample.1", depth)


def _list_plain(c: EncoderConfig) -> Named:
    yield from _list_conv("stem", c.widths[0], 4 * c.in_channels, 3)
    for i, (wide, depth) in enumerate(pairwise(c.widths)):
        yield from _list_conv(f"down.{i}", depth, wide, 3)
        yield from _list_conv(f"same.{i}", depth, depth, 3)
    smallest = (c.height >> len(c.widths)) * (c.width >> len(c.widths))
    yield from _list_dense("hidden", c.hidden, c.widths[-1] * smallest)


def _list_head(c: EncoderConfig) -> Named:
    width = c.widths[-1]
    if c.head == "plain":
        yield from _list_dense("codes", c.w_dim, c.hidden)
    elif c.head == "w":
        yield from _list_dense("linear", c.w_dim, width)
    elif c.head == "w_plus":
        yield from _list_norm("output_layer_2.0", width)
        yield from _list_dense("output_layer_2.3", c.w_dim, width * POOLED**2)
        yield from _list_dense("linear", c.w_dim * c.num_codes, c.w_dim)
    else:
        for code in range(c.num_codes):
            for i in range(c.count_convs(code)):
                wide = c.w_dim if i else width
                yield from _list_conv(f"styles.{code}.convs.{2 * i}", c.w_dim, wide, 3)
            yield from _list_dense(f"styles.{code}.linear", c.w_dim, c.w_dim)
    if c.head == "pyramid":
        yield from _list_conv("latlayer1", width, c.widths[2], 1)
        yield from _list_conv("latlayer2", width, c.widths[1], 1)


def _list_conv(name: str, out: int, wide: int, kernel: int) -> Named:
    yield f"{name}.weight", (out, wide, kernel, kernel)
    yield f"{name}.bias", (out,)


def _list_dense(name: str, out: int, wide: int) -> Named:
    yield f"{name}.weight", (out, wide)
    yield f"{name}.bias", (out,)

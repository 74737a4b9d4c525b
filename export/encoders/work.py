"""How much work an encoder is: multiply-adds of one photo, as they are counted of generators."""

from __future__ import annotations

import math
from collections.abc import Iterator

from stylert.export.encoders.config import BACKBONES, EncoderConfig, list_units

__all__ = ["count_multiply_adds"]

Place = tuple[str, int]  # the start of a layer's name, and the positions that it computes
_SEEN = {"ir_se50": (6, 20, 23), "resnet34": (6, 12, 15)}  # units whose maps the head sees


def count_multiply_adds(config: EncoderConfig) -> int:
    """Multiply-adds of convolutions and dense layers, for one photo in one pass."""
    places = dict(_list_places(config))
    total = 0
    for name, shape in config.list_shapes().items():
        if name.endswith(".weight") and len(shape) > 1:
            total += math.prod(shape) * places.get(name.removesuffix(".weight"), 1)
    return total


def _list_places(c: EncoderConfig) -> Iterator[Place]:
    """The positions of every convolution that is computed at more than one."""
    if c.backbone not in BACKBONES:
        yield from _list_plain(c)
        return
    h, w = c.height, c.width
    maps = []
    if c.backbone == "resnet34":
        h, w = _halve(h), _halve(w)
        yield "conv1", h * w
    else:
        yield "input_layer.0", h * w
    for i, (_, _, stride) in enumerate(list_units(c)):
        before = h * w
        if stride > 1:
            h, w = _halve(h), _halve(w)
        maps.append((h, w))
        if c.backbone == "ir_se50":
            yield f"body.{i}.res_layer.1", before
            yield f"body.{i}.res_layer.3", h * w
            yield f"body.{i}.shortcut_layer.0", h * w
        else:
            for leaf in ("conv1", "conv2", "downsample.0"):
                yield f"body.{i}.{leaf}", h * w
    scales = [maps[i] for i in _SEEN[c.backbone]][::-1]
    for i, (h, w) in enumerate(scales[1:], 1):
        yield f"latlayer{i}", h * w
    if c.head in ("pyramid", "flat"):
        for code in range(c.num_codes):
            h, w = scales[c.find_scale(code)]
            for i in range(c.count_convs(code)):
                h, w = _halve(h), _halve(w)
                yield f"styles.{code}.convs.{2 * i}", h * w


def _list_plain(c: EncoderConfig) -> Iterator[Place]:
    h, w = c.height // 2, c.width // 2
    yield "stem", h * w
    for i in range(len(c.widths) - 1):
        h, w = _halve(h), _halve(w)
        yield f"down.{i}", h * w
        yield f"same.{i}", h * w


def _halve(size: int) -> int:
    """The size behind a padded convolution of stride 2."""
    return (size + 1) // 2

"""Adjoints of convolutions, pools and resampling.

The adjoint of a convolution without strides is a convolution with turned weights: ONNX Runtime
does that 1.3 times as fast as the transposed convolution that it also is. The turned weights are
made when a runtime loads the graph, by nodes that it folds: so they take no place on the disk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto

from stylert.export.adjoint.tape import Tape, read_attribute
from stylert.runtime.errors import InvalidInput

__all__ = ["adjoin_average_pool", "adjoin_conv", "adjoin_conv_transpose", "adjoin_max_pool"]
__all__ += ["adjoin_pad", "adjoin_resize"]

FEW = 4  # a quarter of the channels are few
_LOWEST = -(2**63) + 1  # where a slice that goes backwards ends: before the first


def adjoin_conv(tape: Tape, node: NodeProto, g: str) -> Mapping[int, str]:
    """Of a convolution with a constant weight and bias."""
    _refuse_varying(tape, node)
    window = _Window.of(node, tape.shape(node.input[1])[2:])
    x, weight = tape.shape(node.input[0]), node.input[1]
    turned_pads = window.turned_pads
    g = _wait(tape, node, g)
    if set(window.strides) == {1} and min(turned_pads) >= 0:
        turned = _turn(tape, weight, window.group)
        return {0: tape.op("Conv", g, turned, pads=turned_pads, **window.attributes)}
    return {0: _transpose_conv(tape, g, weight, window, x[2:])}


def _wait(tape: Tape, node: NodeProto, g: str) -> str:
    """The gradient of a few channels that become many, after the last one of many.

    All layers to RGB know theirs at once; what comes of it is large, and not needed before.
    """
    few, x = tape.shape(node.output[0])[1] or 0, tape.shape(node.input[0])
    many = (x[1] or 0) / FEW
    for last, shape in reversed(tape.found):
        if few <= many and len(shape) == len(x) and (shape[1] or 0) > many:
            return tape.op("Add", g, tape.wait_for(last, 0.0, len(x)))
    return g


def adjoin_conv_transpose(tape: Tape, node: NodeProto, g: str) -> Mapping[int, str]:
    """Of a transposed convolution with a constant weight and bias: the convolution."""
    _refuse_varying(tape, node)
    if read_attribute(node, "output_shape"):
        raise InvalidInput("graph: a ConvTranspose has an output_shape, expected pads.")
    window = _Window.of(node, tape.shape(node.input[1])[2:])
    strides, pads = window.strides, window.pads
    weight = _copy(tape, node.input[1])
    return {0: tape.op("Conv", g, weight, pads=pads, strides=strides, **window.attributes)}


def adjoin_average_pool(tape: Tape, node: NodeProto, g: str) -> Mapping[int, str]:
    """Of a mean over windows: a transposed convolution of each channel with their shares."""
    sizes = read_attribute(node, "kernel_shape")
    window = _Window.of(node, sizes)
    counted = read_attribute(node, "count_include_pad", 0) or not any(window.pads)
    if not counted or read_attribute(node, "ceil_mode", 0):
        raise InvalidInput("graph: an AveragePool leaves out its pads, expected one without.")
    x = tape.shape(node.input[0])
    assert x[1] is not None
    share = np.full((x[1], 1, *sizes), 1 / math.prod(sizes))
    window.group = x[1]
    return {0: _transpose_conv(tape, g, tape.constant(share), window, x[2:])}


def adjoin_max_pool(tape: Tape, node: NodeProto, g: str) -> Mapping[int, str]:
    """Of a maximum over windows: each gradient goes where the maximum was found."""
    if len(node.output) == 1:
        node.output.append(f"{node.output[0]}/places")
    x = node.input[0]
    flat = tape.constant([-1], np.int64)
    zeros = tape.op("Reshape", tape.op("Sub", x, x), flat)
    places, values = tape.op("Reshape", node.output[1], flat), tape.op("Reshape", g, flat)
    spread = tape.op("ScatterElements", zeros, places, values, axis=0, reduction="add")
    return {0: tape.reshape(spread, tape.shape(x))}


def adjoin_pad(tape: Tape, node: NodeProto, g: str) -> Mapping[int, str]:
    """Of padding: what was added is cut off, or goes back where it was taken from."""
    shape = tape.shape(node.input[0])
    pads, rank = [int(pad) for pad in tape.array(node.input[1])], len(shape)
    mode = read_attribute(node, "mode", "constant")
    for axis in range(rank):
        before, after, size = pads[axis], pads[axis + rank], shape[axis]
        if not before and not after:
            continue
        if size is None:
            raise InvalidInput("graph: a Pad changes the batch, expected one that leaves it.")
        filled: dict[str, Any] = {"constant_values": -1} if mode == "constant" else {}
        places = np.pad(np.arange(size), (before, after), mode=mode, **filled)
        g = tape.apply(g, _select(places, size), axis, rank)
    return {0: g}


def adjoin_resize(tape: Tape, node: NodeProto, g: str) -> Mapping[int, str]:
    """Of linear or nearest resampling: the transposed matrices, axis by axis."""
    mode = read_attribute(node, "mode", "nearest")
    places = read_attribute(node, "coordinate_transformation_mode", "half_pixel")
    if (mode, places) not in _RESIZES or read_attribute(node, "antialias", 0):
        raise InvalidInput(f"graph: a Resize is {mode} and {places}, which has no adjoint here.")
    source, target = tape.shape(node.input[0]), tape.shape(node.output[0])
    for axis, (before, after) in enumerate(zip(source, target, strict=True)):
        if before != after and before is not None and after is not None:
            g = tape.apply(g, _make_resampling(before, after, mode, places), axis, len(source))
    return {0: g}


_RESIZES = (
    *(("linear", "half_pixel"), ("linear", "pytorch_half_pixel"), ("linear", "align_corners")),
    *(("linear", "asymmetric"), ("nearest", "asymmetric")),
)


class _Window:
    """The attributes of a convolution or a pool."""

    def __init__(
        self, sizes: Sequence[int], strides: list[int], pads: list[int], dilations: list[int]
    ) -> None:
        self.sizes = list(sizes)
        self.strides = strides
        self.pads = pads
        self.dilations = dilations
        self.group = 1

    @classmethod
    def of(cls, node: NodeProto, sizes: Sequence[int | None]) -> _Window:
        """Read them."""
        if read_attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise InvalidInput(f"graph: a {node.op_type} pads by itself, expected numbers.")
        known = [int(size or 0) for size in sizes]
        ones = [1] * len(known)
        window = cls(
            known,
            read_attribute(node, "strides", ones),
            read_attribute(node, "pads", [0, 0] * len(known)),
            read_attribute(node, "dilations", ones),
        )
        window.group = read_attribute(node, "group", 1)
        return window

    @property
    def attributes(self) -> dict[str, object]:
        """Those that a convolution and its adjoint share."""
        dilations = self.dilations if set(self.dilations) != {1} else None
        return {"kernel_shape": self.sizes, "group": self.group, "dilations": dilations}

    @property
    def reaches(self) -> list[int]:
        """How far the window reaches beyond its first pixel, by axis."""
        return [d * (k - 1) for d, k in zip(self.dilations, self.sizes, strict=True)]

    @property
    def turned_pads(self) -> list[int]:
        """The pads of the adjoint of a convolution without strides."""
        return [reach - pad for reach, pad in zip(2 * self.reaches, self.pads, strict=True)]


def _turn(tape: Tape, weight: str, group: int) -> str:
    """A weight [O, I/group, ...] turned by half a turn, as [I, O/group, ...]."""
    shape = [int(size or 0) for size in tape.shape(weight)]
    O, I, *sizes = shape
    if (O // group, I) != (1, 1):  # then there is nothing to exchange
        others = range(3, 3 + len(sizes))
        grouped = tape.reshape(weight, (group, O // group, I, *sizes))
        exchanged = tape.op("Transpose", grouped, perm=[0, 2, 1, *others])
        weight = tape.reshape(exchanged, (group * I, O // group, *sizes))
    axes = [i + 2 for i, size in enumerate(sizes) if size > 1]
    return _reverse(tape, weight, axes) if axes else weight


def _copy(tape: Tape, weight: str) -> str:
    """A weight once more in a runtime's memory, though not on the disk.

    OpenVINO 2026.4 computes a convolution wrongly whose weight a transposed convolution has, too.
    """
    return _reverse(tape, _reverse(tape, weight, [0]), [0])


def _reverse(tape: Tape, x: str, axes: Sequence[int]) -> str:
    """A value with some axes backwards."""
    bounds = [[number] * len(axes) for number in (-1, _LOWEST)] + [[*axes], [-1] * len(axes)]
    return tape.op("Slice", x, *(tape.constant(values, np.int64) for values in bounds))


def _transpose_conv(
    tape: Tape, g: str, weight: str, window: _Window, sizes: Sequence[int | None]
) -> str:
    """The transposed convolution that gives `sizes` pixels."""
    pads, axes = window.pads, len(window.sizes)
    missed = []  # pixels behind the last window, which nothing came from
    for i, (size, reach) in enumerate(zip(sizes, window.reaches, strict=True)):
        assert size is not None
        missed.append((size + pads[i] + pads[i + axes] - reach - 1) % window.strides[i])
    return tape.op(
        "ConvTranspose",
        g,
        weight,
        pads=pads,
        strides=window.strides,
        output_padding=missed if any(missed) else None,
        **window.attributes,
    )


def _select(places: np.ndarray, size: int) -> np.ndarray:
    """The matrix [O, I] that takes input places[o] for output o; -1 = none."""
    return np.asarray(places[:, None] == np.arange(size), np.float32)


def _make_resampling(before: int, after: int, mode: str, places: str) -> np.ndarray:
    """The matrix [after, before] of a resampling of one axis."""
    out, ratio = np.arange(after), before / after
    at: np.ndarray
    if places == "align_corners":
        at = out * (before - 1) / max(after - 1, 1)
    elif places == "asymmetric" or (places == "pytorch_half_pixel" and after == 1):
        at = out * ratio
    else:
        at = (out + 0.5) * ratio - 0.5
    if mode == "nearest":
        return _select(np.floor(at).astype(int), before)
    at = np.clip(at, 0, before - 1)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, before - 1), (at - low)[:, None]
    mixed = _select(low, before) * (1 - share) + _select(high, before) * share
    return np.asarray(mixed, np.float32)


def _refuse_varying(tape: Tape, node: NodeProto) -> None:
    if any(tape.varies(name) for name in node.input[1:]):
        raise InvalidInput(f"graph: the weight of a {node.op_type} varies, expected a constant.")

"""StyleSpace: the styles of all layers, which the affine functions make of ws (Wu et al. 2020).

A style scales one channel of one layer, so it changes less of a picture than a w does. A bundle
that was exported with `style_space=True` takes offsets of them, `style_offset` [1 or N, S] float32,
and has style_space.npz:

    matrix, bias    [w_dim, S], [S] float32: the affine functions, one layer behind the other
    mean, std       [S] float32: of the styles of 10,000 latents, not truncated

A channel has a name: 'b32.conv1:45' is the 46th of the layer b32.conv1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stylert.runtime.arguments import shown
from stylert.runtime.bundle import MANIFEST, Bundle
from stylert.runtime.errors import BundleError, InvalidInput
from stylert.runtime.latents import check_floats

__all__ = ["STYLE_OFFSET", "STYLE_SPACE_FILE", "StyleLayer", "StyleSpace"]
__all__ += ["feed_style_offset", "find_style_space", "read_style_space"]

STYLE_OFFSET = "style_offset"  # the input of the synthesis graph
STYLE_SPACE_FILE = "style_space.npz"
MAX_STYLES = 2**17  # ten times what StyleGAN2 of 1024 pixels has

_ARRAYS = ("matrix", "bias", "mean", "std")


@dataclass(frozen=True)
class StyleLayer:
    """The styles of one layer.

    Attributes:
        name: such as 'b32.conv1'; of StyleGAN 1, where each layer has two parts, 'b32.conv1.scale'
            and 'b32.conv1.offset'.
        row: of ws, which its styles are made of.
        start: of its styles among all.
        count: how many it has: its channels.
        is_rgb: it makes colours, of what others have drawn.
    """

    name: str
    row: int
    start: int
    count: int
    is_rgb: bool

    @property
    def places(self) -> slice:
        """Its styles among all."""
        return slice(self.start, self.start + self.count)

    def to_json(self) -> dict[str, Any]:
        """What the manifest tells of it."""
        return {"name": self.name, "row": self.row, "count": self.count, "is_rgb": self.is_rgb}


class StyleSpace:
    """The style space of a bundle.

    Attributes:
        layers: those that take styles, in their order.
        size: S, how many styles there are.
    """

    def __init__(self, bundle: Bundle, layers: tuple[StyleLayer, ...]) -> None:
        self._bundle = bundle
        self.layers = layers
        self.size = sum(layer.count for layer in layers)

    @property
    def mean(self) -> np.ndarray:
        """The mean of each style over 10,000 latents, not truncated: [S] float32."""
        return self._arrays["mean"]

    @property
    def std(self) -> np.ndarray:
        """Its standard deviation: [S] float32."""
        return self._arrays["std"]

    def compute(self, ws: np.ndarray) -> np.ndarray:
        """The styles [N, S] float32 of ws [N, num_ws, w_dim], before any gain of a layer."""
        matrix, bias = self._arrays["matrix"], self._arrays["bias"]
        parts = [ws[:, layer.row] @ matrix[:, layer.places] for layer in self.layers]
        styles: np.ndarray = np.concatenate(parts, axis=1) + bias
        return styles

    def find_channel(self, name: Any) -> int:
        """The place of a channel among all styles.

        Raises:
            InvalidInput: no such layer, or no such channel in it.
        """
        layers = {layer.name: layer for layer in self.layers}
        layer_name, _, number = name.rpartition(":") if isinstance(name, str) else ("", "", "")
        if layer_name not in layers:
            some = ", ".join([*layers][:4])
            raise InvalidInput(
                f"channels: got {shown(name)}, expected LAYER:CHANNEL with a layer of {some}, ..."
            )
        layer = layers[layer_name]
        whole = number.isascii() and number.isdecimal() and len(number) < 10
        if not whole or int(number) >= layer.count:
            raise InvalidInput(
                f"channels: got {shown(name)}, expected {layer_name}:0 to "
                f"{layer_name}:{layer.count - 1}."
            )
        return layer.start + int(number)

    def make_offset(self, channels: Mapping[str, float], strengths: Any = 1.0) -> np.ndarray:
        """Offsets that move channels, in standard deviations of each.

        Args:
            channels: how far, by name: {'b32.conv1:45': 3}.
            strengths: a number, or [K], that all is multiplied with.

        Returns:
            [K, S] float32; [1, S] of one number.

        Raises:
            InvalidInput: no such channel, or a strength that is no number.
        """
        direction = np.zeros(self.size, np.float32)
        places = [self.find_channel(name) for name in channels]
        direction[places] = check_floats("channels", [*channels.values()], kinds="fiu")
        direction *= self.std
        amounts = check_floats("strengths", strengths, kinds="fiu").reshape(-1, 1)
        return amounts * direction

    def draw_offsets(self, seeds: Sequence[int]) -> np.ndarray:
        """Offsets [N, S] of which no two numbers are alike, half a standard deviation on average.

        For proofs: of each seed other ones.
        """
        rows = [np.random.RandomState([seed, 6]).standard_normal(self.size) for seed in seeds]
        offsets: np.ndarray = (0.5 * np.stack(rows) * self.std).astype(np.float32)
        return offsets

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        """What the file holds, checked."""
        S, w_dim = self.size, self._bundle.spec.w_dim
        shapes = dict(zip(_ARRAYS, ((w_dim, S), (S,), (S,), (S,)), strict=True))
        with self._bundle.arrays(STYLE_SPACE_FILE, 4 * S * (w_dim + 3) + 4096) as (headers, arrays):
            expected = {name: (shape, np.dtype(np.float32)) for name, shape in shapes.items()}
            if headers != expected:
                raise ValueError(f"it holds {headers!r:.200}, expected float32 {shapes}")
            return {name: _frozen(arrays[name]) for name in shapes}


def read_style_space(bundle: Bundle) -> StyleSpace | None:
    """The style space of a bundle, None = its graphs take no offsets.

    Raises:
        BundleError: the manifest does not fit the graph.
    """
    taken = {t.name: t for t in bundle.graphs["synthesis"].inputs}
    if STYLE_OFFSET not in taken:
        return None
    try:
        layers = _read_layers(bundle.manifest["style_space"]["layers"], bundle.spec.num_ws)
        size = sum(layer.count for layer in layers)
        if taken[STYLE_OFFSET].shape[1:] != (size,) or not 0 < size <= MAX_STYLES:
            raise ValueError(f"{size} styles for {taken[STYLE_OFFSET].shape!r:.40}")
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"Bundle {bundle.path}: {MANIFEST} does not say what its styles are "
            f"({type(error).__name__}: {error}). Export the checkpoint again."
        ) from None
    return StyleSpace(bundle, layers)


def find_style_space(bundle: Bundle, space: StyleSpace | None) -> StyleSpace:
    """The style space, where a bundle has one.

    Raises:
        InvalidInput: it has none.
    """
    if space is None:
        raise InvalidInput(
            f"Bundle {bundle.path} has no style space. Export the checkpoint again with "
            "style_space=True (stylert export --style-space)."
        )
    return space


def feed_style_offset(
    bundle: Bundle, space: StyleSpace | None, offset: Any, *, batch: int
) -> dict[str, np.ndarray]:
    """The offsets as the graph takes them, a row for each picture; nothing if it takes none.

    Args:
        bundle: of the graph.
        space: of the bundle.
        offset: [S], [1, S] or [N, S] floats, None = zeros.
        batch: N.

    Raises:
        InvalidInput: another shape or dtype; or an offset for a bundle without style space.
    """
    if space is None and offset is None:
        return {}
    S = find_style_space(bundle, space).size
    if offset is None:
        return {STYLE_OFFSET: np.zeros((batch, S), np.float32)}
    rows = check_floats(STYLE_OFFSET, offset)
    if rows.shape not in ((S,), (1, S), (batch, S)):
        raise InvalidInput(
            f"style_offset: got shape {rows.shape}, expected {(batch, S)} or {(S,)}."
        )
    return {STYLE_OFFSET: np.array(np.broadcast_to(rows, (batch, S)))}


def _read_layers(entries: Iterable[Mapping[str, Any]], num_ws: int) -> tuple[StyleLayer, ...]:
    told = [(e["name"], e["row"], e["count"], e["is_rgb"]) for e in entries]
    for name, row, count, is_rgb in told:
        whole = type(row) is int and type(count) is int and type(is_rgb) is bool
        if not (whole and 0 <= row < num_ws and count > 0 and _is_name(name)):
            raise ValueError(f"a layer is {(name, row, count, is_rgb)!r:.80}")
    starts = itertools.accumulate((count for _, _, count, _ in told), initial=0)
    layers = tuple(
        StyleLayer(name, row, start, count, is_rgb)
        for (name, row, count, is_rgb), start in zip(told, starts, strict=False)
    )
    if len({layer.name for layer in layers}) != len(layers):
        raise ValueError("two layers have one name")
    return layers


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isprintable() and not {*name} & {*":=,"}


def _frozen(array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise ValueError("it has a NaN or infinity")
    array.setflags(write=False)
    return array

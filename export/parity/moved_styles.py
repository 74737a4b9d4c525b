"""The reference with offsets of its styles: what each affine function gives, and a number more."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from stylert.runtime.control.style_space import StyleLayer

__all__ = ["MovedStyles"]

PARTS = (".scale", ".offset")  # of a layer of StyleGAN 1, whose affine function gives both


class MovedStyles:
    """Moves the styles of a synthesis network, for the thread that asks for it.

    Args:
        synthesis: the model.
        layers: those that take styles, in the order of the offsets.
    """

    def __init__(self, synthesis: nn.Module, layers: Sequence[StyleLayer]) -> None:
        self._thread = threading.local()
        for name, places in _list_affines(layers).items():
            affine = synthesis.get_submodule(f"{name}.affine")
            affine.register_forward_hook(partial(self._move, places))

    @contextmanager
    def by(self, offset: Tensor) -> Iterator[None]:
        """Within the block, styles are moved by these [N, S]."""
        self._thread.offset = offset
        try:
            yield
        finally:
            del self._thread.offset

    def _move(self, places: slice, module: nn.Module, inputs: Any, styles: Tensor) -> Tensor:
        offset = getattr(self._thread, "offset", None)
        return styles if offset is None else styles + offset[:, places]


def _list_affines(layers: Sequence[StyleLayer]) -> dict[str, slice]:
    """The layers that have an affine function each, with the places of what it gives."""
    found: dict[str, slice] = {}
    for layer in layers:
        name = layer.name
        for part in PARTS:
            name = name.removesuffix(part)
        first = found.get(name, layer.places).start
        found[name] = slice(first, layer.places.stop)
    return found

"""Arithmetic on styles: ws of one picture in the layers of another, and steps along a direction.

Styles ws are [N, num_ws, w_dim]: a w for each layer. All functions here give new arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import check_floats

__all__ = ["check_styles", "edit_styles", "mix_grid", "mix_styles"]


def check_styles(name: str, value: Any, *, num_ws: int, w_dim: int) -> np.ndarray:
    """Check styles: at least one [num_ws, w_dim] of finite floats.

    Args:
        name: of the argument, for the message.
        value: an array [N, num_ws, w_dim], or what becomes one.
        num_ws: layers of the generator.
        w_dim: length of a w.

    Returns:
        [N, num_ws, w_dim] float32, contiguous.

    Raises:
        InvalidInput: another shape or dtype, or NaN or infinity.
    """
    ws = check_floats(name, value)
    if ws.ndim != 3 or ws.shape[1:] != (num_ws, w_dim) or not len(ws):
        raise InvalidInput(f"{name}: got shape {ws.shape}, expected {('N', num_ws, w_dim)}.")
    return ws


def mix_styles(ws: np.ndarray, other: np.ndarray, layers: Sequence[int]) -> np.ndarray:
    """Styles with some layers from other ones (StyleGAN, section 3.1).

    More sources are more calls: each takes its layers from one.

    Args:
        ws: [..., num_ws, w_dim] float32.
        other: the same; the leading dimensions are broadcast, as in NumPy.
        layers: indices of those that come from `other`.

    Returns:
        [..., num_ws, w_dim] float32.
    """
    mixed = np.array(np.broadcast_to(ws, np.broadcast_shapes(ws.shape, other.shape)))
    mixed[..., list(layers), :] = other[..., list(layers), :]
    return mixed


def mix_grid(rows: np.ndarray, columns: np.ndarray, layers: Sequence[int]) -> np.ndarray:
    """Every row with the layers of every column.

    Args:
        rows: [R, num_ws, w_dim] float32.
        columns: [C, num_ws, w_dim] float32.
        layers: indices of those that come from the columns.

    Returns:
        [R, C, num_ws, w_dim] float32.
    """
    return mix_styles(rows[:, None], columns[None], layers)


def edit_styles(
    ws: np.ndarray, direction: np.ndarray, strength: np.ndarray, layers: Sequence[int]
) -> np.ndarray:
    """Move styles along a direction: w + strength * direction, in some layers.

    Args:
        ws: [N, num_ws, w_dim] float32; one w and S strengths make a strip of S.
        direction: [w_dim] for all layers, or [num_ws, w_dim].
        strength: [1] or [N] float32.
        layers: indices of those that move.

    Returns:
        [N, num_ws, w_dim] float32, or [S, num_ws, w_dim].
    """
    moved = ws + strength[:, None, None] * direction
    return mix_styles(ws, moved, layers)

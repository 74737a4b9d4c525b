"""Truncation of styles: towards the mean w, by how much in which layers (StyleGAN, appendix B)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from stylert.runtime.arguments import shown
from stylert.runtime.control.layers import Groups, find_layers
from stylert.runtime.errors import InvalidInput

__all__ = ["MOST", "as_number", "make_psi_of_layers", "truncated"]

MOST = 1e38  # more does not fit into float32


def make_psi_of_layers(psi: Mapping[Any, Any], groups: Groups) -> np.ndarray:
    """A psi for every layer from a psi by name: {'coarse': 0.5, 'middle': 0.7, '8-17': 1}.

    Args:
        psi: numbers by layers; a later one replaces an earlier one, and the rest is 1, as trained.
        groups: of the generator, see `group_layers`.

    Returns:
        [num_ws] float32.

    Raises:
        InvalidInput: unknown layers, or a psi that is no finite number.
    """
    values = np.ones(len(groups["all"]), np.float32)
    for layers, value in psi.items():
        if not abs(as_number(value)) < MOST:  # NaN is not less
            raise InvalidInput(
                f"truncation_psi: got {shown(value)} for {shown(layers)}, expected a finite number."
            )
        values[list(find_layers(layers, groups))] = value
    return values


def truncated(ws: np.ndarray, w_avg: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """Pull styles to the mean: w_avg + psi (w - w_avg).

    Args:
        ws: [N, num_ws, w_dim] float32.
        w_avg: [w_dim] float32, or one for each [N, 1, w_dim].
        psi: [N, num_ws] or [1, num_ws] float32.

    Returns:
        [N, num_ws, w_dim] float32.
    """
    pulled: np.ndarray = w_avg + psi[..., None] * (ws - w_avg)
    return pulled


def as_number(value: Any) -> float:
    """A number as a float; NaN if it is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # a huge integer
        return math.inf

"""What figures are measured of: features [N, d]. What would give none, or a wrong one, is refused.

They may lie in a file, and are not read for it: whether they are finite is seen in what is in
memory, or in their mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["check_alike", "check_finite", "count_dimensions"]


def count_dimensions(features: Any) -> int:
    """The d of features [N, d].

    Raises:
        InvalidInput: they are no such array, or fewer than 2.
    """
    if not isinstance(features, np.ndarray):
        raise InvalidInput(f"features: got {shown(features)}, expected an array [N, d].")
    shape, dtype = features.shape, features.dtype
    if dtype.kind not in "fiu" or len(shape) != 2 or not shape[1]:
        raise InvalidInput(f"features: got {dtype} {shape}, expected numbers [N, d].")
    if shape[0] < 2:
        raise InvalidInput(f"features: got {shape[0]} rows, expected at least 2.")
    return int(shape[1])


def check_alike(x: int, y: int, what: str = "numbers a row") -> None:
    """Refuse two sets of which one has more than the other.

    Raises:
        InvalidInput: one has.
    """
    if x != y:
        raise InvalidInput(f"features: got {x} and {y} {what}, expected as many of both sets.")


def check_finite(measured: Any) -> None:
    """Refuse features of which something came that is not finite.

    Raises:
        InvalidInput: it is not.
    """
    if not np.isfinite(measured).all():
        raise InvalidInput("features: got NaN or infinity, expected finite numbers.")

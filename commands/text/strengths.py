"""Strengths of an edit: '-6:6:5' for five from -6 to 6, or a list of numbers."""

from __future__ import annotations

import math

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["parse_strengths"]

_MOST = 1000


def parse_strengths(name: str, text: str) -> list[float]:
    """Read strengths for `Generator.edit`.

    Args:
        name: what the message calls it.
        text: FIRST:LAST:COUNT, evenly spaced; or numbers with commas between.

    Raises:
        InvalidInput: another form, NaN or infinity, or more than 1000 of them.
    """
    try:
        strengths = _spaced(text) if ":" in text else [float(part) for part in text.split(",")]
    except ValueError:
        strengths = []
    if not 0 < len(strengths) <= _MOST or not all(map(math.isfinite, strengths)):
        raise InvalidInput(
            f"{name}: got {shown(text)}, expected FIRST:LAST:COUNT, such as -6:6:5, or -3,0,3"
        )
    return strengths


def _spaced(text: str) -> list[float]:
    """FIRST:LAST:COUNT as numbers; a ValueError where it has another form."""
    ends_and_count = text.split(":")
    if len(ends_and_count) != 3:
        raise ValueError(text)
    first, last = map(float, ends_and_count[:2])
    count = min(int(ends_and_count[2]), _MOST + 1)
    return [first + (last - first) * i / max(1, count - 1) for i in range(count)]

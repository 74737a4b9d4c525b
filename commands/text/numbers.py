"""Numbers: '1,4,8', '0.5,-0.5', the least and the most '1:4', a grid '4x2', steps '-6:6:5'."""

from __future__ import annotations

import math
from typing import Literal

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["MOST_CELLS", "parse_cells", "parse_counts", "parse_grid", "parse_numbers"]
__all__ += ["parse_range", "parse_strengths"]

MOST_CELLS = 100_000  # of a grid, which is in memory as a whole
_MOST_STRENGTHS = 1000
_DIGITS = 6  # of a number of columns or rows


def parse_counts(text: str) -> list[int]:
    """Read integers of at least 1: '1,4,8'."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise InvalidInput(f"got {shown(text)}, expected numbers of at least 1, such as 1,4,8")
    return counts


def parse_numbers(text: str) -> tuple[float, ...]:
    """Read real numbers: '0.5,-0.5'. NaN and infinity are left to those who know what they mean."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InvalidInput(f"got {shown(text)}, expected numbers such as 0.5,0.5") from None


def parse_range(text: str) -> tuple[int, int]:
    """Read the least and the most of something: '1:4'; '2' is both."""
    least, colon, most = text.partition(":")
    try:
        ends = int(least), int(most if colon else least)
    except ValueError:
        ends = (0, 0)
    if not 0 <= ends[0] <= ends[1] or not ends[1]:
        raise InvalidInput(f"got {shown(text)}, expected a number such as 2, or 1:4")
    return ends


def parse_cells(text: str) -> tuple[int, int]:
    """Read columns and rows of up to 100,000 cells: '4x2' is (4, 2)."""
    columns, _, rows = text.partition("x")
    is_grid = all(part.isdecimal() and len(part) <= _DIGITS for part in (columns, rows))
    cells = int(columns) * int(rows) if is_grid else 0
    if not 0 < cells <= MOST_CELLS:
        expected = f"up to {MOST_CELLS} cells" if cells else "COLSxROWS, such as 3x2"
        raise InvalidInput(f"got {shown(text)}, expected {expected}")
    return int(columns), int(rows)


def parse_grid(text: str) -> tuple[int, int] | Literal["auto"]:
    """Read columns and rows, or 'auto': as square as it gets."""
    return "auto" if text == "auto" else parse_cells(text)


def parse_strengths(text: str) -> list[float]:
    """Read up to 1000 strengths of an edit: FIRST:LAST:COUNT, evenly spaced, or a list."""
    try:
        strengths = _space(*text.split(":")) if ":" in text else list(parse_numbers(text))
    except (TypeError, ValueError):
        strengths = []
    if not 0 < len(strengths) <= _MOST_STRENGTHS or not all(map(math.isfinite, strengths)):
        expected = "FIRST:LAST:COUNT, such as -6:6:5, or -3,0,3"
        raise InvalidInput(f"got {shown(text)}, expected {expected}")
    return strengths


def _space(first: str, last: str, count: str) -> list[float]:
    start, end, number = float(first), float(last), min(int(count), _MOST_STRENGTHS + 1)
    return [start + (end - start) * i / max(1, number - 1) for i in range(number)]

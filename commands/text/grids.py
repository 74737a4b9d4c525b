"""Columns and rows of a grid: '4x2', or 'auto'."""

from __future__ import annotations

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["parse_cells", "parse_grid"]

_MOST_TILES = 100_000  # of a grid of pictures, which is in memory as a whole
_DIGITS = 6  # of a number of columns or rows
_CELL_DIGITS = 3


def parse_cells(name: str, text: str) -> tuple[int, int]:
    """Read the columns and rows of a grid of walks: '4x2' is (4, 2).

    Args:
        name: what the message calls it.
        text: COLSxROWS, each from 1 to 999.

    Raises:
        InvalidInput: another form.
    """
    columns, rows = _columns_and_rows(text, _CELL_DIGITS)
    if not columns * rows:
        raise InvalidInput(f"{name}: got {shown(text)}, expected COLSxROWS, such as 3x2")
    return columns, rows


def parse_grid(name: str, text: str, images: int) -> tuple[int | None, int | None]:
    """Read the columns and rows of a grid of pictures, for `grid_of`.

    Args:
        name: what the message calls it.
        text: COLSxROWS with room for all images, or 'auto' = as square as it gets.
        images: how many there will be, 1 or more.

    Returns:
        Columns and rows; None and None for 'auto'.

    Raises:
        InvalidInput: another form, too few cells for the images, or more than 100,000.
    """
    columns, rows = _columns_and_rows(text, _DIGITS)
    if text != "auto" and columns * rows < images:
        raise InvalidInput(
            f"{name}: got {shown(text)}, expected COLSxROWS for {images} images, or auto"
        )
    if images > _MOST_TILES:
        raise InvalidInput(f"{name}: got {images} images, expected up to {_MOST_TILES}")
    if columns * rows > _MOST_TILES:
        raise InvalidInput(f"{name}: got {shown(text)}, expected up to {_MOST_TILES} cells")
    return (None, None) if text == "auto" else (columns, rows)


def _columns_and_rows(text: str, digits: int) -> tuple[int, int]:
    """'4x2' as (4, 2), and any other form as (0, 0)."""
    columns, _, rows = text.partition("x")
    if not all(part.isdecimal() and len(part) <= digits for part in (columns, rows)):
        return 0, 0
    return int(columns), int(rows)

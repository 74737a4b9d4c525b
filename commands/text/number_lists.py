"""Lists and ranges of numbers, such as '1,4,8', '0.5,-0.5' and '1:4'."""

from __future__ import annotations

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["parse_counts", "parse_numbers", "parse_range"]


def parse_counts(name: str, text: str) -> list[int]:
    """Read integers of at least 1: '1,4,8'.

    Args:
        name: what the message calls it.
        text: the integers, with commas between.

    Raises:
        InvalidInput: another form, or a number below 1.
    """
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise InvalidInput(
            f"{name}: got {shown(text)}, expected numbers of at least 1, such as 1,4,8"
        )
    return counts


def parse_numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """Read real numbers: '0.5,-0.5'. NaN and infinity are left to those who know what they mean.

    Args:
        name: what the message calls it.
        text: the numbers, with commas between; None or '' = none were given.

    Raises:
        InvalidInput: another form.
    """
    if not text:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InvalidInput(f"{name}: got {shown(text)}, expected numbers such as 0.5,0.5") from None


def parse_range(name: str, text: str) -> tuple[int, int]:
    """Read the least and the most of something: '1:4'; '2' is both.

    Args:
        name: what the message calls it.
        text: one or two integers from 0 on.

    Raises:
        InvalidInput: another form, or a range that goes down or has nothing in it.
    """
    least, colon, most = text.partition(":")
    try:
        ends = int(least), int(most if colon else least)
    except ValueError:
        ends = (0, 0)
    if not 0 <= ends[0] <= ends[1] or not ends[1]:
        raise InvalidInput(f"{name}: got {shown(text)}, expected a number such as 2, or 1:4")
    return ends

"""Values and names from a file in an error message: short, on one line, and never looked into."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["name_some", "quote", "quote_some", "suggest_networks"]

_PLAIN = (bool, int, float, type(None))


def quote(value: object) -> str:
    """A text in quotes, a number as it is, and of all else the name of its type."""
    if type(value) is str:
        return ascii(value if len(value) <= 80 else f"{value[:77]}...")
    return str(value)[:80] if type(value) in _PLAIN else f"a {type(value).__name__}"


def quote_some(values: Iterable[object], most: int = 8) -> str:
    """The first few of many values, and how many more there are."""
    return _join_some([quote(value) for value in values], most)


def name_some(names: Iterable[str], most: int = 4) -> str:
    """The same without quotes, for names."""
    return _join_some([quote(name)[1:-1] for name in names], most)


def suggest_networks(names: Iterable[str]) -> str:
    """What to pass for each of the generators of a file, as the end of a message."""
    choices = [f"network={quote(name)}" for name in names][:4]
    return f"; pass {' or '.join(choices)}" if choices else ""


def _join_some(texts: list[str], most: int) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return (", ".join(texts[:most]) or "none") + more

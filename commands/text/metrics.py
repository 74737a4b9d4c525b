"""What is measured: metrics 'fid,kid,pr', and a sweep 'psi=0:1:6'."""

from __future__ import annotations

from stylert.commands.text.numbers import parse_strengths
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["METRIC_NAMES", "parse_metrics", "parse_sweep"]

METRIC_NAMES = ("fid", "kid", "pr", "dc", "ppl", "ppl-full", "ppl-z")


def parse_metrics(text: str) -> tuple[str, ...]:
    """Read names of metrics: 'fid,kid'."""
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in METRIC_NAMES]:
        expected = ", ".join(METRIC_NAMES)
        raise InvalidInput(f"got {shown(unknown[0])}, expected some of {expected}")
    return names


def parse_sweep(text: str) -> tuple[float, ...]:
    """Read psi=FIRST:LAST:COUNT, or psi=0,0.5,1."""
    name, equals, values = text.partition("=")
    if name != "psi" or not equals:
        raise InvalidInput(f"got {shown(text)}, expected psi=FIRST:LAST:COUNT, such as psi=0:1:6")
    return tuple(dict.fromkeys(parse_strengths(values)))

"""What is done to styles and pictures: a psi 'coarse=0.5', a ramp '0:360', a direction 'pca:0'."""

from __future__ import annotations

import math
from pathlib import Path

from stylert.apps.video.ramps import Ramp
from stylert.commands.text.names import names_array_file
from stylert.commands.text.numbers import parse_numbers
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["parse_direction", "parse_motion", "parse_psi", "parse_psi_ramp"]
__all__ += ["parse_psis", "parse_turn"]

_COMPONENT = "pca:"
_DIGITS = 5  # of its number


def parse_psi(text: str) -> float | dict[str, float]:
    """Read a truncation psi, or several by layers, which only the generator knows."""
    try:
        if "=" not in text:
            return float(text)
        parts = [part.partition("=") for part in text.split(",")]
        pairs = [(layers.strip(), float(value)) for layers, _, value in parts]
    except ValueError:
        raise InvalidInput(f"got {shown(text)}, expected a number, or coarse=0.5,fine=1") from None
    return _name_each(pairs)


def parse_psis(text: str) -> float | dict[str, float] | tuple[float, ...]:
    """Read a psi as `parse_psi` does, or several for a sweep: '0,0.5,1'."""
    if "=" in text or "," not in text:
        return parse_psi(text)
    return parse_numbers(text)


def parse_psi_ramp(text: str) -> float | dict[str, float] | tuple[float, ...] | Ramp:
    """Read a psi as `parse_psi` does, or one that changes from the first frame on: '0.3:1'."""
    return _parse_ramp(text, size=1) if ":" in text else parse_psi(text)


def parse_motion(text: str) -> float | tuple[float, ...] | Ramp:
    """Read how far pictures move: '0.5,0', or '0,0:0.5,0' from to."""
    return _parse_ramp(text, size=2)


def parse_turn(text: str) -> float | tuple[float, ...] | Ramp:
    """Read degrees: '90', or '0:360' from to."""
    return _parse_ramp(text, size=1, turn=360)


def parse_direction(text: str) -> int | Path | str | dict[str, float]:
    """Read the number of a principal component, a file, channels, or the name of a direction.

    Whether it is there is open. Channels are 'b32.conv1:45=3,b8.conv0:2': how far each is moved by
    its name, in standard deviations; 1 where nothing is said.
    """
    if not text.startswith(_COMPONENT):
        if names_array_file(text):
            return Path(text)
        return _parse_channels(text) if ":" in text else text
    index = text.removeprefix(_COMPONENT)
    if not (index.isdecimal() and len(index) <= _DIGITS):
        raise InvalidInput(f"got {shown(text)}, expected a component such as {_COMPONENT}0")
    return int(index)


def _parse_channels(text: str) -> dict[str, float]:
    parts = [part.strip().partition("=") for part in text.split(",")]
    try:
        pairs = [(name, float(amount if sign else 1)) for name, sign, amount in parts]
    except ValueError:
        raise InvalidInput(
            f"got {shown(text)}, expected channels such as b32.conv1:45=3,b8.conv0:2=-1"
        ) from None
    if any(":" not in name or name.startswith(_COMPONENT) for name, _ in pairs):
        raise InvalidInput(
            f"got {shown(text)}, expected one direction, or channels alone, such as "
            "b32.conv1:45=3,b8.conv0:2=-1"
        )
    return _name_each(pairs)


def _name_each(pairs: list[tuple[str, float]]) -> dict[str, float]:
    """Numbers by name, each of which stands once."""
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidInput(f"got {shown(twice[0])} twice, expected each once")
    return dict(pairs)


def _parse_ramp(
    text: str, *, size: int, turn: float | None = None
) -> float | tuple[float, ...] | Ramp:
    """A value of `size` numbers, or two between which it changes."""
    ends = [parse_numbers(part) if part else () for part in text.split(":")]
    finite = all(math.isfinite(number) for end in ends for number in end)
    if not finite or len(ends) > 2 or any(len(end) != size for end in ends):
        one = ",".join(["0.5"] * size)
        raise InvalidInput(f"got {shown(text)}, expected such as {one}, or {one}:{one} from to")
    first, *last = [end[0] if size == 1 else end for end in ends]
    return Ramp(first, last[0], turn) if last else first

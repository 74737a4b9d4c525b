"""Values of a video: '90' for all frames, or '0:360' from the first to the last."""

from __future__ import annotations

import math

from stylert.apps.video.ramps import Ramp
from stylert.commands.text.number_lists import parse_numbers
from stylert.commands.text.truncation import parse_psi
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["parse_psi_ramp", "parse_ramp"]


def parse_ramp(
    name: str, text: str | None, *, size: int, turn: float | None = None
) -> float | tuple[float, ...] | Ramp | None:
    """Read a value, or two between which it changes.

    Args:
        name: what the message calls it.
        text: '90', or '0:360' from to; of size 2 '0.5,0', or '0,0:0.5,0'. None = none was given.
        size: numbers of a value; one is a number, and several are a tuple.
        turn: what a whole turn is, such as 360 of degrees; None where there are no turns.

    Raises:
        InvalidInput: another form or size, NaN or infinity.
    """
    if text is None:
        return None
    ends = [parse_numbers(name, part) or () for part in text.split(":")]
    finite = all(math.isfinite(number) for end in ends for number in end)
    if not finite or len(ends) > 2 or any(len(end) != size for end in ends):
        one = ",".join(["0.5"] * size)
        raise InvalidInput(
            f"{name}: got {shown(text)}, expected such as {one}, or {one}:{one} from to"
        )
    first, *last = [end[0] if size == 1 else end for end in ends]
    return Ramp(first, last[0], turn) if last else first


def parse_psi_ramp(
    name: str, text: str | None
) -> float | dict[str, float] | tuple[float, ...] | Ramp | None:
    """Read a truncation psi for all frames as `parse_psi` does, or one that changes: '0.3:1'.

    Args:
        name: what the message calls it.
        text: the psi; None = none was given.

    Raises:
        InvalidInput: another form, or a change to or from NaN or infinity.
    """
    if text is None or ":" not in text:
        return parse_psi(name, text)
    return parse_ramp(name, text, size=1)

"""Values of a video that stay, and that change, as users write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from stylert.apps.video.ramps import Ramp
from stylert.commands.text.ramps import parse_psi_ramp, parse_ramp

Refuses = Callable[..., AbstractContextManager[None]]


def test_a_value_that_stays() -> None:
    assert parse_ramp("--rotate", None, size=1) is None
    assert parse_ramp("--rotate", "-90", size=1, turn=360) == -90
    assert parse_ramp("--translate", "0.5,-1", size=2) == (0.5, -1)
    assert parse_psi_ramp("--psi", None) is None
    assert parse_psi_ramp("--psi", "0.5") == 0.5
    assert parse_psi_ramp("--psi", "coarse=0.5") == {"coarse": 0.5}


def test_a_value_that_changes() -> None:
    assert parse_psi_ramp("--psi", "0:1") == Ramp(0, 1)
    assert parse_ramp("--translate", "0,0:1,2", size=2) == Ramp((0, 0), (1, 2))
    assert parse_ramp("--rotate", "0:360", size=1, turn=360) == Ramp(0, 360, turn=360)


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 1), ("0:1:2", 1), ("0:", 1), ("1,2", 1), ("1", 2), ("1,2:3", 2), ("0:inf", 1)],
)
def test_what_is_no_ramp(refuses: Refuses, text: str, size: int) -> None:
    one = ",".join(["0.5"] * size)
    with refuses(f"--x: got {text!r}, expected such as {one}, or {one}:{one} from to"):
        parse_ramp("--x", text, size=size)


def test_what_is_no_number(refuses: Refuses) -> None:
    with refuses("--psi: got 'x', expected numbers such as"):
        parse_psi_ramp("--psi", "0:x")
    with refuses("--psi: got 'x', expected a number, or coarse=0.5"):
        parse_psi_ramp("--psi", "x")

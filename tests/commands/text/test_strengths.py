"""Strengths of an edit as users write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from stylert.commands.text.strengths import parse_strengths

Refuses = Callable[..., AbstractContextManager[None]]


@pytest.mark.parametrize(
    ("text", "strengths"),
    [
        ("-6:6:5", [-6, -3, 0, 3, 6]),
        ("2:-2:3", [2, 0, -2]),
        ("1:9:1", [1]),
        ("-3, 0,0.5", [-3, 0, 0.5]),
        ("4", [4]),
    ],
)
def test_strengths(text: str, strengths: list[float]) -> None:
    assert parse_strengths("--strengths", text) == strengths


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "1,", "1:2", "1:2:x", "1:2:0", "1:2:-3", "1:2:1.5", "1:2:1001", "0,nan"),
        *("-inf:inf:3", "1:2:3:4", "0,1:6:5", "-1e308:1e308:3", "1:2:999999999999999999999"),
    ],
)
def test_what_are_no_strengths(refuses: Refuses, text: str) -> None:
    with refuses(f"--strengths: got {text!r}, expected FIRST:LAST:COUNT, such as -6:6:5, or"):
        parse_strengths("--strengths", text)


def test_strengths_are_bounded(refuses: Refuses) -> None:
    assert len(parse_strengths("--strengths", "0:1:1000")) == 1000
    with refuses("--strengths: got '0,0,0"):
        parse_strengths("--strengths", ",".join(["0"] * 1001))

"""Numbers as users write them: lists, ranges, grids and strengths."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from stylert.commands.text.numbers import (
    parse_cells,
    parse_counts,
    parse_grid,
    parse_numbers,
    parse_range,
    parse_strengths,
)

Refuses = Callable[..., AbstractContextManager[None]]

NO_GRID = ["", "4", "x", "3x", "ax4", "0x0", "0x2", "-4x-4", "2x2x2", "1x" + "1" * 5000]


def test_counts() -> None:
    assert parse_counts("1, 8,4") == [1, 8, 4]


@pytest.mark.parametrize("text", ["", "0", "1,-2", "one", "1,", "1.5", "9" * 5000])
def test_what_is_no_count(refuses: Refuses, text: str) -> None:
    with refuses("got ", "expected numbers of at least 1, such as 1,4,8"):
        parse_counts(text)


def test_numbers() -> None:
    assert parse_numbers("-0.5, 1e-2") == (-0.5, 0.01)


@pytest.mark.parametrize("text", ["", "a,b", "1,", "0.5;0.5"])
def test_what_is_no_number(refuses: Refuses, text: str) -> None:
    with refuses(f"got {text!r}, expected numbers such as 0.5,0.5"):
        parse_numbers(text)


def test_ranges(refuses: Refuses) -> None:
    assert parse_range("2") == (2, 2)
    assert parse_range("0:16") == (0, 16)
    for text in ("", "a", "1:", ":2", "4:1", "-1:2", "0", "1:2:3"):
        with refuses(f"got {text!r}", "such as 2, or 1:4"):
            parse_range(text)


def test_grids() -> None:
    assert parse_cells("999x2") == (999, 2)
    assert parse_grid("400x250") == (400, 250)
    assert parse_grid("auto") == "auto"


@pytest.mark.parametrize("text", NO_GRID)
def test_what_is_no_grid(refuses: Refuses, text: str) -> None:
    for parse in (parse_cells, parse_grid):
        with refuses("got ", "expected COLSxROWS, such as 3x2"):
            parse(text)


def test_a_grid_is_bounded(refuses: Refuses) -> None:
    with refuses("got '999999x999999', expected up to 100000 cells"):
        parse_grid("999999x999999")
    with refuses("got 'auto', expected COLSxROWS"):
        parse_cells("auto")


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
    assert parse_strengths(text) == strengths


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "1,", "1:2", "1:2:x", "1:2:0", "1:2:-3", "1:2:1.5", "1:2:1001", "0,nan"),
        *("-inf:inf:3", "1:2:3:4", "0,1:6:5", "-1e308:1e308:3", "1:2:999999999999999999999"),
    ],
)
def test_what_are_no_strengths(refuses: Refuses, text: str) -> None:
    with refuses(f"got {text!r}, expected FIRST:LAST:COUNT, such as -6:6:5, or"):
        parse_strengths(text)


def test_strengths_are_bounded(refuses: Refuses) -> None:
    assert len(parse_strengths("0:1:1000")) == 1000
    with refuses("got '0,0,0"):
        parse_strengths(",".join(["0"] * 1001))

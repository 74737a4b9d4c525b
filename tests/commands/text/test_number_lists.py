"""Lists of numbers as users write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from stylert.commands.text.number_lists import parse_counts, parse_numbers, parse_range

Refuses = Callable[..., AbstractContextManager[None]]


def test_counts() -> None:
    assert parse_counts("--batch", "1, 8,4") == [1, 8, 4]


@pytest.mark.parametrize("text", ["", "0", "1,-2", "one", "1,", "1.5", "9" * 5000])
def test_what_is_no_count(refuses: Refuses, text: str) -> None:
    with refuses("--batch: got ", "expected numbers of at least 1, such as 1,4,8"):
        parse_counts("--batch", text)


def test_numbers() -> None:
    assert parse_numbers("--translate", "-0.5, 1e-2") == (-0.5, 0.01)
    assert parse_numbers("--translate", None) is None
    assert parse_numbers("--labels", "") is None


@pytest.mark.parametrize("text", ["a,b", "1,", "0.5;0.5"])
def test_what_is_no_number(refuses: Refuses, text: str) -> None:
    with refuses(f"--labels: got {text!r}, expected numbers such as 0.5,0.5"):
        parse_numbers("--labels", text)


def test_ranges(refuses: Refuses) -> None:
    assert parse_range("--replicas", "2") == (2, 2)
    assert parse_range("--replicas", "0:16") == (0, 16)
    for text in ("", "a", "1:", ":2", "4:1", "-1:2", "0", "1:2:3"):
        with refuses("--replicas", "such as 2, or 1:4"):
            parse_range("--replicas", text)

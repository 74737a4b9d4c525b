"""Seeds and classes as users write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from stylert.apps.datasets import Seeds
from stylert.commands.text.seed_lists import parse_classes, parse_seed_list, parse_seeds

Refuses = Callable[..., AbstractContextManager[None]]


def test_seeds_come_once_and_in_their_order() -> None:
    assert parse_seeds("--seeds", "7,0-2, 1") == Seeds([range(7, 8), range(3)])
    assert len(parse_seeds("--seeds", "0-4294967295")) == 2**32


@pytest.mark.parametrize("text", ["", "x", "1,", "3-1", "-1", "4294967296", "1.5", "0-1-2"])
def test_seeds_that_are_none(refuses: Refuses, text: str) -> None:
    for parse in (parse_seeds, parse_seed_list):
        with refuses("--rows: got "):
            parse("--rows", text)
    with refuses("--class: got ", "expected a class such as 3, or several: 0-9"):
        parse_classes("--class", text)


def test_a_seed_list_keeps_its_order_and_repetitions() -> None:
    assert parse_seed_list("--rows", "0-2,7, 0") == [0, 1, 2, 7, 0]


def test_a_seed_list_is_bounded(refuses: Refuses) -> None:
    assert len(parse_seed_list("--rows", "0-99998,5")) == 100_000
    with refuses("--rows: got '0-99999,5', expected up to 100000 seeds"):
        parse_seed_list("--rows", "0-99999,5")
    with refuses("--rows: got '0-4294967295'"):
        parse_seed_list("--rows", "0-4294967295")


def test_one_class_is_a_number_and_several_take_turns() -> None:
    assert parse_classes("--class", None) is None
    assert parse_classes("--class", "3") == 3
    assert parse_classes("--class", "0-2,7,0") == (0, 1, 2, 7, 0)


def test_classes_are_bounded(refuses: Refuses) -> None:
    with refuses("--class: got '0-1000000'"):
        parse_classes("--class", "0-1000000")

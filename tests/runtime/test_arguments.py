"""Checks of arguments, and values as messages show them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.runtime.arguments import check_choice, check_integer, shown


def test_integers_in_range() -> None:
    check_integer("n", 1, 1)
    check_integer("n", 10**30, 1)
    check_integer("n", 7, 1, 7)


@pytest.mark.parametrize("value", [0, 8, 1.0, True, "3", None, [10**5000], np.int64(3), [3]])
def test_integers_that_are_refused(refuses: Any, value: Any) -> None:
    with refuses("n: got ", ", expected an integer of 1 to 7."):
        check_integer("n", value, 1, 7)


def test_an_integer_of_numpy_is_to_be_converted(refuses: Any) -> None:
    with refuses("n: got ", "expected an integer of 1 to 7. Convert: int(n)"):
        check_integer("n", np.int64(3), 1, 7)


def test_an_integer_without_an_upper_bound(refuses: Any) -> None:
    with refuses("n: got -1, expected an integer of at least 0."):
        check_integer("n", -1, 0)


def test_choices(refuses: Any) -> None:
    check_choice("mode", "a", ("a", "b"))
    check_choice("on", True, (True, False))
    with refuses("mode: got 'c', expected 'a' or 'b'."):
        check_choice("mode", "c", ("a", "b"))
    with refuses("mode: got 'd', expected one of ('a', 'b', 'c')."):
        check_choice("mode", "d", ("a", "b", "c"))


@pytest.mark.parametrize("value", [1, 0, None, "True", np.array([True, False]), np.bool_(True)])
def test_a_choice_is_of_the_same_type(refuses: Any, value: Any) -> None:
    with refuses("on: got ", "expected True or False."):
        check_choice("on", value, (True, False))


def test_values_are_shown_on_one_short_line() -> None:
    assert shown(1.5) == "1.5"
    assert shown("a\nb") == r"'a\nb'"
    assert shown(np.ones((2, 2))) == "array([[1., 1.], [1., 1.]])"
    assert shown(10**5000) == "a huge integer"
    assert len(shown("x" * 1000)) == 60

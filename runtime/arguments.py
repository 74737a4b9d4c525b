"""Checks of arguments that any part of the runtime may take, and how a message shows a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stylert.runtime.errors import InvalidInput

__all__ = ["UNREADABLE", "check_choice", "check_integer", "read_array", "refuse_array", "shown"]

# What `numpy.asarray` raises: of ragged lists, and of tensors on a GPU, or with a gradient.
UNREADABLE = (ValueError, TypeError, RuntimeError)


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Refuse what is no integer from `least` to `most`, None = without an upper bound.

    Raises:
        InvalidInput: another type, or out of range.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        convert = f" Convert: int({name})" if isinstance(value, np.integer) else ""
        raise InvalidInput(f"{name}: got {shown(value)}, expected an integer of {bounds}.{convert}")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Refuse what is none of the choices, which are all of one type.

    Raises:
        InvalidInput: another type or value.
    """
    if not isinstance(value, type(choices[0])) or value not in choices:
        expected = " or ".join(map(repr, choices)) if len(choices) == 2 else f"one of {choices}"
        raise InvalidInput(f"{name}: got {shown(value)}, expected {expected}.")


def read_array(name: str, value: Any, expected: str) -> np.ndarray:
    """An array, or what becomes one, as an array.

    Raises:
        InvalidInput: NumPy cannot read it.
    """
    try:
        return np.asarray(value)
    except UNREADABLE as error:
        raise refuse_array(name, value, error, expected) from None


def refuse_array(name: str, value: Any, error: Exception, expected: str) -> InvalidInput:
    """The error for a value that `numpy.asarray` refused; other libraries say what to do."""
    reason = " ".join(str(error).split())
    ragged = isinstance(error, ValueError)
    got = "a ragged list" if ragged else f"a {type(value).__name__} ({reason})"
    return InvalidInput(f"{name}: got {got}, expected {expected}.")


def shown(value: Any) -> str:
    """A value as a message can hold it: one line, and not a long one."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer of more digits than Python prints
        return "a huge integer"
    return text if len(text) <= 60 else f"{text[:57]}..."

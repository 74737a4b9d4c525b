"""Checks of arguments that any part of the runtime may take, and how a message shows a value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from stylert.runtime.errors import InvalidInput

__all__ = ["check_choice", "check_integer", "name_nothing", "one_or", "shown", "shown_number"]


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


def one_or(batch: int) -> str:
    """How many of a thing a batch may be given, in words: one for all, or one for each."""
    return "1" if batch == 1 else f"1 or {batch}"


def name_nothing(message: str, word: str) -> str:
    """A message whose caller has another word for Python's None, as a value by itself."""
    return re.sub(r"(?<![\w/.'=-])None(?![\w/'=-]|\.\w)", word, message)


def shown_number(value: Any) -> str:
    """A number as people write it, 64 and not 64.0; what is none as `shown` does."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:g}" if is_number and abs(value) < 1e15 else shown(value)


def shown(value: Any) -> str:
    """A value as a message can hold it: one line, and not a long one."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer of more digits than Python prints
        return "a huge integer"
    return text if len(text) <= 60 else f"{text[:57]}..."

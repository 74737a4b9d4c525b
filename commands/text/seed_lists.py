"""Lists of seeds and of classes, such as '0-31,40'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from stylert.apps.datasets import Seeds

__all__ = ["parse_classes", "parse_seed_list", "parse_seeds"]

_MOST_SEEDS = 100_000  # of a list that is in memory as a whole
_MOST_CLASSES = 1_000_000


def parse_seeds(name: str, text: str) -> Seeds:
    """Read seeds of a data set, each once: '0-49999,70000'.

    Args:
        name: what the message calls it.
        text: seeds and ranges that go up, with commas between.

    Raises:
        InvalidInput: another form, or a seed above 2^32 - 1.
    """
    from stylert.apps.datasets import Seeds  # slow to load

    try:
        return Seeds.parse(text)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {str(error).removeprefix('seeds: ')}") from None


def parse_seed_list(name: str, text: str) -> list[int]:
    """Read seeds in their order and with repetitions: '0-2,7,0' is [0, 1, 2, 7, 0].

    Args:
        name: what the message calls it.
        text: seeds and ranges that go up, with commas between.

    Raises:
        InvalidInput: another form, a seed above 2^32 - 1, or more than 100,000 of them.
    """
    parts = [range_ for part in text.split(",") for range_ in parse_seeds(name, part).ranges]
    if sum(map(len, parts)) > _MOST_SEEDS:
        raise InvalidInput(f"{name}: got {shown(text)}, expected up to {_MOST_SEEDS} seeds")
    return [seed for part in parts for seed in part]


def parse_classes(name: str, text: str | None) -> int | tuple[int, ...] | None:
    """Read one class or several: '3' is 3, '0-2,7' is (0, 1, 2, 7).

    Args:
        name: what the message calls it.
        text: indices and ranges that go up, with commas between; None = none was given.

    Raises:
        InvalidInput: another form, or more than a million of them.
    """
    if text is None:
        return None
    try:
        parts = [range_ for part in text.split(",") for range_ in parse_seeds(name, part).ranges]
    except InvalidInput:
        parts = []
    if not 0 < sum(map(len, parts)) <= _MOST_CLASSES:
        raise InvalidInput(
            f"{name}: got {shown(text)}, expected a class such as 3, or several: 0-9"
        )
    classes = tuple(number for part in parts for number in part)
    return classes if len(classes) > 1 else classes[0]

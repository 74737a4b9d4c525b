"""Seeds and classes, such as '0-31,40', and sources of styles: seeds, or a file of ws."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stylert.commands.text.names import names_array_file
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from stylert.apps.datasets import Seeds

__all__ = [
    "Source",
    "parse_class",
    "parse_classes",
    "parse_seed_list",
    "parse_seeds",
    "parse_source",
]

Source = Path | list[int]

_MOST_SEEDS = 100_000  # of a list that is in memory as a whole
_MOST_CLASSES = 1_000_000


def parse_seeds(text: str) -> Seeds:
    """Read seeds and ranges that go up, each seed once: '0-49999,70000'."""
    from stylert.apps.datasets import Seeds  # slow to load

    try:
        return Seeds.parse(text)
    except InvalidInput as error:
        raise InvalidInput(str(error).removeprefix("seeds: ")) from None


def parse_seed_list(text: str) -> list[int]:
    """Read up to 100,000 seeds in their order, with repetitions: '0-2,7,0' is [0, 1, 2, 7, 0]."""
    parts = _split(text)
    if sum(map(len, parts)) > _MOST_SEEDS:
        raise InvalidInput(f"got {shown(text)}, expected up to {_MOST_SEEDS} seeds")
    return [seed for part in parts for seed in part]


def parse_class(text: str) -> int | str:
    """Read one class: a number, or a name."""
    one = parse_classes(text)
    if isinstance(one, tuple):
        raise InvalidInput(f"got {shown(text)}, expected one class, such as 3")
    return one


def parse_classes(text: str) -> int | str | tuple[int | str, ...]:
    """Read one class, or up to a million: '3' is 3, '0-2,cat' is (0, 1, 2, 'cat')."""
    classes: list[int | str] = []
    for piece in map(str.strip, text.split(",")):
        named = any(map(str.isalpha, piece))
        try:
            ranges = [] if named else _split(piece)
        except InvalidInput:
            ranges = []
        count = 1 if named else sum(map(len, ranges))
        if not count or len(classes) + count > _MOST_CLASSES:
            raise InvalidInput(f"got {shown(text)}, expected a class such as 3, or several: 0-9")
        classes += [piece] if named else [number for part in ranges for number in part]
    return tuple(classes) if len(classes) > 1 else classes[0]


def parse_source(text: str) -> Source:
    """Read seeds as `parse_seed_list` does, or a file: named like one of ws, or there."""
    is_file = names_array_file(text) or os.path.isfile(text)
    if is_file and not set("0123456789,- ").issuperset(text):
        return Path(text)
    return parse_seed_list(text)


def _split(text: str) -> list[range]:
    return [part for piece in text.split(",") for part in parse_seeds(piece).ranges]

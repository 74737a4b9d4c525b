"""Names outside the list, in files that hold more than a generator: what is made of them is inert.

A snapshot may have discriminators, optimisers, paths and types of other libraries beside its
generator. A `ForeignObject` stands for each such name, and for all that the pickle would make with
it: nothing is imported, built or called, and what it was to be made of is dropped. The rule:

- beside the generator it is passed over, and its name goes into a note;
- the file is refused if a tensor, a module or an attribute of a module of the chosen generator is
  one, or was to be made by a call of one;
- a mere name in an attribute that is not read (a dtype), and hooks, are passed over, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stylert.export.checkpoints.safe_pickle.pickle_names import RefusedName
from stylert.export.checkpoints.safe_pickle.quoting import quote, quote_some
from stylert.runtime.errors import CheckpointError

__all__ = [
    "ForeignNames",
    "ForeignObject",
    "find_foreign",
    "refuse_foreign",
    "refuse_foreign_values",
]

MAX_SHOWN = 32
MAX_NAMES = 1000  # a snapshot with a discriminator of 200 layers has about 60


class ForeignObject:
    """A name outside the list, or whatever is made with it."""

    __slots__ = ("_made", "name")

    def __init__(self, name: str, *, is_made: bool = False) -> None:
        self.name = name
        self._made = None if is_made else ForeignObject(name, is_made=True)

    @property
    def is_made(self) -> bool:
        """Whether the pickle would have called something to make it."""
        return self._made is None

    def make(self) -> ForeignObject:
        """What stands for all that is made with it: always the same object."""
        return self._made or self


class ForeignNames:
    """The names outside the list that one file has."""

    def __init__(self) -> None:
        self._objects: dict[str, ForeignObject] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in their order."""
        return tuple(self._objects)

    def resolve(self, name: str) -> ForeignObject:
        """What stands for a name with its module.

        Raises:
            CheckpointError: the file has too many of them.
        """
        if name not in self._objects and len(self._objects) >= MAX_NAMES:
            raise CheckpointError(f"the pickle names more than {MAX_NAMES} foreign types")
        return self._objects.setdefault(name, ForeignObject(name))

    def describe(self) -> tuple[str, ...]:
        """A note that names them, if there are any: functions first, which do more than types."""
        if not self._objects:
            return ()
        functions_first = sorted(self._objects, key=_is_type)
        shown = quote_some(functions_first, MAX_SHOWN)
        return (f"the file names what no generator needs; nothing of it was read or run: {shown}",)


def _is_type(name: str) -> bool:
    """By the custom that types begin with a capital."""
    return name.rpartition(".")[2].lstrip("_")[:1].isupper()


def find_foreign(values: Any) -> ForeignObject | None:
    """What stands for something that is made of these values, if one of them is foreign."""
    for value in values if type(values) is tuple else (values,):
        if type(value) is ForeignObject:
            return value.make()
    return None


def refuse_foreign(value: Any, place: str = "") -> None:
    """Refuse a foreign value where a tensor, a module or an attribute of ours should be.

    Raises:
        RefusedName: it is one.
    """
    if type(value) is ForeignObject:
        raise RefusedName(value.name, place)


def refuse_foreign_values(values: Mapping[Any, Any], place: str) -> None:
    """Refuse attributes that a foreign call would have made; a mere name may stay unread.

    Raises:
        RefusedName: there is one.
    """
    for name, value in values.items():
        if type(value) is ForeignObject and value.is_made:
            refuse_foreign(value, f"{place}.{quote(name)}".lstrip("."))

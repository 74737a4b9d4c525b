"""Containers in containers: where in the value of a file the generators are, however deep."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from stylert.export.checkpoints.safe_pickle.allow_list import (
    PARALLEL,
    PersistentObject,
    PickledObject,
)
from stylert.export.checkpoints.safe_pickle.quoting import name_some, quote, suggest_networks
from stylert.runtime.errors import CheckpointError

__all__ = ["ALONE", "Container", "find_generators", "is_network_name", "note_no_average"]
__all__ += ["pick_average", "says_average", "walk_containers"]

ALONE = "the only network"  # what a network is called that has no name
_NETWORK_NAME = re.compile(r"[\w. -]{1,80}")
_DEEPEST = 8
_MOST = 4096  # containers
_MOST_IN_LIST = 64  # that are looked at of one list or tuple
_NETWORKS = ("Network", PARALLEL)  # the classes of whole networks, beside NVlabs' own


@dataclass(frozen=True, eq=False)
class Container:
    """A dict, list, tuple or namespace of a file."""

    path: tuple[str, ...]  # the keys that lead to it
    parts: dict[Any, Any]  # by text, numbers too
    outer: Container | None

    @property
    def name(self) -> str:
        """The keys that lead to it, with dots."""
        return ".".join(self.path)


def walk_containers(value: Any) -> Iterator[Container]:
    """A container and those in it, the outer ones first, each of them once."""
    waiting: deque[tuple[tuple[str, ...], Any, Container | None]] = deque([((), value, None)])
    seen: set[int] = set()
    while waiting and len(seen) < _MOST:
        path, inner, outer = waiting.popleft()
        parts = _list_parts(inner)
        if parts is None or id(inner) in seen:
            continue
        seen.add(id(inner))
        container = Container(path, parts, outer)
        yield container
        if len(path) < _DEEPEST:
            room = (_MOST - len(seen)) * 2
            held = ((k, v) for k, v in parts.items() if type(k) is str and _holds(v))
            waiting += [((*path, k[:40]), v, container) for k, v in islice(held, room)]


def find_generators(
    value: Any, marks: tuple[str, ...], network: str | None
) -> tuple[Container, str | None] | None:
    """The one container that holds generators, and what is left of the network's name in it.

    Args:
        value: The value of a file.
        marks: Ends of tensors' names that tell a generator, with a dot before them.
        network: What the user asked for: it may begin with the keys that lead to the container.

    Raises:
        CheckpointError: there are several, and none of them is said, or the average one.
    """
    found: dict[tuple[str, ...], Container] = {}
    for inner in walk_containers(value):
        if any(_is_network(part) for part in inner.parts.values()):
            found[inner.path] = inner
        elif any(type(name) is str and f".{name}".endswith(marks) for name in inner.parts):
            holder = inner.outer or inner
            found[holder.path] = holder
    for holder in found.values():
        if network is not None and f"{network}.".startswith(f"{holder.name}."):
            return holder, network[len(holder.name) + 1 :] or None
    names = [holder.name for holder in found.values()]
    likely = pick_average(names) or names
    if len(likely) > 1:
        raise CheckpointError(
            f"the file has several generators, in {name_some(names)}{suggest_networks(names)}"
        )
    return next(((holder, network) for holder in found.values() if holder.name in likely), None)


def is_network_name(name: Any) -> bool:
    """Whether a user can ask for a network by this name."""
    return type(name) is str and _NETWORK_NAME.fullmatch(name) is not None


def pick_average(names: Iterable[str]) -> list[str]:
    """The one name that says to be an average of weights ('params_ema'), if there is one."""
    averages = [name for name in names if says_average(name)]
    return averages if len(averages) == 1 else []


def note_no_average(name: str) -> str:
    """What a user should know who asked for no network, and gets one in training."""
    return f"the file has no average generator: {quote(name)} was read"


def says_average(name: str) -> bool:
    """Whether a name, or a part of it, says an average of weights: 'G_ema', 'ema.net'."""
    return any(part.startswith("ema") or part.endswith("ema") for part in name.lower().split("."))


def _list_parts(value: Any) -> dict[Any, Any] | None:
    if type(value) is PickledObject and value.class_name == "Namespace":
        value = value.state
    if type(value) in (list, tuple):
        return {str(i): part for i, part in enumerate(value[:_MOST_IN_LIST])}
    if type(value) is dict and int in map(type, value):
        return {str(key) if type(key) is int else key: part for key, part in value.items()}
    return value if type(value) is dict else None


def _holds(value: Any) -> bool:
    return type(value) in (dict, list, tuple, PickledObject)


def _is_network(value: Any) -> bool:
    return type(value) is PersistentObject or (
        type(value) is PickledObject and value.class_name in _NETWORKS
    )

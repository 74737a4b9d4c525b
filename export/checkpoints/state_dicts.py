"""State dicts in the value of a file: found by a tensor's name, in dicts and behind prefixes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from stylert.export.checkpoints.containers import (
    ALONE,
    is_network_name,
    note_no_average,
    pick_average,
)
from stylert.export.checkpoints.safe_pickle.arrays import PickledArray
from stylert.export.checkpoints.safe_pickle.foreign import refuse_foreign
from stylert.export.checkpoints.safe_pickle.quoting import quote, quote_some, suggest_networks
from stylert.export.checkpoints.safe_pickle.storages import Tensor, compute_tensor
from stylert.runtime.errors import CheckpointError

__all__ = [
    "WRAPPERS",
    "StateDict",
    "as_tensor",
    "choose_state_dict",
    "find_state_dicts",
]

AVERAGES = ("G_ema", "g_ema", "generator_ema", "generator_smooth", "decoder", ALONE)
_DEEPEST = 3  # dicts in dicts
_MOST_DICTS = 4096
_MOST_DOTS = 8  # in a tensor's name
_MOST = 16  # networks in a file
WRAPPERS = ("module", "_orig_mod")  # of DataParallel and torch.compile
_HOLDERS = ("state_dict", "model")  # keys that say nothing


@dataclass(frozen=True)
class StateDict:
    """Where the tensors of one network are in a file."""

    holders: tuple[str, ...]  # keys of the dicts around it
    prefix: str  # of its names in the innermost dict, with the dot
    entries: dict[Any, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """What a user calls it: 'G_ema', 'decoder', ..."""
        parts = [part for part in self.holders if part not in _HOLDERS]
        parts += [part for part in self.prefix.split(".") if part not in WRAPPERS]
        return ".".join(part for part in parts if part) or ALONE

    @property
    def path(self) -> str:
        """All keys and prefixes that lead to it, which no other one has."""
        return ".".join(filter(None, (*self.holders, self.prefix.rstrip(".")))) or ALONE

    def read_tensors(self, scopes: str) -> dict[str, Tensor]:
        """The tensors in some scopes, without the prefix.

        Where the prefix names the network, all tensors behind it are its own.

        Args:
            scopes: a regular expression for the first part of their names.

        Raises:
            CheckpointError: one of them is no tensor, or its name is too deep.
        """
        is_named = any(part not in ("", *WRAPPERS) for part in self.prefix.split("."))
        tensors: dict[str, Tensor] = {}
        for name, value in self._list_entries():
            in_scope = re.fullmatch(scopes, name.partition(".")[0])
            if in_scope or (is_named and type(value) is Tensor):
                if name.count(".") > _MOST_DOTS:
                    raise CheckpointError(f"{quote(name)} is no name of a tensor")
                tensors[name] = as_tensor(name, value)
        return tensors

    def list_others(self, scopes: str) -> list[str]:
        """What else is in the same dict: the first parts of names."""
        others = []
        for name in self.entries:
            inner = name.removeprefix(self.prefix) if type(name) is str else ""
            mine = inner != name or not self.prefix
            if not mine or not re.fullmatch(scopes, inner.partition(".")[0]):
                others.append(str(name).partition(".")[0])
        return list(dict.fromkeys(others))

    def _list_entries(self) -> Iterator[tuple[str, Any]]:
        for name, value in self.entries.items():
            if type(name) is str and name.startswith(self.prefix):
                yield name.removeprefix(self.prefix), value


def find_state_dicts(value: Any, mark: str) -> list[StateDict]:
    """The state dicts in a value that have a tensor of the name `mark`."""
    found: list[StateDict] = []
    prefixes: dict[int, list[str]] = {}  # of each dict: it may be there many times
    for holders, entries in _walk_dicts(value):
        if id(entries) not in prefixes:
            prefixes[id(entries)] = _list_prefixes(entries, mark)
        found += [StateDict(holders, prefix, entries) for prefix in prefixes[id(entries)]]
    return [state for state in found if is_network_name(state.name)][:_MOST]


def choose_state_dict(names: Collection[str], network: str | None) -> tuple[str, str]:
    """The name of the network to read, and a note if it is no average one.

    Args:
        names: of those in the file.
        network: what the user asked for, None = the average one or the only one.

    Raises:
        CheckpointError: there is no such network, or there are several to choose from.
    """
    there = f"{quote_some(names, _MOST)}{suggest_networks(names)}"
    if network is not None:
        if network not in names:
            raise CheckpointError(f"no network {quote(network)} in the file; it has {there}")
        return network, ""
    for average in AVERAGES:
        for name in names:
            if name == average or name.rpartition(".")[2] == average:
                return name, ""
    for name in pick_average(names):
        return name, ""
    if len(names) > 1:
        raise CheckpointError(f"the file has several generators: {there}")
    (name,) = names
    return name, note_no_average(name)


def _list_prefixes(entries: dict[Any, Any], mark: str) -> list[str]:
    """What stands before the mark in the names that end with it, for the first few."""
    names = (name for name in entries if type(name) is str and f".{name}".endswith(f".{mark}"))
    return [name.removesuffix(mark) for name in islice(names, _MOST)]


def _walk_dicts(value: Any) -> Iterator[tuple[tuple[str, ...], dict[Any, Any]]]:
    """A dict and those in it, the outer ones first, each with the keys that lead to it."""
    inner: dict[int, list[tuple[str, Any]]] = {}  # of each dict: it may be there many times
    waiting: deque[tuple[tuple[str, ...], Any]] = deque([((), value)])
    for _ in range(_MOST_DICTS):
        if not waiting:
            return
        holders, entries = waiting.popleft()
        if type(entries) is not dict:
            return
        yield holders, entries
        if len(holders) == _DEEPEST:
            continue
        if id(entries) not in inner:
            pairs = ((k, v) for k, v in entries.items() if type(k) is str and type(v) is dict)
            inner[id(entries)] = list(islice(pairs, _MOST_DICTS))
        room = _MOST_DICTS - len(waiting)
        waiting += [((*holders, key), value) for key, value in inner[id(entries)][:room]]


def as_tensor(name: str, value: Any) -> Tensor:
    """An entry of a state dict; NumPy's arrays serve as well.

    Raises:
        CheckpointError: it is neither.
    """
    if type(value) is PickledArray:
        return compute_tensor(value.to_float32, value.shape)
    refuse_foreign(value, name)
    if type(value) is not Tensor:
        raise CheckpointError(f"{quote(name)} is a {type(value).__name__}, and no tensor")
    return value

"""Finds the generator of a snapshot: under any key, in a tuple, one dict deeper, or wrapped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from stylert.export.checkpoints.containers import (
    ALONE,
    is_network_name,
    note_no_average,
    says_average,
)
from stylert.export.checkpoints.safe_pickle.allow_list import (
    PARALLEL,
    PersistentObject,
    PickledObject,
)
from stylert.export.checkpoints.safe_pickle.quoting import quote, suggest_networks
from stylert.runtime.errors import CheckpointError

__all__ = ["choose_network", "find_networks"]

AVERAGE = "G_ema"  # what the official tools call it
_PLACES = ("G", "D", AVERAGE)  # the names in a tuple of three
_MAX_NETWORKS = 16
_MAX_PARTS = 1000  # that are looked at of one container
_DEEPEST = 2  # containers in each other


def find_networks(value: Any) -> dict[str, PersistentObject]:
    """The first few networks in the value of a pickle, by name."""
    alone = _unwrap(value)
    if type(alone) is PersistentObject:
        return {ALONE: alone}
    return dict(islice(_walk(value, "", 1), _MAX_NETWORKS))


def choose_network(
    networks: dict[str, PersistentObject], network: str | None
) -> tuple[str, tuple[str, ...]]:
    """The name of the generator to read, and a note if it is not the average one.

    Args:
        networks: What `find_networks` gave.
        network: What was asked for, None = the average one, else the only one, else 'G'.

    Raises:
        CheckpointError: it is not there, or is no generator, or there are several.
    """
    there = ", ".join(f"{name} ({quote(net.class_name)})" for name, net in networks.items())
    generators = [name for name, net in networks.items() if _is_generator(net)]
    if network is None and generators:
        return _choose_default(generators, there)
    name = AVERAGE if network is None else network
    advice = suggest_networks(generators)
    if name not in networks:
        raise CheckpointError(f"no network {quote(name)} in the file; it has {there}{advice}")
    if name not in generators:
        raise CheckpointError(f"{quote(name)} is no generator; the file has {there}{advice}")
    return name, ()


def _choose_default(generators: list[str], there: str) -> tuple[str, tuple[str, ...]]:
    if ALONE in generators or AVERAGE in generators:
        return (ALONE if ALONE in generators else AVERAGE), ()
    averages = [name for name in generators if says_average(name)]
    if len(averages) == 1:
        return averages[0], ()
    likely = averages or ["G"] * ("G" in generators) or generators
    if len(likely) > 1:
        raise CheckpointError(
            f"the file has several generators: {there}{suggest_networks(generators)}"
        )
    return likely[0], (note_no_average(likely[0]),)


def _walk(value: Any, prefix: str, depth: int) -> Iterator[tuple[str, PersistentObject]]:
    """The networks in a container and in those right in it, with their names."""
    for name, part in islice(_list_parts(value), _MAX_PARTS):
        if not is_network_name(name):
            continue
        network = _unwrap(part)
        if type(network) is PersistentObject:
            yield f"{prefix}{name}", network
        elif depth < _DEEPEST:
            yield from _walk(part, f"{prefix}{name}.", depth + 1)


def _list_parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if type(value) is dict:
        yield from value.items()
    elif type(value) in (tuple, list):
        names = _PLACES if len(value) == 3 else [f"network{i}" for i in range(len(value))]
        yield from zip(names, value, strict=True)


def _unwrap(value: Any) -> Any:
    """What is in torch's wrapper for several GPUs."""
    if type(value) is PickledObject and value.class_name == PARALLEL and type(value.state) is dict:
        modules = value.state.get("_modules")
        return modules.get("module") if type(modules) is dict else None
    return value


def _is_generator(network: PersistentObject) -> bool:
    children = network.state.get("_modules")
    return type(children) is dict and {"mapping", "synthesis"} <= children.keys()

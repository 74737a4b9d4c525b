"""The networks of a TensorFlow pickle: names, arguments and variables, nothing built or run.

StyleGAN 1 and 2 pickle objects of dnnlib.tflib.network.Network: a tuple (G, D, Gs), or other
selections. The state of each is a dict: 'version' (StyleGAN 1 writes 3, StyleGAN2 4, ADA 5; 2 is
older), 'name', 'static_kwargs' (what it was made with), 'components' (a generator's networks
'mapping' and 'synthesis'), 'variables' (names and values) and 'build_module_src', a source text
that TensorFlow would run and that is not looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylert.export.checkpoints.safe_pickle.allow_list import PickledObject
from stylert.export.checkpoints.safe_pickle.arrays import PickledArray
from stylert.export.checkpoints.safe_pickle.foreign import refuse_foreign, refuse_foreign_values
from stylert.export.checkpoints.safe_pickle.quoting import quote, suggest_networks
from stylert.runtime.errors import CheckpointError

__all__ = ["TensorFlowGenerator", "find_generator", "is_tensorflow"]

VERSIONS = (2, 3, 4, 5)
AVERAGE = ("Gs", "G_ema")  # what the average network is called, the usual name first
_COMPONENTS = ("mapping", "synthesis")
_NAME = re.compile(r"[\w./-]{1,120}", re.ASCII)  # of a variable
_BLOCK = re.compile(r"synthesis/([1-9][0-9]{0,5})x([1-9][0-9]{0,5})/")


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class TensorFlowGenerator:
    """One generator of a TensorFlow pickle."""

    name: str  # 'Gs'
    version: int  # of the format: 2 to 5
    functions: tuple[str, ...]  # that built it and its components: 'G_main', 'G_mapping', ...
    arguments: Mapping[str, Any]  # static_kwargs
    variables: Mapping[str, np.ndarray]  # views of the file, e.g. 'synthesis/4x4/Const/const'

    def find_shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """The shape of a variable.

        Raises:
            CheckpointError: it is missing, or has another number of dimensions.
        """
        if name not in self.variables:
            raise CheckpointError(f"the variable {name} is missing")
        shape = self.variables[name].shape
        if len(shape) != dimensions:
            raise CheckpointError(
                f"{name}: got shape {list(shape)}, expected {dimensions} dimensions"
            )
        return shape

    def has(self, ending: str) -> bool:
        """Whether the name of some variable ends so."""
        return any(name.endswith(ending) for name in self.variables)

    @property
    def blocks(self) -> tuple[str, ...]:
        """The scopes of the synthesis blocks, 'synthesis/4x4', 'synthesis/8x8', ...

        Raises:
            CheckpointError: there is none, or a resolution is missing.
        """
        found = {match.groups() for name in self.variables if (match := _BLOCK.match(name))}
        sizes = sorted((int(height), int(width)) for height, width in found)
        if not sizes or any(
            size != (sizes[0][0] << i, sizes[0][1] << i) for i, size in enumerate(sizes)
        ):
            shown = ", ".join(f"{height}x{width}" for height, width in sizes[:16]) or "none"
            raise CheckpointError(
                f"not supported: synthesis has the blocks {shown}, expected 4x4, 8x8, 16x16, ..."
            )
        return tuple(f"synthesis/{height}x{width}" for height, width in sizes)


def is_tensorflow(value: Any) -> bool:
    """Whether the value of a pickle is a network of dnnlib, or a tuple, list or dict of them."""
    return any(map(_is_network, _list_parts(value)))


def find_generator(value: Any, network: str | None) -> TensorFlowGenerator:
    """One generator of a pickle for which `is_tensorflow` holds.

    Args:
        value: The value of the pickle.
        network: Its name, None = the average one, 'Gs', else the only one.

    Raises:
        CheckpointError: there is no such network, it is no generator, or its state is incomplete.
    """
    networks = _list_networks(value)
    name = _choose_default(networks) if network is None else network
    there = ", ".join(f"{key} ({_tell_function(state)})" for key, state in networks.items())
    advice = suggest_networks(key for key, state in networks.items() if _is_generator(state))
    if name not in networks:
        raise CheckpointError(f"no network {quote(name)} in the file; it has {there}{advice}")
    state = networks[name]
    if not _is_generator(state):
        raise CheckpointError(f"{_explain_no_generator(name, state, there)}{advice}")
    arguments: dict[str, Any] = {}
    variables: dict[str, np.ndarray] = {}
    functions: list[str] = []
    versions: list[int] = []
    for part in (*_COMPONENTS, ""):  # a generator hands its own arguments to its components
        title = f"{name}.{part}" if part else name
        own = state["components"][part].state if part else state
        for values in (own, own.get("static_kwargs"), own.get("components")):
            refuse_foreign_values(values if type(values) is dict else {}, title)
        versions.append(_read_version(title, own))
        functions.append(_tell_function(own))
        arguments |= _read_arguments(title, own)
        _add_variables(variables, title, own, prefix=f"{part}/" if part else "")
    return TensorFlowGenerator(
        name=name,
        version=max(versions),
        functions=tuple(functions),
        arguments=arguments,
        variables=variables,
    )


# Which network.


def _is_network(value: Any) -> bool:
    return type(value) is PickledObject and value.class_name == "Network"


def _list_parts(value: Any) -> list[Any]:
    if type(value) is dict:
        return list(value.values())
    return list(value) if type(value) in (tuple, list) else [value]


def _list_networks(value: Any) -> dict[str, dict[str, Any]]:
    """The states of the first few networks, by name."""
    parts = _list_parts(value)
    if type(value) is dict:
        names = list(value)
    elif len(parts) == 3 and all(_is_network(part) or part is None for part in parts):
        names = ["G", "D", "Gs"]  # whatever their own names are
    else:
        names = [part.state.get("name") if _has_state(part) else None for part in parts]
    networks: dict[str, dict[str, Any]] = {}
    for i, (name, part) in enumerate(zip(names[:16], parts[:16], strict=True)):
        if _is_network(part):
            good = type(name) is str and name.isidentifier() and len(name) <= 40
            key = name if good and name not in networks else f"network{i}"
            networks[key] = part.state if _has_state(part) else {}
    return networks


def _has_state(value: Any) -> bool:
    return _is_network(value) and type(value.state) is dict


def _choose_default(networks: Mapping[str, dict[str, Any]]) -> str:
    if average := [name for name in AVERAGE if name in networks]:
        return average[0]
    generators = [name for name, state in networks.items() if _is_generator(state)]
    if len(generators) == 1:
        return generators[0]
    return next(iter(networks)) if len(networks) == 1 else AVERAGE[0]


def _is_generator(state: dict[str, Any]) -> bool:
    components = state.get("components")
    return type(components) is dict and all(
        _has_state(components.get(name)) for name in _COMPONENTS
    )


def _explain_no_generator(name: str, state: dict[str, Any], there: str) -> str:
    variables = state.get("variables")
    names = [pair[0] for pair in variables if _is_pair(pair)] if type(variables) is list else []
    if any(type(key) is str and key.endswith("ToRGB_lod0/weight") for key in names):
        return (
            "not supported: a generator without a mapping network, as those of Progressive GAN are"
        )
    return (
        f"{quote(name)} is no StyleGAN generator: it has no networks 'mapping' and 'synthesis'; "
        f"the file has {there}"
    )


# The state of one network.


def _tell_function(state: dict[str, Any]) -> str:
    """The function that built it, for messages and notes."""
    function = state.get("build_func_name")
    good = type(function) is str and function.isidentifier() and len(function) <= 40
    return f"{function}" if good else "an unnamed function"


def _read_field(title: str, state: dict[str, Any], key: str, kind: type) -> Any:
    if key not in state:
        raise CheckpointError(f"the network {quote(title)} has no {key!r}")
    if type(state[key]) is not kind:
        raise CheckpointError(
            f"the network {quote(title)} has {quote(state[key])} as its {key!r}, "
            f"expected a {kind.__name__}"
        )
    return state[key]


def _read_version(title: str, state: dict[str, Any]) -> int:
    version: int = _read_field(title, state, "version", int)
    if version not in VERSIONS:
        raise CheckpointError(
            f"not supported: version {quote(version)} of the TensorFlow networks, expected 2 to 5"
        )
    return version


def _read_arguments(title: str, state: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = _read_field(title, state, "static_kwargs", dict)
    for key in arguments:
        if type(key) is not str:
            raise CheckpointError(f"the network {quote(title)} has an argument named {quote(key)}")
    return arguments


def _add_variables(
    variables: dict[str, np.ndarray], title: str, state: dict[str, Any], *, prefix: str
) -> None:
    for pair in _read_field(title, state, "variables", list):
        if not _is_pair(pair) or type(pair[0]) is not str or not _NAME.fullmatch(pair[0]):
            raise CheckpointError(f"a variable of the network {quote(title)} is no name and value")
        name = f"{prefix}{pair[0]}"
        if name in variables:
            raise CheckpointError(f"the variable {name} is there twice")
        variables[name] = _read_array(name, pair[1])


def _is_pair(pair: Any) -> bool:
    return type(pair) in (tuple, list) and len(pair) == 2


def _read_array(name: str, value: Any) -> np.ndarray:
    """A variable as an array, without a copy."""
    refuse_foreign(value, f"the variable {name}")
    if type(value) in (int, float):
        return np.asarray(float(value))
    if type(value) is not PickledArray:
        raise CheckpointError(f"the variable {name} is {quote(value)}, expected numbers")
    if value.array.dtype.kind != "f":
        raise CheckpointError(f"{name} holds {value.array.dtype.name}, expected floats")
    return value.array

"""A pickled network as its modules and tensors by dotted name, as in a torch state dict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from stylert.export.checkpoints.configs.config import Config
from stylert.export.checkpoints.safe_pickle.allow_list import PersistentObject, PickledObject
from stylert.export.checkpoints.safe_pickle.foreign import refuse_foreign, refuse_foreign_values
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.runtime.errors import CheckpointError

__all__ = ["Modules", "Reading", "walk_modules"]

MAX_MODULES = 10_000
MAX_DEPTH = 8
MAX_NAME = 64  # characters


@dataclass(frozen=True)
class Modules:
    """All modules of one network, by path ('' is the network itself), and all its tensors."""

    objects: dict[str, PersistentObject] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def find(self, path: str, name: str) -> Any:
        """A plain attribute of a module.

        Raises:
            CheckpointError: the module or its attribute is missing.
        """
        module = self.objects.get(path)
        if module is None:
            raise CheckpointError(f"the module {path} is missing")
        if name not in module.state:
            raise CheckpointError(f"{path} ({quote(module.class_name)}) has no attribute '{name}'")
        refuse_foreign(module.state[name], f"{path}.{name}")
        return module.state[name]

    def find_shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """The shape of a tensor.

        Raises:
            CheckpointError: it is missing, or has another number of dimensions.
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            raise CheckpointError(f"{name} is missing")
        if len(tensor.shape) != dimensions:
            raise CheckpointError(
                f"{name}: got shape {list(tensor.shape)}, expected {dimensions} dimensions"
            )
        return tensor.shape

    def read(self, name: str) -> np.ndarray:
        """A tensor as float32.

        Raises:
            CheckpointError: it reaches outside of its storage, or holds no floats.
        """
        try:
            return self.tensors[name].to_float32()
        except CheckpointError as error:
            raise CheckpointError(f"{name}: {error}") from None

    def count(self, pattern: str, numbers: Iterable[int]) -> int:
        """How many of numbered tensors there are, such as 'style.{}.weight', without a gap."""
        return sum(1 for _ in takewhile(lambda i: pattern.format(i) in self.tensors, numbers))

    def list_children(self, path: str) -> list[str]:
        """Names of a module's submodules."""
        prefix = f"{path}." if path else ""
        rest = [name[len(prefix) :] for name in self.objects if name and name.startswith(prefix)]
        return [name for name in rest if name and "." not in name]

    @property
    def num_elements(self) -> int:
        """Elements of all tensors together, as they are claimed."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())


@dataclass(frozen=True, eq=False)
class Reading:
    """What a reader makes of modules: the configuration, and how tensors become a checkpoint's."""

    config: Config
    format: str  # of the file, e.g. 'stylegan3 pickle'
    filled: Mapping[str, np.ndarray]  # tensors that the network lacks
    copies: Mapping[str, str] = field(default_factory=dict)  # tensors that must equal another one
    unused: frozenset[str] = frozenset()  # tensors that a layer holds and never uses
    classes: frozenset[str] = frozenset()  # names that the family's own modules have
    unknown_arguments: tuple[str, ...] = ()  # that it was made with
    notes: tuple[str, ...] = ()


def walk_modules(network: PersistentObject) -> Modules:
    """Walk through a network.

    Raises:
        CheckpointError: it is no tree of modules, or a foreign object is in it.
    """
    modules = Modules()
    seen: set[int] = set()
    waiting = [("", network)]
    while waiting:
        path, module = waiting.pop()
        if id(module) in seen or len(seen) > MAX_MODULES or path.count(".") > MAX_DEPTH:
            raise CheckpointError(f"the modules are no tree: {quote(path)} contains itself")
        seen.add(id(module))
        modules.objects[path] = module
        refuse_foreign_values(module.state, path)
        for kind in ("_parameters", "_buffers"):
            for name, tensor in _list_named(module, kind, path):
                refuse_foreign(tensor, name)
                if type(tensor) is not Tensor:
                    raise CheckpointError(f"{name} is no tensor")
                if modules.tensors.setdefault(name, tensor) is not tensor:
                    raise CheckpointError(f"{name} is there twice")
        for name, child in reversed(_list_named(module, "_modules", path)):
            refuse_foreign(child, name)
            child = _as_persistent(child)
            if type(child) is not PersistentObject:
                kind = getattr(child, "class_name", type(child).__name__)
                raise CheckpointError(f"not supported: {name} is a {quote(kind)} object")
            waiting.append((name, child))
    return modules


def _list_named(module: PersistentObject, kind: str, path: str) -> list[tuple[str, Any]]:
    """Full names and values of one of a module's dicts, but those that are None."""
    values = module.state.get(kind)
    if type(values) is not dict:
        raise CheckpointError(f"{quote(module.class_name)} at {quote(path)} has no {kind}")
    for name in values:
        if not _is_name(name):
            raise CheckpointError(f"{quote(name)} in {quote(path)} is no name")
    prefix = f"{path}." if path else ""
    return [(f"{prefix}{name}", value) for name, value in values.items() if value is not None]


def _as_persistent(child: Any) -> Any:
    """An Embedding of torch itself, as StyleGAN-XL has, like the modules beside it."""
    if type(child) is not PickledObject or child.class_name != "Embedding":
        return child
    return PersistentObject(child.class_name, child.state) if type(child.state) is dict else child


def _is_name(name: Any) -> bool:
    return type(name) is str and name.isidentifier() and name.isascii() and len(name) <= MAX_NAME

"""Plain attributes of a pickled network's modules, checked: what a reader of a family asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from stylert.export.checkpoints.configs.config import check_positive
from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.runtime.errors import CheckpointError

__all__ = ["read_clamp", "read_common", "read_typed"]

Plain = TypeVar("Plain", int, bool)


def read_common(modules: Modules, paths: Sequence[str], name: str) -> Any:
    """An attribute that must have the same plain value in all these modules.

    Raises:
        CheckpointError: it is missing in one of them, or not the same in all.
    """
    first = modules.find(paths[0], name)
    for path in paths:
        value = modules.find(path, name)
        if type(value) not in (bool, int, float, str, type(None)):
            raise CheckpointError(f"not supported: {path}.{name} is {quote(value)}")
        if value != first:
            raise CheckpointError(
                f"not supported: {name} is {quote(first)} in {paths[0]}, "
                f"and {quote(value)} in {path}"
            )
    return first


def read_clamp(modules: Modules, paths: Sequence[str]) -> float | None:
    """The bound of the activations, None = there is none.

    Raises:
        CheckpointError: it is no number above 0.
    """
    value = read_common(modules, paths, "conv_clamp")
    return None if value is None else check_positive("conv_clamp", value)


def read_typed(kind: type[Plain], modules: Modules, path: str, name: str) -> Plain:
    """An attribute that must be an int, or a bool.

    Raises:
        CheckpointError: it is missing, or of another type.
    """
    value = modules.find(path, name)
    if type(value) is not kind:
        expected = "True or False" if kind is bool else "an integer"
        raise CheckpointError(f"{path}.{name} is {quote(value)}, expected {expected}")
    return value

"""Directions in w that a bundle holds: the file directions.npz, and its directions by name.

For every set S, such as 'sefa_coarse', it has three arrays:

    S.vectors        [k, w_dim] float32, each of length 1, the strongest first
    S.eigenvalues    [k] float32: the square of how much the styles change along each
    S.layers         [n] int64: the ws that they are for
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["DirectionSet", "make_direction_arrays", "read_direction_sets", "name_directions"]

MAX_BYTES = 2**30  # of all directions in memory; those of an export take 3 MB with 18 x 512

_FIELDS = ("vectors", "eigenvalues", "layers")


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class DirectionSet:
    """Directions that were found together, the strongest first; see this file's docstring."""

    name: str
    vectors: np.ndarray  # [k, w_dim] float32
    eigenvalues: np.ndarray  # [k] float32
    layers: np.ndarray  # [n] int64

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its directions: the first of the set 'sefa_coarse' is 'sefa_coarse_0'."""
        return tuple(f"{self.name}_{i}" for i in range(len(self.vectors)))

    def row(self) -> dict[str, str]:
        """Names and layers by heading, for a table."""
        return {
            "directions": f"{self.names[0]} to {self.names[-1]}",
            "layers": ",".join(map(str, self.layers)),
        }


def make_direction_arrays(sets: Iterable[DirectionSet]) -> dict[str, np.ndarray]:
    """What directions.npz holds: the arrays by name."""
    return {f"{s.name}.{field}": getattr(s, field) for s in sets for field in _FIELDS}


def read_direction_sets(
    arrays: Mapping[str, np.ndarray], *, num_ws: int, w_dim: int
) -> tuple[DirectionSet, ...]:
    """The sets in the arrays of directions.npz.

    Raises:
        ValueError: they do not fit the generator, or each other.
        KeyError: one is missing.
    """
    names = [key.removesuffix(".vectors") for key in arrays if key.endswith(".vectors")]
    sets = tuple(
        DirectionSet(name, *(arrays[f"{name}.{field}"] for field in _FIELDS)) for name in names
    )
    for s in sets:
        k, n = s.vectors.shape[:1], s.layers.shape
        shapes = [array.shape for array in (s.vectors, s.eigenvalues, s.layers)]
        dtypes = [array.dtype for array in (s.vectors, s.eigenvalues, s.layers)]
        if shapes != [(*k, w_dim), k, n] or dtypes != [np.float32, np.float32, np.int64]:
            raise ValueError(f"{s.name!r:.40} has arrays of the shapes {shapes}")
        if not s.name.isprintable() or not len(s.vectors):
            raise ValueError(f"{s.name!r:.40} is no printable name, or a set of no directions")
        if len(n) != 1 or not all(0 <= layer < num_ws for layer in s.layers):
            raise ValueError(f"{s.name!r:.40} has the layers {s.layers!r:.40}")
        if not np.isfinite(s.vectors).all():
            raise ValueError(f"{s.name!r:.40} has a NaN or infinity")
    size = 4 * num_ws * w_dim * sum(len(s.vectors) for s in sets)
    if size > MAX_BYTES:
        raise ValueError(f"its directions take {size} bytes by name, expected up to {MAX_BYTES}")
    return sets


def name_directions(sets: Iterable[DirectionSet], *, num_ws: int) -> dict[str, np.ndarray]:
    """Every direction for itself: [num_ws, w_dim] float32, zero in the layers that it is not for.

    All are read-only.
    """
    directions = {}
    for s in sets:
        for name, vector in zip(s.names, s.vectors, strict=True):
            direction = np.zeros((num_ws, len(vector)), np.float32)
            direction[s.layers] = vector
            direction.setflags(write=False)
            directions[name] = direction
    return directions

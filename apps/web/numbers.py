"""The numbers of a bundle besides its graphs, as a site sends them: one file, and a table of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stylert.apps.web.packed_graphs import LEVELS
from stylert.runtime import Generator

__all__ = ["find_numbers", "join_numbers", "join_weights"]

ALIGNED = 8  # bytes: where arrays begin, as browsers want it
MOST_CLASSES = 64  # whose components are sent: 40 kB each


def find_numbers(generator: Generator, components: int) -> dict[str, np.ndarray]:
    """What the page needs to draw: the mean w, the noise, directions, principal components.

    Args:
        generator: that is drawn.
        components: how many principal components there are of each class; 0 = none.

    Returns:
        By name: 'w_avg', 'directions/SET' [k, w_dim], 'pca/CLASS' [k, w_dim] float32, and
        'noise/INPUT' [h, w], int16 with `LEVELS` for its largest number.
    """
    arrays = {"w_avg": generator.w_avg}
    for of in generator.bundle.read_directions():
        arrays[f"directions/{of.name}"] = of.vectors
    for i in range(max(generator.spec.c_dim, 1) if components else 0):
        class_idx = i if generator.spec.c_dim else None
        found = generator.pca(k=components, class_idx=class_idx)
        arrays[f"pca/{i}"] = found.components * found.stddev[:, None]
    for name, field in generator.bundle.read_noise().items():
        if field.any():
            arrays[f"noise/{name}"] = field[0, 0]
    return arrays


def join_numbers(arrays: Mapping[str, np.ndarray]) -> tuple[bytes, dict[str, Any]]:
    """One file of arrays, and where each lies in it.

    Noise is stored as 16-bit integers: its strength is small, and no picture shows the difference.

    Returns:
        The bytes, the lowest first; and by name 'offset' in bytes, 'length' in numbers, and the
        'factor' of integers.
    """
    data, table = bytearray(), {}
    for name, array in arrays.items():
        entry: dict[str, Any] = {"length": array.size}
        if name.startswith("noise/"):
            entry["factor"] = factor = float(np.abs(array).max()) / LEVELS
            entry["offset"] = _append(data, np.rint(array / factor).astype("<i2"))
        else:
            entry["offset"] = _append(data, array.astype("<f4"))
        table[name] = entry
    return bytes(data), table


def join_weights(
    weights: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[bytes, list[dict[str, Any]]]:
    """One file of the weights of a `PackedGraph`, and where each lies in it.

    Returns:
        The bytes, the lowest first; and of each weight its 'shape', where its 'integers' and its
        'factors' begin in bytes, and the 'factor_shape'.
    """
    data, table = bytearray(), []
    for integers, factors in weights:
        shape, factor_shape = list(integers.shape), list(factors.shape)
        factor_shape = [1] * (len(shape) - len(factor_shape)) + factor_shape
        entry = {"shape": shape, "integers": _append(data, integers.astype("<i2"))}
        entry |= {"factors": _append(data, factors.astype("<f4")), "factor_shape": factor_shape}
        table.append(entry)
    return bytes(data), table


def _append(data: bytearray, array: np.ndarray) -> int:
    """Put an array behind all others; gives where it begins."""
    data += bytes(-len(data) % ALIGNED)
    offset = len(data)
    data += array.tobytes()
    return offset

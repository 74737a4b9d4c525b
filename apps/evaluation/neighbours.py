"""Improved precision and recall, density and coverage: by balls around pictures, in features.

The ball of a picture reaches to its kth nearest neighbour in its own set. Precision is the share of
drawn pictures within a ball of the data, recall the reverse (Kynkäänniemi et al. 2019). Density
counts the balls that hold a drawn picture, coverage the balls that hold one (Naeem et al. 2020).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stylert.apps.evaluation.feature_sets import (
    check_alike,
    check_finite,
    count_dimensions,
)
from stylert.apps.evaluation.intervals import Estimate, estimate_mean, estimate_share
from stylert.apps.evaluation.moments import read_chunks
from stylert.runtime.arguments import check_integer
from stylert.runtime.errors import InvalidInput

__all__ = ["estimate_density_coverage", "estimate_precision_recall", "measure_distances"]

ROWS = 512  # of a part of the table of distances
ROUNDING = 1e-13  # of a squared distance, in squared lengths


def estimate_precision_recall(
    drawn: np.ndarray, data: np.ndarray, *, k: int = 3
) -> dict[str, Estimate]:
    """Improved precision and recall of features [N, d] and [M, d].

    The interval of each is for the balls that there are: it tells what other pictures of the set
    that is counted would give.

    Raises:
        InvalidInput: a set of k or fewer, no such arrays, other dimensions, or no finite numbers.
    """
    _check_sets(drawn, data, k)
    radii_data, radii_drawn = _find_radii(data, k=k), _find_radii(drawn, k=k)
    held = np.zeros(len(drawn), bool)
    holding = np.zeros(len(data), bool)
    for rows, squares in measure_distances(drawn, data):
        held[rows] = (squares <= radii_data).any(1)
        holding |= (squares <= radii_drawn[rows, None]).any(0)
    return {"precision": estimate_share(held), "recall": estimate_share(holding)}


def estimate_density_coverage(
    drawn: np.ndarray, data: np.ndarray, *, k: int = 5
) -> dict[str, Estimate]:
    """Density and coverage of features [N, d] and [M, d].

    Raises:
        InvalidInput: a set of k or fewer, no such arrays, other dimensions, or no finite numbers.
    """
    _check_sets(drawn, data, k)
    radii = _find_radii(data, k=k)
    counts = np.zeros(len(drawn))
    covered = np.zeros(len(data), bool)
    for rows, squares in measure_distances(drawn, data):
        inside = squares <= radii
        counts[rows] = inside.sum(1) / k
        covered |= inside.any(0)
    return {"density": estimate_mean(counts), "coverage": estimate_share(covered)}


def _find_radii(features: np.ndarray, *, k: int) -> np.ndarray:
    """The squared distance of each feature to its kth nearest neighbour in the set: [N] float64."""
    radii = np.empty(len(features))
    for rows, squares in measure_distances(features, features):
        own = np.arange(rows.start, rows.stop)
        squares[own - rows.start, own] = -1.0  # it is the nearest of itself, before its doubles
        radii[rows] = np.partition(squares, k, axis=1)[:, k]
    return radii


def measure_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of features [N, d] to others [M, d], some rows at a time.

    Yields:
        Which rows of x, and their distances [rows, M] float64.
    """
    centre = sum(chunk.sum(0) for chunk in read_chunks(y)) / len(y)  # they lie far from 0
    check_finite(centre)
    for start in range(0, len(x), ROWS):
        first = x[start : start + ROWS].astype(np.float64) - centre
        check_finite(first)
        parts = [_measure_squares(first, chunk - centre) for chunk in read_chunks(y)]
        yield slice(start, start + len(first)), np.concatenate(parts, axis=1)


def _measure_squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances [N, M]; of equal features exactly 0, which rounding would hide."""
    lengths = np.square(x).sum(1)[:, None] + np.square(y).sum(1)
    squares = lengths - 2 * (x @ y.T)
    squares[squares < ROUNDING * lengths] = 0
    return np.asarray(squares)


def _check_sets(drawn: np.ndarray, data: np.ndarray, k: int) -> None:
    check_integer("k", k, 1)
    check_alike(count_dimensions(drawn), count_dimensions(data))
    if (fewest := min(len(drawn), len(data))) <= k:
        raise InvalidInput(
            f"features: got {fewest} rows, expected more than k = {k}, the neighbours."
        )

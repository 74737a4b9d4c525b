"""Mean and covariance of features: of a set, in chunks, or as a file of statistics keeps them.

FID needs a *root* of each covariance, a matrix A with AᵀA = cov. Of fewer features than dimensions
that is the centred set itself, and else the R of its QR: neither is rounded as a square root of the
covariance would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stylert.apps.evaluation.feature_sets import check_finite, count_dimensions

__all__ = ["Moments", "Rooted", "measure_moments", "read_chunks", "root_features", "root_moments"]

CHUNK = 4096  # rows that are in memory as float64 at a time


@dataclass(frozen=True, eq=False)
class Moments:
    """What is kept of a set of features.

    Attributes:
        mean: [d] float64.
        cov: [d, d] float64, with the divisor that its maker took: n - 1, or n (NVlabs).
        count: of the features; None where a file does not tell.
    """

    mean: np.ndarray
    cov: np.ndarray
    count: int | None


@dataclass(frozen=True, eq=False)
class Rooted:
    """A mean [d] and a root [r, d] of the covariance: rootᵀ root = cov; float64."""

    mean: np.ndarray
    root: np.ndarray


def read_chunks(features: np.ndarray, rows: int | None = None) -> Iterator[np.ndarray]:
    """The features [N, d], which may lie in a file, as float64 [rows, d] at a time."""
    rows = CHUNK if rows is None else rows
    for start in range(0, len(features), rows):
        yield features[start : start + rows].astype(np.float64)


def measure_moments(features: np.ndarray) -> Moments:
    """Mean and covariance (divisor N - 1) of features [N, d], of which only a part is in memory.

    Raises:
        InvalidInput: fewer than 2, no such array, or no finite numbers.
    """
    d = count_dimensions(features)
    mean = _measure_mean(features)
    scatter = np.zeros((d, d))
    for chunk in read_chunks(features):
        centred = chunk - mean
        scatter += centred.T @ centred
    return Moments(mean, scatter / (len(features) - 1), len(features))


def root_features(features: np.ndarray) -> Rooted:
    """The mean and a root of the covariance of features [N, d]: [min(N, d), d].

    Raises:
        InvalidInput: fewer than 2, no such array, or no finite numbers.
    """
    N, d = len(features), count_dimensions(features)
    mean = _measure_mean(features)
    root: np.ndarray = np.zeros((0, d))
    for chunk in read_chunks(features, rows=max(CHUNK, 2 * d)):
        root = np.concatenate([root, chunk - mean])
        if d < min(N, len(root)):
            root = np.asarray(np.linalg.qr(root, mode="r"))
    return Rooted(mean, root / np.sqrt(N - 1))


def root_moments(moments: Moments) -> Rooted:
    """The mean and a root of the covariance of a file of statistics: [d, d].

    The root is Cholesky's; where the covariance has no full rank, that of its eigenvalues.
    """
    try:
        root = np.linalg.cholesky(moments.cov).T
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(moments.cov)
        root = np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T
    return Rooted(moments.mean, root)


def _measure_mean(features: np.ndarray) -> np.ndarray:
    total = np.zeros(features.shape[1])
    for chunk in read_chunks(features):
        total += chunk.sum(0)
    check_finite(total)
    return total / len(features)

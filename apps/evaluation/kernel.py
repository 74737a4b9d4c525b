"""KID: the maximum mean discrepancy of two sets of features, with the kernel (x·y / d + 1)³.

It is unbiased: its expectation does not depend on how many pictures there are, and it may be
negative. As in the field it is the mean over 100 random subsets of up to 1000 pictures, and told
with their standard deviation. The subsets are those of torch-fidelity with its default seed.
"""

from __future__ import annotations

import numpy as np

from stylert.apps.evaluation.feature_sets import (
    check_alike,
    check_finite,
    count_dimensions,
)
from stylert.apps.evaluation.intervals import Estimate
from stylert.runtime.arguments import check_integer

__all__ = ["estimate_kernel_distance", "measure_kernel_distance"]

SUBSETS = 100
SUBSET_SIZE = 1000
SEED = 2020


def measure_kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of two sets of m features each, [m, d].

    It is Σ_{i≠j} (k(x_i, x_j) + k(y_i, y_j)) / (m (m - 1)) - 2 Σ k(x_i, y_j) / m².

    Raises:
        InvalidInput: fewer than 2, no such arrays, another number of one, or no finite numbers.
    """
    check_alike(count_dimensions(x), count_dimensions(y))
    check_alike(len(x), len(y), "rows")
    m, x, y = len(x), x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    own = 0.0
    for features in (x, y):
        check_finite(features)
        kernel = _measure_kernel(features, features)
        own += (kernel.sum() - np.trace(kernel)) / (m * (m - 1))
    return float(own - 2 * _measure_kernel(x, y).mean())


def estimate_kernel_distance(
    x: np.ndarray,
    y: np.ndarray,
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = SEED,
) -> Estimate:
    """KID of two sets of features, [N, d] and [M, d].

    Args:
        x: of the generator.
        y: of the data.
        subsets: how many are drawn.
        subset_size: pictures of each, or as many as the smaller set has.
        seed: of the subsets.

    Returns:
        The mean; its spread is the standard deviation over the subsets, None where all subsets
        are the sets themselves.

    Raises:
        InvalidInput: fewer than 2 features, no such arrays, other dimensions, or no finite numbers.
    """
    check_integer("subsets", subsets, 1)
    check_integer("subset_size", subset_size, 2)
    check_alike(count_dimensions(x), count_dimensions(y))
    size = min(subset_size, len(x), len(y))
    if size == len(x) == len(y):
        return Estimate(measure_kernel_distance(x, y))
    random = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        first = x[random.choice(len(x), size, replace=False)]
        second = y[random.choice(len(y), size, replace=False)]
        values.append(measure_kernel_distance(first, second))
    return Estimate(float(np.mean(values)), spread=float(np.std(values)))


def _measure_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    kernel = x @ y.T / x.shape[1] + 1  # [m, m]
    return np.asarray(kernel * kernel * kernel)

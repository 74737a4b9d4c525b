"""Rounding constants to half precision so that what matters survives. NumPy only.

Pictures are smooth: most of what a filter makes of one is what it makes of a constant, which is the
sum of its taps. With every tap rounded by itself that sum is off in the fourth digit, everywhere in
the picture alike. So each tap takes up the error of the larger ones before it is rounded.
"""

from __future__ import annotations

import numpy as np

__all__ = ["HALF_MAX", "round_filter", "round_weight"]

HALF_MAX = 65504.0  # the largest finite number of half precision
MEASURED = 256  # images that tell what it has to hold, where no clamp does

SCALES = 2.0 ** -np.linspace(0, 1, 16, endpoint=False)  # how well one rounds is a matter of luck


def round_filter(fir: np.ndarray, *, phases: int = 1) -> np.ndarray:
    """Round a filter, and keep what every phase makes of a constant.

    Args:
        fir: [t] or [t, t].
        phases: factor of the upsampling that it follows.

    Returns:
        Values that half precision has, as float64.
    """
    rounded = np.zeros(fir.shape)
    for first in np.ndindex((phases,) * fir.ndim):
        phase = tuple(slice(start, None, phases) for start in first)
        taps = fir[phase].astype(np.float64)
        order = np.argsort(-np.abs(taps), axis=None)
        rounded_taps = np.zeros(taps.size)
        rounded_taps[order] = _round(taps.ravel()[order][:, None])[:, 0]
        rounded[phase] = rounded_taps.reshape(taps.shape)
    return rounded


def round_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round the weight of a convolution, and keep what every kernel makes of a constant.

    Args:
        weight: [O, I, k, k].

    Returns:
        The rounded weight, of values that half precision has, as float64, and factors [O] from 0.5
        to 1: it is about the given weight times these.
    """
    wide_out, wide_in = weight.shape[:2]
    kernels = weight.reshape(wide_out, wide_in, -1).astype(np.float32)  # enough to choose by
    order = np.argsort(-np.abs(kernels), axis=2)
    taps = np.take_along_axis(kernels, order, axis=2).transpose(2, 0, 1)  # [k k, O, I]
    best = np.full(wide_out, np.inf)
    rounded, factors = np.zeros_like(taps), np.ones(wide_out)
    for scale in SCALES.tolist():
        candidate = _round(taps * scale)
        error = candidate / scale - taps
        # The inputs differ, and have a mean: what the errors sum to counts as much as their power.
        badness = np.square(error).sum(axis=(0, 2)) + np.square(error.sum(axis=(0, 2)))
        better = badness < best
        best[better], factors[better] = badness[better], scale
        rounded[:, better] = candidate[:, better]
    np.put_along_axis(kernels, order, rounded.transpose(1, 2, 0), axis=2)
    return kernels.astype(np.float64).reshape(weight.shape), factors


def _round(taps: np.ndarray) -> np.ndarray:
    """Round [n, ...], the largest first; each one takes up the error of those before it."""
    rounded = np.zeros_like(taps)
    error = np.zeros_like(taps[0])
    for i, tap in enumerate(taps):
        rounded[i] = (tap + error).astype(np.float16)
        error += tap - rounded[i]
    return rounded

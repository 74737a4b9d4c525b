"""Rounding constants to half precision so that what matters survives. NumPy only.

Pictures are smooth: what a filter makes of a constant is most of what it makes at all, and that is
the sum of its taps. Rounding every tap by itself changes the sum by as much as the picture's own
detail where a network has little of it; here each tap takes up the error of the larger ones.
"""

from __future__ import annotations

import numpy as np

__all__ = ["round_filter", "round_kernels"]


def round_kernels(kernels: np.ndarray) -> np.ndarray:
    """Round the kernels of a convolution, and keep the sum of each.

    Args:
        kernels: [..., k, k].

    Returns:
        Values of half precision, as float64; the sum of a kernel is off by half a unit in the last
        place of its smallest tap, or of 1e-7 where that is larger.
    """
    rows = kernels.astype(np.float64).reshape(-1, kernels.shape[-2] * kernels.shape[-1])
    return _round_rows(rows).reshape(kernels.shape)


def round_filter(fir: np.ndarray, *, phases: int = 1) -> np.ndarray:
    """Round a filter, and keep the sum of every phase: its response to a constant.

    Args:
        fir: [t] or [t, t].
        phases: factor of the upsampling that it follows.

    Returns:
        Values of half precision, as float64.
    """
    rounded = np.zeros(fir.shape)
    for start in np.ndindex((phases,) * fir.ndim):
        phase = tuple(slice(first, None, phases) for first in start)
        taps = fir[phase].astype(np.float64)
        rounded[phase] = _round_rows(taps.reshape(1, -1)).reshape(taps.shape)
    return rounded


def _round_rows(rows: np.ndarray) -> np.ndarray:
    """Round [R, n], largest first; the next one in a row takes up the error."""
    order = np.argsort(-np.abs(rows), axis=1, kind="stable")
    rounded = np.zeros(rows.shape)
    error = np.zeros(len(rows))
    for at in order.T:
        here = np.arange(len(rows)), at
        wanted = rows[here] + error
        rounded[here] = wanted.astype(np.float16)
        error = wanted - rounded[here]
    return rounded

"""Estimates with their intervals: what other pictures, as many, would have given.

Of a mean over pictures the interval is that of its standard error; of a share of pictures it is
Wilson's, which stays within 0 and 1 and is not empty at its ends; of what is no mean, as FID, a
jackknife leaves a group of pictures out at a time. All are of 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Estimate", "estimate_mean", "estimate_share", "leave_out_groups"]

WIDTH = 1.96  # standard errors on each side: 95 % of a normal distribution


@dataclass(frozen=True)
class Estimate:
    """A figure.

    Attributes:
        value: the figure itself, of all pictures.
        error: its standard error, None = not known.
        spread: the standard deviation over subsets, of KID alone.
        share_of: pictures of which it is a share, None = it is no share.
    """

    value: float
    error: float | None = None
    spread: float | None = None
    share_of: int | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The least and the most, with 95 %; None where that is not known.

        None of the figures that have one can be below 0.
        """
        if self.share_of is not None:
            return _find_wilson(self.value, self.share_of)
        if self.error is None:
            return None
        low = max(self.value - WIDTH * self.error, min(self.value, 0.0))  # rounding below 0 stays
        return low, self.value + WIDTH * self.error

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        told: dict[str, Any] = {"value": self.value}
        if (interval := self.interval) is not None:
            told["interval95"] = list(interval)
        if self.spread is not None:
            told["spread"] = self.spread
        return told


def estimate_mean(values: np.ndarray) -> Estimate:
    """The mean of one value a picture [N], and its standard error."""
    values = np.asarray(values, np.float64)
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Estimate(float(values.mean()), error)


def estimate_share(held: np.ndarray) -> Estimate:
    """The share of pictures that have something, of a truth value each [N]."""
    return Estimate(float(np.mean(held)), share_of=len(held))


def leave_out_groups(
    value: float,
    sets: Sequence[np.ndarray],
    measure: Callable[[list[np.ndarray]], float],
    *,
    groups: int,
    together: bool,
) -> Estimate:
    """The standard error of a figure by the jackknife: every nth picture is left out in turn.

    Args:
        value: the figure of all pictures.
        sets: features [N, d] each.
        measure: gives the figure of what is left of the sets.
        groups: how many times pictures are left out.
        together: the sets are of the same pictures, whose rows are left out of all at once; else
            of one set after the other, and the errors add up.
    """
    variance = 0.0
    for turn in [range(len(sets))] if together else [[i] for i in range(len(sets))]:
        left = [
            measure([_drop(s, g, groups) if i in turn else s for i, s in enumerate(sets)])
            for g in range(groups)
        ]
        variance += (groups - 1) * float(np.var(left))
    return Estimate(value, float(np.sqrt(variance)))


def _find_wilson(share: float, count: int) -> tuple[float, float]:
    """The score interval of a share."""
    squared = WIDTH**2 / count
    centre = (share + squared / 2) / (1 + squared)
    half = np.sqrt(squared * (share * (1 - share) + squared / 4)) / (1 + squared)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _drop(features: np.ndarray, group: int, groups: int) -> np.ndarray:
    return np.asarray(features[np.arange(len(features)) % groups != group])

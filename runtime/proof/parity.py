"""How close is close enough: the one comparison, the one table of tolerances, and the two gates.

Two right programs round differently, and some networks amplify that. So float32 is judged by the
mean square, which tells a wrong graph from a right one by a factor of hundreds, and by two gates:

1. The picture is as close to the reference in float32 as those of ordinary networks are.
2. Where it is not, it is about as close to the truth, float64, as the reference itself is.

All differences are on the scale of their picture: [-1, 1], or half its range where that is more.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stylert.runtime.generator import Generator

__all__ = [
    "CHAOTIC_RMS",
    "CODES",
    "LEAST_RANGE",
    "MAX_FACTOR",
    "MAX_SHARE_OFF",
    "RMS_FACTOR",
    "RMS_FLOOR",
    "STORED_WEIGHTS",
    "TOLERANCES",
    "WEIGHT_FLOORS",
    "Difference",
    "RoundingError",
    "Tolerance",
    "batch_difference",
    "compare",
    "compare_each",
    "judge",
    "measure_excess",
    "find_worst",
]


@dataclass(frozen=True)
class Tolerance:
    """What a comparison must reach."""

    rms: float = math.inf  # root of the mean square of a picture's differences
    max_abs: float = math.inf  # largest difference
    psnr_db: float = -math.inf  # peak signal-to-noise ratio, over the reference's own range

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types; an infinite bound is None."""
        return {k: None if math.isinf(v) else v for k, v in vars(self).items()}


# Right graphs lie at an rms of 2e-7 to 8e-7, one bias that is off by 0.1 % at 2e-5 and more.
# A bundle whose weights were rounded has to draw what those draw, as any other bundle; what the
# rounding costs is compared by itself.
STORED_WEIGHTS = "stored weights"
WEIGHT_FLOORS = {"int16": 80.0, "int8": 40.0}  # PSNR in dB; the user may set another
TOLERANCES = {
    "fp32": Tolerance(rms=4e-6, max_abs=1e-4),
    "fp16": Tolerance(psnr_db=60),  # the official half path reaches 74 dB
}

# The second gate, in units of what float32 of the reference is off. Measured: a right graph's rms
# is at most 1.25 of it and its maximum 1.5; one wrong bias is 28 and more. Raise them only with a
# measured case.
RMS_FACTOR = 4.0
MAX_FACTOR = 8.0
RMS_FLOOR = 1e-7  # of the reference's rms: float32 itself has no more digits
CHAOTIC_RMS = 1e-3  # a network whose float32 is further off proves nothing

CODES = 1e-4  # difference of an encoder's codes in float32, of their range

MAX_SHARE_OFF = 0.02  # of float32's bytes: a float off by 1e-4 is 0.013 of a step from its edge
LEAST_RANGE = 0.05  # of a picture for its PSNR: a flatter one counts as if it had this


@dataclass(frozen=True)
class Difference:
    """How far a candidate is from its reference, over the worst of several pictures."""

    rms: float
    max_abs: float
    psnr_db: float  # infinite if equal
    finite: bool

    def within(self, tolerance: Tolerance) -> bool:
        """Whether the difference is finite and within a tolerance."""
        return self.finite and self.excess(tolerance) <= 1

    def excess(self, tolerance: Tolerance) -> float:
        """How many times too large it is: 1 is just within the tolerance."""
        if not self.finite:
            return math.inf
        return max(
            self.rms / tolerance.rms,
            self.max_abs / tolerance.max_abs,
            10 ** ((tolerance.psnr_db - self.psnr_db) / 20) if self.psnr_db < math.inf else 0.0,
        )

    def worst(self, other: Difference) -> Difference:
        """The worse of two in every respect."""
        return Difference(
            max(self.rms, other.rms),
            max(self.max_abs, other.max_abs),
            min(self.psnr_db, other.psnr_db),
            self.finite and other.finite,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types; what is infinite is None."""
        return {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in vars(self).items()
        }


@dataclass(frozen=True)
class RoundingError:
    """How far the reference's float32 is from float64: what a network makes of rounding alone."""

    rms: float  # over all pictures together
    max_abs: float
    pictures: int

    @property
    def chaotic(self) -> bool:
        """Whether float32 says nothing about this network: no graph of it can be proven."""
        return not self.rms <= CHAOTIC_RMS

    def tolerance(self) -> Tolerance:
        """What the second gate asks for."""
        return Tolerance(
            rms=RMS_FACTOR * max(self.rms, RMS_FLOOR),
            max_abs=max(TOLERANCES["fp32"].max_abs, MAX_FACTOR * self.max_abs),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RoundingError:
        """What `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(float(data["rms"]), float(data["max_abs"]), int(data["pictures"]))

    @classmethod
    def measure(cls, exact: np.ndarray, reference: np.ndarray) -> RoundingError:
        """Compare pictures [N, ...] in float64 with the same ones in float32."""
        return cls.gather(compare_each(exact, reference))

    @classmethod
    def gather(cls, each: Sequence[Difference]) -> RoundingError:
        """The error of all pictures from that of each."""
        worst = find_worst(each)
        if not worst.finite:
            return cls(math.inf, math.inf, len(each))
        rms = math.sqrt(sum(one.rms**2 for one in each) / len(each))
        return cls(rms, worst.max_abs, len(each))


def compare(reference: np.ndarray, candidate: np.ndarray) -> Difference:
    """Compare picture by picture and give the worst of them.

    Args:
        reference: [N, ...].
        candidate: of the same shape.

    Raises:
        ValueError: the shapes differ, or there is nothing to compare.
    """
    return find_worst(compare_each(reference, candidate))


def compare_each(reference: np.ndarray, candidate: np.ndarray) -> list[Difference]:
    """Compare picture by picture.

    Args:
        reference: [N, ...]; the unit of integers is one step.
        candidate: of the same shape.

    Raises:
        ValueError: the shapes differ, or there is nothing to compare.
    """
    if reference.shape != candidate.shape:
        raise ValueError(f"shapes differ: {reference.shape} and {candidate.shape}")
    if not reference.size:
        raise ValueError(f"nothing to compare: {reference.shape}")
    return [_difference(a, b) for a, b in zip(reference, candidate, strict=True)]


def find_worst(differences: Iterable[Difference]) -> Difference:
    """The worst of several in every respect."""
    return functools.reduce(Difference.worst, differences)


def judge(
    difference: Difference, precision: str = "fp32", error: RoundingError | None = None
) -> int:
    """Which gate a comparison passes.

    Args:
        difference: from the reference in float32; in gate 2 it may be from float64 instead.
        precision: of the candidate, a key of `TOLERANCES`.
        error: of the reference, None = it is not known.

    Returns:
        1 or 2, or 0 for none. Only float32 has a second gate.
    """
    if difference.within(TOLERANCES[precision]):
        return 1
    if precision != "fp32" or error is None:
        return 0
    return 2 if difference.within(error.tolerance()) else 0


def measure_excess(
    difference: Difference, precision: str = "fp32", error: RoundingError | None = None
) -> float:
    """How many times too large a difference is for the gate that it comes closest to.

    The arguments are those of `judge`, which passes what is at most 1.
    """
    ratios = [difference.excess(TOLERANCES[precision])]
    if precision == "fp32" and error is not None:
        ratios.append(difference.excess(error.tolerance()))
    return min(ratios)


def batch_difference(generator: Generator) -> Difference:
    """Compare images drawn together with the same ones drawn one by one. Needs no checkpoint."""
    options: dict[str, Any] = {"output": "img"}
    if generator.spec.c_dim:
        options["class_idx"] = 0
    together = generator.generate(range(3), **options)
    alone = [generator.generate(seed, **options) for seed in range(3)]
    return compare(np.concatenate(alone), together)


def _difference(reference: np.ndarray, candidate: np.ndarray) -> Difference:
    if not (np.isfinite(reference).all() and np.isfinite(candidate).all()):
        return Difference(math.inf, math.inf, -math.inf, False)
    delta = candidate.astype(np.float64) - reference
    reach = float(reference.max()) - float(reference.min())
    scale = 1.0 if reference.dtype.kind in "iu" else max(1.0, reach / 2)
    rms = math.sqrt(float(np.mean(np.square(delta))))
    psnr = 20 * math.log10(max(reach, LEAST_RANGE) / rms) if rms else math.inf
    return Difference(rms / scale, float(np.abs(delta).max()) / scale, psnr, True)

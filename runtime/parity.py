"""How close is close enough: the one comparison and the one table of tolerances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stylert.runtime.generator import Generator

__all__ = ["TOLERANCES", "Difference", "Tolerance", "batch_difference", "compare"]


@dataclass(frozen=True)
class Tolerance:
    """What a comparison must reach."""

    max_abs: float  # largest difference, on outputs of a [-1, 1] scale
    psnr_db: float  # peak signal-to-noise ratio, over the reference's own range

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types; an infinite bound is None."""
        return {k: None if math.isinf(v) else v for k, v in vars(self).items()}


# float32 rounding alone moves the original implementations' images by 1.5e-5 where they reach +-5.
TOLERANCES = {
    "reference": Tolerance(max_abs=5e-5, psnr_db=80),  # our PyTorch against the official outputs
    "fp32": Tolerance(max_abs=1e-4, psnr_db=70),
    "fp16": Tolerance(max_abs=math.inf, psnr_db=60),  # the official half path reaches 74 dB
}


@dataclass(frozen=True)
class Difference:
    """How far a candidate is from its reference, over the worst of several arrays."""

    max_abs: float
    psnr_db: float  # of the worst array; infinite if equal
    finite: bool

    def within(self, tolerance: Tolerance) -> bool:
        """Whether the difference is finite and within a tolerance."""
        return (
            self.finite and self.max_abs <= tolerance.max_abs and self.psnr_db >= tolerance.psnr_db
        )

    def worst(self, other: Difference) -> Difference:
        """The worse of two in every respect."""
        return Difference(
            max(self.max_abs, other.max_abs),
            min(self.psnr_db, other.psnr_db),
            self.finite and other.finite,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types; what is infinite is None."""
        psnr = None if math.isinf(self.psnr_db) else self.psnr_db
        max_abs = None if math.isinf(self.max_abs) else self.max_abs
        return {"max_abs": max_abs, "psnr_db": psnr, "finite": self.finite}


def compare(reference: np.ndarray, candidate: np.ndarray) -> Difference:
    """Compare row by row (an image each) and give the worst of the rows.

    Args:
        reference: [N, ...].
        candidate: of the same shape.

    Raises:
        ValueError: the shapes differ, or there is nothing to compare.
    """
    if reference.shape != candidate.shape:
        raise ValueError(f"shapes differ: {reference.shape} and {candidate.shape}")
    if not reference.size:
        raise ValueError(f"nothing to compare: {reference.shape}")
    worst = Difference(0.0, math.inf, True)
    for expected, got in zip(reference, candidate, strict=True):
        worst = worst.worst(_difference(expected, got))
    return worst


def batch_difference(generator: Generator, seeds: Sequence[int] = (0, 1, 2)) -> Difference:
    """Compare images drawn together with the same ones drawn one by one. Needs no checkpoint."""
    options: dict[str, Any] = {"output": "img"}
    if generator.spec.c_dim:
        options["class_idx"] = 0
    together = generator.generate(seeds, **options)
    alone = [generator.generate(seed, **options) for seed in seeds]
    return compare(np.concatenate(alone), together)


def _difference(reference: np.ndarray, candidate: np.ndarray) -> Difference:
    if not (np.isfinite(reference).all() and np.isfinite(candidate).all()):
        return Difference(math.inf, -math.inf, False)
    delta = candidate.astype(np.float64) - reference
    error = float(np.mean(np.square(delta)))
    scale = float(reference.max()) - float(reference.min())
    psnr = math.inf
    if error:
        psnr = 10 * math.log10(scale**2 / error) if scale else -math.inf
    return Difference(float(np.abs(delta).max()), psnr, True)

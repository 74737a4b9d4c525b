"""Evaluation: how good a generator is, and how much its deployment changed it.

The figures are those of the field, computed with NumPy from features that any ONNX network gives.
"""

from stylert.apps.evaluation.frechet import estimate_frechet, measure_frechet
from stylert.apps.evaluation.intervals import Estimate, estimate_mean
from stylert.apps.evaluation.kernel import estimate_kernel_distance, measure_kernel_distance
from stylert.apps.evaluation.moments import Moments, measure_moments
from stylert.apps.evaluation.neighbours import (
    estimate_density_coverage,
    estimate_precision_recall,
)

__all__ = ["Estimate", "Moments"]
__all__ += ["estimate_density_coverage", "estimate_frechet", "estimate_kernel_distance"]
__all__ += ["estimate_mean", "estimate_precision_recall"]
__all__ += ["measure_frechet", "measure_kernel_distance", "measure_moments"]

"""How good the pictures are: FID, class accuracy, and diversity within each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylert.apps.evaluation import measure_frechet
from stylert.examples.train_demo.dataset import CLASSES
from stylert.examples.train_demo.features import Reading

__all__ = ["Quality", "measure_accuracy", "mean_distance", "measure_quality"]


@dataclass(frozen=True)
class Quality:
    """How pictures compare with the data set, by one feature extractor."""

    fid: float
    accuracy: dict[str, float]  # by class: share that is read as the class asked for
    diversity: dict[str, float]  # by class: mean distance of two, over that of the data set


def measure_quality(drawn: Reading, asked: NDArray[np.int64], real: Reading) -> Quality:
    """Compare pictures that were drawn for the classes `asked` [N] with the data set's."""
    diversity = {}
    for label, name in enumerate(CLASSES):
        mine = mean_distance(drawn.features[asked == label])
        diversity[name] = mine / mean_distance(real.features[real.labels == label])
    return Quality(
        fid=measure_frechet(drawn.features, real.features),
        accuracy=measure_accuracy(drawn.labels, asked),
        diversity=diversity,
    )


def measure_accuracy(read: NDArray[np.int64], asked: NDArray[np.int64]) -> dict[str, float]:
    """Share of the pictures of each class that are read as it."""
    return {
        name: float((read[asked == label] == label).mean()) for label, name in enumerate(CLASSES)
    }


def mean_distance(features: NDArray[np.float64]) -> float:
    """Mean Euclidean distance of two different rows of features [N, F]."""
    squares = np.square(features).sum(axis=1)
    squared = squares[:, None] + squares[None] - 2 * features @ features.T
    N = len(features)
    return float(np.sqrt(np.maximum(squared, 0)).sum() / (N * (N - 1)))

"""`evaluate`: pictures of a generator against those of a data set, as features see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stylert.apps.evaluation.extraction import NO_CLASS, Features, Progress
from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.apps.evaluation.frechet import Distribution, estimate_frechet
from stylert.apps.evaluation.intervals import Estimate
from stylert.apps.evaluation.kernel import estimate_kernel_distance
from stylert.apps.evaluation.moments import Moments, read_chunks
from stylert.apps.evaluation.neighbours import (
    estimate_density_coverage,
    estimate_precision_recall,
)
from stylert.runtime.arguments import check_choice
from stylert.runtime.errors import InvalidInput

__all__ = ["METRICS", "Evaluation", "check_classes", "check_counts", "check_features", "evaluate"]

METRICS = ("fid", "kid", "pr", "dc")
LEAST = {"fid": 2, "kid": 2, "pr": 4, "dc": 6}  # pictures of a set: more than the neighbours


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found.

    Attributes:
        network: what the features are, as `FeatureNetwork.describe` tells it.
        drawn: pictures of the generator.
        data: pictures of the data set, None where a file of statistics does not tell.
        figures: by name: 'fid', 'kid', 'precision', 'recall', 'density', 'coverage'.
        by_class: the same, of the pictures of one class each.
    """

    network: Mapping[str, Any]
    drawn: int
    data: int | None
    figures: Mapping[str, Estimate]
    by_class: Mapping[int, Mapping[str, Estimate]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        told = {
            "network": dict(self.network),
            "drawn": self.drawn,
            "data": self.data,
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
        }
        if self.by_class:
            told["by_class"] = {
                str(c): {name: figure.to_json() for name, figure in figures.items()}
                for c, figures in self.by_class.items()
            }
        return told


def evaluate(
    drawn: Features,
    data: Features | Moments,
    network: FeatureNetwork,
    metrics: Sequence[str] = METRICS,
    *,
    by_class: bool = False,
    one_picture: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> Evaluation:
    """The figures of drawn pictures against a data set.

    Args:
        drawn: of the generator.
        data: of the data set; its moments alone do for FID.
        network: which made the features.
        metrics: of `METRICS`: 'pr' is precision and recall, 'dc' density and coverage.
        by_class: tell them of each class, too.
        one_picture: the drawn pictures may all be the same, as they are with a psi of 0.
        progress: see `Progress`.

    Raises:
        InvalidInput: another metric, one that moments do not give, too few pictures, or features
            that do not vary.
    """
    for metric in metrics:
        check_choice("metrics", metric, METRICS)
    if isinstance(data, Moments) and (more := [m for m in metrics if m != "fid"]):
        raise InvalidInput(
            f"metrics: got {more[0]!r} with statistics, which give FID alone, expected the data."
        )
    check_counts(metrics, len(drawn.rows), len(data.rows) if isinstance(data, Features) else None)
    check_features(drawn.rows, "the drawn pictures", one_picture=one_picture)
    if isinstance(data, Features):
        check_features(data.rows, "the data")
    reference: Distribution = data if isinstance(data, Moments) else data.rows
    figures: dict[str, Estimate] = {}
    for done, metric in enumerate(metrics):
        progress("comparing", done, len(metrics))
        figures |= _measure(metric, drawn.rows, reference)
    classes: dict[int, Mapping[str, Estimate]] = {}
    if by_class:
        classes = _measure_classes(drawn, data, metrics)
    progress("comparing", len(metrics), len(metrics))
    count = data.count if isinstance(data, Moments) else len(data.rows)
    return Evaluation(network.describe(), len(drawn.rows), count, figures, classes)


def check_counts(metrics: Sequence[str], drawn: int, data: int | None, of: str = "") -> None:
    """Refuse sets that are too small for a metric.

    Args:
        metrics: of `METRICS`.
        drawn: pictures of the generator.
        data: pictures of the data set; None where that is not known.
        of: more about both, such as ' of class 3'.

    Raises:
        InvalidInput: they are.
    """
    for metric in metrics:
        for count, what in ((drawn, "drawn pictures"), (data, "pictures of the data")):
            if count is not None and count < LEAST[metric]:
                raise InvalidInput(
                    f"metrics: got {metric!r} with {count} {what}{of}, expected at least "
                    f"{LEAST[metric]}."
                )


def check_classes(drawn: np.ndarray, data: np.ndarray, metrics: Sequence[str]) -> list[int]:
    """The classes that both sets have, by the class [N] of each picture.

    Raises:
        InvalidInput: there are none, or one has too few pictures for a metric.
    """
    both = sorted(set(drawn.tolist()) & set(data.tolist()) - {NO_CLASS})
    if not both:
        raise InvalidInput(
            "by_class: got no class that the data and the drawn pictures have in common. A folder "
            "or zip file tells its classes in dataset.json or manifest.jsonl, shards in .cls "
            "members."
        )
    for number in both:
        counts = [int((classes == number).sum()) for classes in (drawn, data)]
        check_counts(metrics, counts[0], counts[1], f" of class {number}")
    return both


def check_features(features: np.ndarray, of: str, *, one_picture: bool = False) -> None:
    """Refuse features that are not finite, or all the same.

    Args:
        features: [N, d].
        of: what they are of.
        one_picture: they may be all the same.

    Raises:
        InvalidInput: they are.
    """
    if len(features) < 2:
        raise InvalidInput(f"samples: got {len(features)} of {of}, expected at least 2.")
    varies = one_picture
    for chunk in read_chunks(features):
        if not np.isfinite(chunk).all():
            raise InvalidInput(f"features: got numbers that are not finite for {of}.")
        varies = varies or bool((chunk != features[0]).any())
    if not varies:
        raise InvalidInput(
            f"features: got equal ones for all {len(features)} of {of}, expected pictures that "
            "vary."
        )


def _measure(metric: str, drawn: np.ndarray, data: Distribution) -> dict[str, Estimate]:
    if metric == "fid":
        return {"fid": estimate_frechet(drawn, data)}
    assert isinstance(data, np.ndarray)
    if metric == "kid":
        return {"kid": estimate_kernel_distance(drawn, data)}
    if metric == "pr":
        return estimate_precision_recall(drawn, data)
    return estimate_density_coverage(drawn, data)


def _measure_classes(
    drawn: Features, data: Features | Moments, metrics: Sequence[str]
) -> dict[int, Mapping[str, Estimate]]:
    if isinstance(data, Moments):
        raise InvalidInput("by_class: got statistics, which are of all classes; pass the data.")
    found: dict[int, Mapping[str, Estimate]] = {}
    for number in check_classes(drawn.classes, data.classes, metrics):
        first = drawn.rows[drawn.classes == number]
        second = data.rows[data.classes == number]
        figures: dict[str, Estimate] = {}
        for metric in metrics:
            figures |= _measure(metric, first, second)
        found[number] = figures
    return found

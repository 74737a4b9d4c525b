"""The numbers of the service, given to Ray, too: its endpoint has those of all replicas.

What GET /metrics gives is of the one replica that answers. Ray's numbers have the same names and
labels, behind 'ray_', and say of which replica they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from stylert.apps.serving.metrics import COUNTED, Metrics

__all__ = ["Twins", "tell_ray"]


def tell_ray(metrics: Metrics) -> Callable[[], None]:
    """Have Ray count and time, from now on, what a service does. In a replica only.

    Args:
        metrics: of the service; its counters and histograms get twins.

    Returns:
        tells Ray of what goes up and down, which has to be done again and again.
    """
    from ray.serve.metrics import Counter, Gauge, Histogram

    for name, (title, text, labels, bounds) in COUNTED.items():
        kind = partial(Histogram, boundaries=list(bounds)) if bounds else Counter
        twin = kind(title, text, tag_keys=labels)
        setattr(metrics, name, Twins(getattr(metrics, name), twin, labels))
    gauges: dict[str, Gauge] = {}

    def tell() -> None:
        for family in text_string_to_metric_families(metrics.text().decode()):
            if family.type == "gauge" and family.name.startswith("stylert_"):
                gauge = gauges.setdefault(family.name, Gauge(family.name, family.documentation))
                gauge.set(family.samples[0].value)

    return tell


class Twins:
    """A counter or histogram of ours, and Ray's, which get the same numbers.

    Args:
        ours: of prometheus_client.
        theirs: of Ray.
        names: of the labels.
        values: of the labels.
    """

    def __init__(
        self, ours: Any, theirs: Any, names: tuple[str, ...], values: tuple[str, ...] = ()
    ) -> None:
        self._ours = ours
        self._theirs = theirs
        self._names = names
        self._labels = dict(zip(names, values, strict=False))

    def labels(self, *values: str) -> Twins:
        """Those of such labels."""
        return Twins(self._ours.labels(*values), self._theirs, self._names, values)

    def inc(self, amount: float = 1) -> None:
        """Count on."""
        self._ours.inc(amount)
        if amount > 0:
            self._theirs.inc(amount, tags=self._labels)

    def observe(self, value: float) -> None:
        """Put a value into its bucket."""
        self._ours.observe(value)
        self._theirs.observe(value, tags=self._labels)

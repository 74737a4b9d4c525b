"""The mean and the deviation of w, of ten thousand samples."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from stylert.runtime import Generator

__all__ = ["LatentStatistics", "measure_latents"]

SAMPLES = 10_000
SEED = 123
AT_ONCE = 1000


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class LatentStatistics:
    """What w is like.

    Attributes:
        mean: [w_dim] float32.
        deviation: the root of the mean square distance from it.
    """

    mean: np.ndarray
    deviation: float


def measure_latents(generator: Generator) -> LatentStatistics:
    """Map latents of one seed, of all classes in turns, and see where their w lie.

    A generator is measured once: it takes as long as many a step.
    """
    if generator not in _MEASURED:
        _MEASURED[generator] = _measure(generator)
    return _MEASURED[generator]


def _measure(generator: Generator) -> LatentStatistics:
    random = np.random.RandomState(SEED)
    classes = np.eye(generator.spec.c_dim, dtype=np.float32)
    found = []
    for start in range(0, SAMPLES, AT_ONCE):
        z = random.standard_normal((AT_ONCE, generator.spec.z_dim)).astype(np.float32)
        c = None
        if generator.spec.c_dim:
            c = classes[np.arange(start, start + AT_ONCE) % len(classes)]
        found.append(generator.map(z, c, truncation_psi=1)[:, 0])
    ws = np.concatenate(found).astype(np.float64)
    mean = ws.mean(0)
    deviation = float(np.sqrt(np.square(ws - mean).sum(1).mean()))
    return LatentStatistics(mean.astype(np.float32), deviation)


_MEASURED: WeakKeyDictionary[Generator, LatentStatistics] = WeakKeyDictionary()

"""The mean and the deviation of w, of ten thousand samples."""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from stylert.runtime import Bundle, Generator
from stylert.runtime.files.arrays import read_headers
from stylert.runtime.files.publishing import publish_bytes
from stylert.runtime.files.user_folders import find_cache_folder

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

    It takes as long as many a step. So an open bundle is measured once, and what was found is kept
    in this user's cache folder, by the mapping graph and what has run it, for the next process.
    """
    bundle = generator.bundle  # another one after a refit
    if bundle not in _MEASURED:
        key = _make_key(generator)
        found = _read_kept(key, generator.spec.w_dim)
        if found is None:
            found = _measure(generator)
            _keep(key, found)
        _MEASURED[bundle] = found
    return _MEASURED[bundle]


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


def _make_key(generator: Generator) -> str:
    """A name of what decides the statistics: the graph, and what runs it."""
    ran = {name: fact for name, fact in generator.describe().items() if name != "choice"}
    told = [generator.bundle.graph_sha256("mapping"), SAMPLES, SEED, AT_ONCE, ran]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _find_file(key: str) -> Path:
    return find_cache_folder() / "latents" / f"{key}.npz"


def _read_kept(key: str, w_dim: int) -> LatentStatistics | None:
    """What was kept; None = nothing, or nothing that is whole."""
    expected = {"mean": ((w_dim,), np.dtype(np.float32)), "deviation": ((), np.dtype(np.float64))}
    try:
        with _find_file(key).open("rb") as file:
            if read_headers(file, most=8 * w_dim + 4096) != expected:
                return None
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                found = LatentStatistics(arrays["mean"], float(arrays["deviation"]))
    except Exception:  # zipfile, zlib and NumPy each have their own: it is measured anew
        return None
    whole = np.isfinite(found.mean).all() and 0 < found.deviation < np.inf
    return found if whole else None


def _keep(key: str, found: LatentStatistics) -> None:
    """Keep it; on a full disk, or without a home, go on without."""
    data = io.BytesIO()
    np.savez(data, mean=found.mean, deviation=np.float64(found.deviation))
    with suppress(OSError):
        publish_bytes(_find_file(key), data.getvalue())


_MEASURED: WeakKeyDictionary[Bundle, LatentStatistics] = WeakKeyDictionary()

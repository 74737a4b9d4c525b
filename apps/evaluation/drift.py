"""`measure_drift`: how much a deployment changed the pictures, seed by seed.

Two ways to draw the same network, such as float32 and float16, draw the same seeds. What differs is
the deployment alone, so small changes show that two sets of different seeds would drown in noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stylert.apps.datasets import DatasetJob
from stylert.apps.evaluation.evaluation import check_features
from stylert.apps.evaluation.extraction import (
    Progress,
    check_channels,
    describe_drawn,
    draw_places,
)
from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.apps.evaluation.frechet import estimate_frechet
from stylert.apps.evaluation.intervals import Estimate, estimate_mean
from stylert.apps.evaluation.rows import Rows, fill
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.json_files import keep_finite

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["Drift", "Drawer", "GeneratorDrawer", "measure_drift"]

NAMED = ("backend", "provider", "device", "precision")  # facts of a generator, for its name
COLUMNS = ("squares", "bytes_off")  # of pixels: the mean squared difference, the share that differs


class Drawer(Protocol):
    """One of the two ways to draw.

    Attributes:
        name: what it is told as.
    """

    name: str

    def identity(self, job: DatasetJob) -> dict[str, Any]:
        """What tells its pictures from others."""
        ...

    def draw(self, job: DatasetJob, places: range) -> np.ndarray:
        """Pictures of a job, with its defaults filled in: uint8 [n, H, W, C]."""
        ...


class GeneratorDrawer:
    """A generator as one of the two ways to draw."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        facts = generator.describe()
        self.name = " ".join(str(facts[k]) for k in NAMED if facts.get(k))

    def identity(self, job: DatasetJob) -> dict[str, Any]:
        """See `Drawer`."""
        return describe_drawn(self.generator, job)

    def draw(self, job: DatasetJob, places: range) -> np.ndarray:
        """See `Drawer`."""
        return draw_places(self.generator, job, places)


@dataclass(frozen=True, eq=False)
class Drift:
    """What the same seeds became.

    Attributes:
        network: what the features are.
        pictures: of each way.
        ways: what both are, in words.
        figures: 'fid' of the two sets; 'feature_distance' of a picture from its twin, and
            'relative_distance', in distances of pictures of different seeds; 'psnr' in dB over 0 to
            255, inf where nothing differs; 'bytes_off', the share of bytes that differ.
    """

    network: Mapping[str, Any]
    pictures: int
    ways: tuple[str, str]
    figures: Mapping[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types; a PSNR without bounds is null."""
        figures = {name: figure.to_json() for name, figure in self.figures.items()}
        for figure in figures.values():
            figure["value"] = keep_finite(figure["value"])
            if interval := figure.get("interval95"):
                figure["interval95"] = [keep_finite(x) for x in interval]
        return {
            "network": dict(self.network),
            "pictures": self.pictures,
            "ways": list(self.ways),
            "figures": figures,
        }


def measure_drift(
    generator: Generator,
    against: Drawer,
    job: DatasetJob,
    network: FeatureNetwork,
    folder: Path,
    *,
    progress: Progress = lambda stage, done, total: None,
) -> Drift:
    """Draw the same seeds in two ways, and compare them.

    Args:
        generator: the way that is judged.
        against: the other one.
        job: which seeds, and how.
        network: what sees.
        folder: where the features are kept; what is there of them already is not drawn again.
        progress: see `Progress`.

    Raises:
        InvalidInput: pictures of different sizes, features that are not finite, fewer than two
            pictures, or a folder that holds others.
    """
    check_channels(generator)
    job = job.for_generator(generator.spec, generator.classes)
    first = GeneratorDrawer(generator)
    columns = {f"features{i}": (network.dim, "float32") for i in (1, 2)}
    columns |= dict.fromkeys(COLUMNS, (1, "float64"))

    def draw(places: range) -> tuple[np.ndarray, np.ndarray]:
        return _check_same(first.draw(job, places), against.draw(job, places))

    identity = {
        **first.identity(job),
        "against": against.identity(job),
        "features": network.describe(),
    }
    rows = Rows(folder, "drift", identity=identity, columns=columns, count=len(job.seeds))
    see = partial(_compare, network)
    fill(rows, draw, see, partial(progress, "drawing twice"), batch=generator.max_batch)
    progress("comparing", 0, 1)
    drift = Drift(network.describe(), rows.done, (first.name, against.name), _measure(rows))
    progress("comparing", 1, 1)
    return drift


def _check_same(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if first.shape != second.shape:
        raise InvalidInput(
            f"against: got pictures of {second.shape[1:]}, expected {first.shape[1:]}, those of "
            "the same network."
        )
    return first, second


def _compare(
    network: FeatureNetwork, pictures: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """A row for each pair of pictures [n, H, W, C] uint8."""
    first, second = pictures
    off = first.astype(np.float32) - second
    pixels = off.reshape(len(off), -1)
    return {
        "features1": network.extract(first),
        "features2": network.extract(second),
        "squares": np.square(pixels, dtype=np.float64).mean(1),
        "bytes_off": (pixels != 0).mean(1),
    }


def _measure(rows: Rows) -> dict[str, Estimate]:
    first, second = rows["features1"], rows["features2"]
    check_features(first, "the first way")
    check_features(second, "the second way")
    apart = _measure_distances(first, second)
    others = _measure_distances(first, np.roll(second, 1, axis=0))
    distance = estimate_mean(apart)
    usual = float(others.mean())
    relative = Estimate(distance.value / usual, (distance.error or 0.0) / usual)
    return {
        "fid": estimate_frechet(first, second, paired=True),
        "feature_distance": distance,
        "relative_distance": relative,
        "psnr": _estimate_psnr(rows["squares"][:, 0]),
        "bytes_off": estimate_mean(rows["bytes_off"][:, 0]),
    }


def _measure_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(x.astype(np.float64) - y, axis=1))


def _estimate_psnr(squares: np.ndarray) -> Estimate:
    """Of the mean squared difference over all pictures; the error by its slope."""
    mean = estimate_mean(squares)
    if mean.value == 0:
        return Estimate(math.inf)
    error = None if mean.error is None else 10 / math.log(10) * mean.error / mean.value
    return Estimate(10 * math.log10(255**2 / mean.value), error)

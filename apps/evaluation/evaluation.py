"""`evaluate`: pictures of a generator against those of a data set, as features see them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.apps.datasets import DatasetJob
from stylert.apps.evaluation.data_pictures import DataPictures
from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.apps.evaluation.frechet import Distribution, estimate_frechet
from stylert.apps.evaluation.intervals import Estimate
from stylert.apps.evaluation.kernel import estimate_kernel_distance
from stylert.apps.evaluation.moments import Moments, read_chunks
from stylert.apps.evaluation.neighbours import (
    estimate_density_coverage,
    estimate_precision_recall,
)
from stylert.apps.evaluation.rows import Rows, fill
from stylert.runtime.arguments import check_choice
from stylert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["METRICS", "Evaluation", "Features", "check_classes", "check_counts"]
__all__ += ["check_features", "describe_drawn"]
__all__ += ["evaluate", "extract_data", "extract_drawn", "fill_drawn", "keep_in"]
__all__ += ["list_classes", "open_drawn", "round_up", "step_of"]

METRICS = ("fid", "kid", "pr", "dc")
LEAST = {"fid": 2, "kid": 2, "pr": 4, "dc": 6}  # pictures of a set: more than the neighbours
TOGETHER = 32  # pictures between two reports of progress, about
NO_CLASS = -1

_Seen = tuple[np.ndarray, list[int]]  # uint8 [n, H, W, C], and their classes
Progress = Callable[[str, int, int], None]  # the stage, what is done of it, and all


@dataclass(frozen=True, eq=False)
class Features:
    """The features of a set of pictures.

    Attributes:
        rows: [N, d] float32; they may lie in a file.
        classes: [N] int64, -1 where a picture has none.
    """

    rows: np.ndarray
    classes: np.ndarray


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


@contextmanager
def keep_in(folder: Path | None) -> Iterator[Path]:
    """The folder of the features, None = one that is removed again."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="stylert-evaluation-") as name:
        yield Path(name)


def extract_drawn(
    generator: Generator,
    job: DatasetJob,
    network: FeatureNetwork,
    folder: Path,
    *,
    name: str = "drawn",
    progress: Progress = lambda stage, done, total: None,
) -> Features:
    """The features of the pictures that a job draws.

    Args:
        generator: what draws.
        job: which seeds, and how.
        network: what sees.
        folder: where the features are kept; what is there of them already is not drawn again.
        name: of the files.
        progress: see `Progress`.

    Raises:
        InvalidInput: options that the generator does not take, features that are not finite, or a
            folder that holds others.
    """
    check_channels(generator)
    job = job.for_generator(generator.spec, generator.classes)
    rows = open_drawn(generator, job, network, folder, name, range(len(job.seeds)))
    fill_drawn(generator, job, network, rows, lambda *done: progress("drawing", *done))
    return Features(rows["features"], rows["classes"][:, 0])


def open_drawn(
    generator: Generator,
    job: DatasetJob,
    network: FeatureNetwork,
    folder: Path,
    name: str,
    places: range,
) -> Rows:
    """The table of the features of some pictures of a job, as far as it is there.

    Args:
        generator: what draws.
        job: with its defaults filled in.
        network: what sees.
        folder: of the files.
        name: of the files.
        places: of the pictures in the job.
    """
    identity = {**describe_drawn(generator, job), "features": network.describe()}
    return _open_rows(folder, name, identity, network, len(places))


def fill_drawn(
    generator: Generator,
    job: DatasetJob,
    network: FeatureNetwork,
    rows: Rows,
    progress: Callable[[int, int], None],
    *,
    first: int = 0,
) -> None:
    """Draw what is missing of a table whose first row is the picture at the place `first`."""
    step, stop = step_of(generator), first + rows.count

    def draw(start: int) -> Iterator[_Seen]:
        for at in range(first + start, stop, step):
            places = range(at, min(at + step, stop))
            parts = [
                job.draw(generator, range(i, min(i + generator.max_batch, places.stop)))
                for i in range(places.start, places.stop, generator.max_batch)
            ]
            classes = [_class_of(job.find_class(place)) for place in places]
            yield np.concatenate(parts), classes

    fill(rows, draw, partial(_see, network), progress)


def step_of(generator: Generator) -> int:
    """Pictures that are drawn and seen together: whole batches."""
    return round_up(TOGETHER, generator.max_batch)


def extract_data(
    data: DataPictures,
    network: FeatureNetwork,
    folder: Path,
    *,
    progress: Progress = lambda stage, done, total: None,
) -> Features:
    """The features of a data set; see `extract_drawn`."""

    def read(start: int) -> Iterator[_Seen]:
        for images, classes in data.read(start, TOGETHER):
            yield images, list(map(_class_of, classes))

    identity = {**data.identity(), "features": network.describe()}
    rows = _open_rows(folder, "data", identity, network, len(data))
    see = partial(_see, network)
    fill(rows, read, see, lambda done, total: progress("reading the data", done, total))
    return Features(rows["features"], rows["classes"][:, 0])


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


def list_classes(generator: Generator, job: DatasetJob) -> np.ndarray:
    """The class of each picture of a job [N], -1 where it has none."""
    job = job.for_generator(generator.spec, generator.classes)
    return np.array([_class_of(job.find_class(place)) for place in range(len(job.seeds))])


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


def check_channels(generator: Generator) -> None:
    """Refuse a generator whose pictures no feature network takes.

    Raises:
        InvalidInput: it draws neither grey nor RGB.
    """
    if (channels := generator.spec.img_channels) not in (1, 3):
        raise InvalidInput(
            f"bundle: got pictures of {channels} channels, expected 1 or 3: feature networks see "
            "RGB, or grey as RGB."
        )


def describe_drawn(generator: Generator, job: DatasetJob) -> dict[str, Any]:
    """What tells the pictures of a job from others, whatever the batch: rounding is not looked at.

    Args:
        generator: what draws.
        job: with its defaults filled in.
    """
    facts = generator.describe()
    where: dict[str, Any] = {
        k: facts[k] for k in ("backend", "provider", "precision") if k in facts
    }
    bundle = {"bundle": generator.bundle.manifest.get("sha256"), "family": generator.bundle.family}
    return {**bundle, **where, "job": job.settings()}


def round_up(least: int, step: int) -> int:
    """The first multiple of a step that is not below `least`."""
    return -(-least // step) * step


def _open_rows(
    folder: Path, name: str, identity: Mapping[str, Any], network: FeatureNetwork, count: int
) -> Rows:
    columns = {"features": (network.dim, "float32"), "classes": (1, "int64")}
    return Rows(folder, name, identity=identity, columns=columns, count=count)


def _see(network: FeatureNetwork, pictures: _Seen) -> Mapping[str, np.ndarray]:
    images, classes = pictures
    return {"features": network.extract(images), "classes": np.array(classes, np.int64)}


def _class_of(label: Any) -> int:
    return NO_CLASS if label is None else int(label)


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

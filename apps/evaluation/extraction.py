"""The features of what a generator draws, and of the pictures of a data set."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.apps.datasets import DatasetJob
from stylert.apps.evaluation.data_pictures import DataPictures
from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.apps.evaluation.rows import Rows, fill
from stylert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["NO_CLASS", "Features", "Progress", "check_channels", "describe_drawn", "draw_places"]
__all__ += ["extract_data", "extract_drawn", "fill_drawn", "keep_in", "list_classes"]
__all__ += ["open_drawn"]

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
    workers: int = 1,
    progress: Progress = lambda stage, done, total: None,
) -> Features:
    """The features of the pictures that a job draws.

    Args:
        generator: what draws.
        job: which seeds, and how.
        network: what sees.
        folder: where the features are kept; what is there of them already is not drawn again.
        name: of the files.
        workers: threads that draw and see, each for itself; see `open_for_workers`.
        progress: see `Progress`.

    Raises:
        InvalidInput: options that the generator does not take, features that are not finite, or a
            folder that holds others.
    """
    check_channels(generator)
    job = job.for_generator(generator.spec, generator.classes)
    rows = open_drawn(generator, job, network, folder, name, range(len(job.seeds)))
    tell = partial(progress, "drawing")
    fill_drawn(generator, job, network, rows, tell, workers=workers)
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
    workers: int = 1,
) -> None:
    """Draw what is missing of a table whose first row is the picture at the place `first`."""

    def draw(part: range) -> _Seen:
        places = range(first + part.start, first + part.stop)
        classes = [_class_of(job.find_class(place)) for place in places]
        return draw_places(generator, job, places), classes

    see = partial(_see, network)
    fill(rows, draw, see, progress, batch=generator.max_batch, workers=workers)


def draw_places(generator: Generator, job: DatasetJob, places: range) -> np.ndarray:
    """Pictures of a job, with its defaults filled in, a batch at a time: uint8 [n, H, W, C]."""
    size = generator.max_batch
    starts = range(places.start, places.stop, size)
    parts = [job.draw(generator, range(i, min(i + size, places.stop))) for i in starts]
    return np.concatenate(parts)


def extract_data(
    data: DataPictures,
    network: FeatureNetwork,
    folder: Path,
    *,
    workers: int = 1,
    progress: Progress = lambda stage, done, total: None,
) -> Features:
    """The features of a data set; see `extract_drawn`."""

    def read(places: range) -> _Seen:
        images, classes = data.read(places)
        return images, list(map(_class_of, classes))

    identity = {**data.identity(), "features": network.describe()}
    rows = _open_rows(folder, "data", identity, network, len(data))
    tell = partial(progress, "reading the data")
    fill(rows, read, partial(_see, network), tell, workers=workers)
    return Features(rows["features"], rows["classes"][:, 0])


def list_classes(generator: Generator, job: DatasetJob) -> np.ndarray:
    """The class of each picture of a job [N], -1 where it has none."""
    job = job.for_generator(generator.spec, generator.classes)
    return np.array([_class_of(job.find_class(place)) for place in range(len(job.seeds))])


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

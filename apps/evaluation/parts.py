"""Features that several processes, or machines, draw: each some parts of them, joined in the end.

A part is a table of its own until all are there, so that nobody writes into another one's file. A
part that was interrupted is gone on with, whoever began it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylert.apps.datasets import DatasetJob
from stylert.apps.evaluation.default_network import open_network
from stylert.apps.evaluation.extraction import (
    Features,
    check_channels,
    fill_drawn,
    open_drawn,
)
from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.apps.evaluation.rows import round_up

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["PartTask", "PartWorker", "extract_parts"]

PART = 256  # pictures, about

Progress = Callable[[int, int], None]  # pictures that are there, and all


@dataclass(frozen=True)
class PartTask:
    """What a worker is told; it goes to other processes and machines.

    Attributes:
        bundle: its path, the same for all.
        job: with its defaults filled in.
        folder: of the features, the same for all.
        name: of their files.
        parts: places of the pictures of each.
        features: path of the feature network, None = the default.
        opening: arguments of `Generator.open`.
    """

    bundle: str
    job: DatasetJob
    folder: str
    name: str
    parts: tuple[range, ...]
    features: str | None = None
    opening: Mapping[str, Any] = field(default_factory=dict)

    def name_part(self, number: int) -> str:
        """What the files of a part begin with."""
        part = self.parts[number]
        return f"{self.name}.part-{part.start:08d}-{part.stop:08d}"


class PartWorker:
    """Draws and sees parts, one at a time, with a session of its own."""

    def __init__(self, task: PartTask) -> None:
        self._task = task
        self._done = 0

    def start(self) -> Generator:
        """Open the bundle and the feature network.

        Raises:
            StylertError: see `Generator.open` and `open_network`.
        """
        import stylert

        task = self._task
        self._generator = stylert.open(task.bundle, **task.opening)
        on_gpu = self._generator.describe().get("provider") == "cuda"
        self._network = open_network(
            task.features,
            provider="cuda" if on_gpu else "cpu",
            threads=task.opening.get("threads"),
        )
        return self._generator

    def write(self, number: int, progress: Progress = lambda done, total: None) -> None:
        """Draw what is missing of a part.

        Raises:
            InvalidInput, EngineError, OSError: see `extract_drawn`.
        """
        task, self._done = self._task, 0
        places, name = task.parts[number], task.name_part(number)

        def tell(done: int, total: int) -> None:
            self._done = done
            progress(done, total)

        folder, of = Path(task.folder), (self._generator, task.job, self._network)
        rows = open_drawn(*of, folder, name, places)
        fill_drawn(*of, rows, tell, first=places.start)

    def done(self) -> int:
        """Pictures that are there of the part that is drawn."""
        return self._done


def extract_parts(
    generator: Generator,
    job: DatasetJob,
    network: FeatureNetwork,
    folder: Path,
    run: Callable[[PartTask], None],
    *,
    name: str = "drawn",
    features: str | Path | None = None,
) -> Features:
    """The features that `extract_drawn` gives, of pictures that others draw.

    Args:
        generator: opened as the others open it.
        job: which seeds, and how.
        network: what sees.
        folder: where the features are kept.
        run: has all parts of a task written by workers, and fills in how they open the bundle.
        name: of the files.
        features: path of the feature network, None = the default.

    Raises:
        InvalidInput: see `extract_drawn`.
    """
    check_channels(generator)
    job = job.for_generator(generator.spec, generator.classes)
    of = (generator, job, network)
    rows = open_drawn(*of, folder, name, range(len(job.seeds)))
    if rows.done < rows.count:
        parts = _list_parts(rows.done, rows.count, round_up(PART, generator.max_batch))
        path = None if features is None else str(Path(features).resolve())
        bundle = str(generator.bundle.folder.resolve())
        task = PartTask(bundle, job, str(folder.resolve()), name, parts, path)
        run(task)
        written = [
            open_drawn(*of, folder, task.name_part(number), places)
            for number, places in enumerate(parts)
        ]
        for part in written:
            rows.append({column: part[column] for column in ("features", "classes")})
        for part in written:
            part.remove()
    return Features(rows["features"], rows["classes"][:, 0])


def _list_parts(start: int, stop: int, size: int) -> tuple[range, ...]:
    firsts: Sequence[int] = range(start, stop, size)
    return tuple(range(first, min(first + size, stop)) for first in firsts)

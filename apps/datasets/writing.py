"""Writing a data set: start it or go on with it, draw what is missing, finish it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stylert.apps.datasets.folder import Folder
from stylert.apps.datasets.identity import check_same_job, describe_job
from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.locks import locked_folder
from stylert.apps.datasets.pipeline import choose_threads, open_pipeline
from stylert.apps.datasets.records import make_record
from stylert.apps.datasets.shard import Shard
from stylert.apps.datasets.store import Container
from stylert.apps.datasets.webdataset import WebDataset
from stylert.apps.datasets.zip_file import ZipFile
from stylert.runtime.arguments import check_integer
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import encode_image
from stylert.runtime.machine import MAX_THREADS

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["DatasetResult", "DatasetWriter", "make_container", "write_dataset"]

Progress = Callable[[int, int], None]  # images that are there, and how many there will be
Batch = tuple[Shard, range, int]  # images that are drawn together, and the first that is missing
Drawn = tuple[Shard, int, np.ndarray]  # an image, and its place
Append = Callable[[], None]  # writes an encoded image into its shard


@dataclass(frozen=True)
class DatasetResult:
    """What `write_dataset` did."""

    images: int  # of the data set
    drawn: int  # of them, in this call; the others were there
    files: Iterator[Path]  # that hold them; made as they are asked for


def write_dataset(
    generator: Generator,
    job: DatasetJob,
    out: str | Path,
    *,
    force: bool = False,
    workers: int = 1,
    encoders: int | None = None,
    progress: Progress = lambda done, total: None,
) -> DatasetResult:
    """Draw the images of many seeds into a folder, a zip file or WebDataset shards.

    Call it again with the same arguments to go on after an interrupt, an error or a crash: what is
    there stays, and the bytes are those of a run that was never interrupted. (Where the backend
    draws the same again, as ONNX Runtime does on a CPU, and a TensorRT engine on its GPU.)

        job = DatasetJob(seeds=Seeds.parse("0-49999"), container="webdataset")
        with stylert.open("bundle") as generator:
            write_dataset(generator, job, "out")

    Args:
        generator: what draws; its `max_batch` images at a time.
        job: what to draw, and how to store it.
        out: the folder or zip file.
        force: start over: what is there of a data set is removed first.
        workers: threads that draw at the same time, each with calls of its own; what `open_for_job`
            gives. The bytes are the same.
        encoders: threads that encode and hash, None = one per usable CPU, up to 16. Several workers
            encode what they have drawn themselves.
        progress: called with the images that are there and those that there will be.

    Raises:
        InvalidInput: the job does not fit the generator, or something else is in its place: files,
            another job, a damaged journal.
        EngineError: the backend failed.
        OSError: the disk is full, or the place cannot be written.
    """
    writer = DatasetWriter(generator, job, out, workers=workers)
    writer.start(force=force)
    drawn = writer.write(encoders=encoders, progress=progress)
    writer.finish()
    progress(len(job.seeds), len(job.seeds))
    return DatasetResult(images=len(job.seeds), drawn=drawn, files=writer.files())


class DatasetWriter:
    """The steps of `write_dataset`, for those who share a job's shards out to several processes.

    One calls `start`, each writes shards of its own with `write`, and one calls `finish` when all
    are done. The files are the same, whoever writes which shard.

    Attributes:
        job: with all defaults filled in.
    """

    def __init__(
        self, generator: Generator, job: DatasetJob, out: str | Path, *, workers: int = 1
    ) -> None:
        check_integer("workers", workers, 1, MAX_THREADS)
        self.job = job.for_generator(generator.spec, generator.classes)
        self._generator = generator
        self._workers = workers
        self._out = Path(out)
        self._container = make_container(self.job.container, self._out)
        self._description = describe_job(self.job, generator)
        self._first: dict[range, np.ndarray] = {}  # the images that `start` has drawn
        self._shards: list[Shard] = []  # that are open
        self._found = self._written = 0  # images that were there, and new ones

    def start(self, *, force: bool = False) -> None:
        """Make the place of the data set, or check that what is there is of the same job.

        Raises:
            InvalidInput: see `write_dataset`; then nothing was made or removed.
        """
        if not force and self._is_started():
            return
        # What does not fit the generator shows when it draws: before anything is made or removed.
        firsts = [*islice(self.job.batches(0, self._generator.max_batch), self._workers)]
        with ThreadPoolExecutor(self._workers) as pool:  # one for each, so that none waits
            drawn = pool.map(partial(self.job.draw, self._generator), firsts)
            self._first |= zip(firsts, drawn, strict=True)
        self._container.folder.mkdir(parents=True, exist_ok=True)
        with locked_folder(self._container.folder, alone=True):
            if force:
                self._container.remove()
            elif self._is_started():  # by another process, by now
                return
            self._container.start(self._description)

    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return self._container.is_complete()

    def write(
        self,
        shards: Iterable[int] | None = None,
        *,
        encoders: int | None = None,
        progress: Progress = lambda done, total: None,
    ) -> int:
        """Draw what is missing in shards, and give how many images that were.

        Args:
            shards: their numbers, up to `job.shards`; None = all.
            encoders: see `write_dataset`.
            progress: see `write_dataset`; counts the images of these shards.

        Raises:
            InvalidInput, EngineError, OSError: see `write_dataset`.
        """
        numbers = range(self.job.shards) if shards is None else list(shards)
        for number in numbers:
            check_integer("shards", number, 0, self.job.shards - 1)
        encoders = choose_threads("encoders", encoders)
        with locked_folder(self._container.folder, alone=False):  # nobody starts over meanwhile
            stored = self._container.stored_job()
            if stored is None:
                raise InvalidInput(f"{self._out} has no job.json. Call start before write.")
            check_same_job(stored, self._description, self._out)
            if self.is_complete():
                self._check_files()
                return 0
            total = sum(len(self.job.shard(number)) for number in numbers)
            self._found = self._written = 0
            self._shards.clear()
            try:
                with self._open_pipeline(encoders) as put:
                    for batch in self._find_missing(numbers):
                        progress(self._found + self._written, total)
                        if not put(batch):
                            break
            finally:
                for shard in self._shards:
                    self._written -= shard.close()
                progress(self._found + self._written, total)
        return self._written

    def finish(self) -> None:
        """Make the data set of its shards: the manifest, or the zip file.

        Raises:
            InvalidInput: a shard is not complete.
        """
        if not self.is_complete():
            for number in range(self.job.shards):
                if not self._is_written(number):
                    raise InvalidInput(f"{self._out}: shard {number} is not complete yet.")
        with locked_folder(self._container.folder, alone=True, wait=True):
            self._container.finish(self.job)

    def files(self) -> Iterator[Path]:
        """The files that hold the images when the data set is complete."""
        return self._container.files(self.job)

    def _is_started(self) -> bool:
        """Whether this job is here already. Another one, or files of others, are refused."""
        stored = self._container.stored_job()
        if stored is not None:
            check_same_job(stored, self._description, self._out)
            return True
        taken = self._container.in_the_way(self.job)
        if taken is not None:
            raise InvalidInput(
                f"{taken} exists. Pass force=True to replace it, or choose another name."
            )
        return False

    def _check_files(self) -> None:
        """Refuse a data set that was complete, and of which someone has removed a part."""
        for file in self.files():
            if not file.is_file():
                raise InvalidInput(
                    f"{file} is gone from a data set that was complete. Draw it again: stylert "
                    f"verify {shlex.quote(str(self._out))} --repair BUNDLE; or pass force=True to "
                    "start over."
                )

    def _is_written(self, shard: int) -> bool:
        return self._container.journal(shard).is_file()

    @contextmanager
    def _open_pipeline(self, encoders: int) -> Iterator[Callable[[Batch], bool]]:
        """What takes the next batch to be drawn, encoded and written; see `open_pipeline`."""
        if self._workers > 1:
            sizes = {"encoders": self._workers, "waiting": 2 * self._workers}
            with open_pipeline(self._make, self._write, are_drawn=False, **sizes) as put:
                yield put
            return
        waiting = 2 * self._generator.max_batch + encoders
        with open_pipeline(
            self._encode, self._write_one, encoders=encoders, waiting=waiting
        ) as put_drawn:
            yield lambda batch: all(map(put_drawn, self._draw(batch)))

    def _find_missing(self, shards: Iterable[int]) -> Iterator[Batch]:
        """What has to be drawn together, in order: images, and the first that is not there."""
        for number in shards:
            if self._is_written(number):
                self._found += len(self.job.shard(number))
                continue
            shard = Shard(self._container, self.job, number)
            self._shards = [shard, *(other for other in self._shards if other.is_open)]
            missing = shard.next_place
            self._found += missing - shard.places.start
            for places in self.job.batches(number, self._generator.max_batch):
                if places.stop > missing:
                    yield shard, places, missing

    def _draw(self, batch: Batch) -> list[Drawn]:
        """Draw the images of a batch, and leave out those that are there."""
        shard, places, missing = batch
        images = self._first.pop(places, None)
        if images is None:
            images = self.job.draw(self._generator, places)
        fresh = zip(places, images, strict=True)
        return [(shard, i, image) for i, image in fresh if i >= missing]

    def _make(self, batch: Batch) -> list[Append]:
        """Draw and encode a batch."""
        return [*map(self._encode, self._draw(batch))]

    def _encode(self, drawn: Drawn) -> Append:
        """Encode an image; gives what writes it into its shard."""
        shard, place, image = drawn
        data = encode_image(image, **self.job.encoding)
        return partial(shard.append, make_record(self.job, place, data), data)

    def _write(self, appends: list[Append]) -> None:
        for append in appends:
            self._write_one(append)

    def _write_one(self, append: Append) -> None:
        self._written += 1  # first: what fails is taken off again by the shard that is closed
        append()


def make_container(name: str, out: Path) -> Container:
    """What holds the images of a data set at a path.

    Raises:
        InvalidInput: there is something of another kind.
    """
    if name == "zip":
        if out.is_dir():
            raise InvalidInput(f"{out} is a folder, expected the name of a zip file.")
        return ZipFile(out)
    if out.exists() and not out.is_dir():
        raise InvalidInput(f"{out} is a file, expected the name of a folder.")
    return Folder(out) if name == "folder" else WebDataset(out)

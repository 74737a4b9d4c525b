"""Where images go: what a folder, a zip file and WebDataset shards have in common.

A `Container` knows the files around the images; a `Store` takes the images of one shard. A folder
and a zip file have one shard. Everything is so that the files that a killed process leaves can be
gone on with: the journal says which images are there, and the store cuts off what follows them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import JOB, MANIFEST, partial
from stylert.apps.datasets.places import Places
from stylert.apps.datasets.reading import Reader
from stylert.runtime.files.publishing import publish_bytes, publish_file

__all__ = ["Container", "Mended", "Store"]


class Store(Protocol):
    """Takes the images of a shard, in their order.

    To go on with what is there: `holds` for each record of the journal, until it says no; `resume`;
    then `append` the rest.
    """

    def holds(self, record: Mapping[str, Any], line: bytes) -> bool:
        """Whether the next image that the journal tells of is there whole."""
        ...

    def resume(self) -> None:
        """Cut off all behind the images that it holds, where `append` does not replace it."""
        return

    def append(self, record: Mapping[str, Any], line: bytes, data: bytes) -> None:
        """Write an image's file. What the journal does not tell of may be there in part."""

    def sync(self) -> None:
        """Bring what was appended to the disk."""

    def finish(self) -> None:
        """All images are there: make the shard what its readers expect."""

    def close(self) -> None:
        """Let go of the files, where it holds some."""
        return


@dataclass(frozen=True)
class Mended:
    """An image of a data set that is repaired."""

    line: bytes  # of the manifest
    record: Mapping[str, Any]  # what it says
    is_new: bool  # whether it has been drawn again
    load: Callable[[], bytes]  # gives its file; raises Flaw where what was sound no longer is


class Container(ABC):
    """The files of a data set of one kind, at one place.

    Attributes:
        folder: where it is made. It is there from `start` on, and locked by those who work in it.
        job_file: where the job is told while it is worked on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job_file = folder / JOB

    def stored_job(self) -> bytes | None:
        """What tells of the job here, finished or not; None where there is none."""
        return self.job_file.read_bytes() if self.job_file.is_file() else None

    def is_complete(self) -> bool:
        """Whether a data set is here with all that belongs to it."""
        return (self.folder / MANIFEST).is_file()

    @abstractmethod
    def in_the_way(self, job: DatasetJob) -> Path | None:
        """A file that a new data set would replace, None if there is none."""

    @contextmanager
    def write_file(self, name: str) -> Iterator[BinaryIO]:
        """Write a file of the folder, which appears when it is whole."""
        unfinished = self.folder / partial(name)
        with (
            publish_file(self.folder / name, beside=unfinished) as path,
            path.open("wb") as file,
        ):
            yield file

    def start(self, job: bytes) -> None:
        """Make what must be there before the first shard: the file of the job."""
        publish_bytes(self.job_file, job, beside=self.folder / partial(JOB))

    @abstractmethod
    def journal(self, shard: int) -> Path:
        """What the journal of a shard is called when the shard is complete."""

    @abstractmethod
    def store(self, shard: int) -> Store:
        """Open what takes the images of a shard."""

    @abstractmethod
    def files(self, job: DatasetJob) -> Iterator[Path]:
        """The files that hold the images of a complete data set."""

    @abstractmethod
    def finish(self, job: DatasetJob) -> None:
        """All shards are complete: make the data set of them. Twice does no harm."""

    @abstractmethod
    def open_reader(self, job: DatasetJob) -> AbstractContextManager[Reader]:
        """What reads the complete data set.

        Raises:
            InvalidInput: nothing of it can be read.
        """

    @abstractmethod
    def mend(self, job: DatasetJob, images: Iterable[Mended], redrawn: Places) -> None:
        """Make the data set whole again.

        Args:
            job: what it is made of.
            images: all of them, in their order.
            redrawn: the places of those that have been drawn again.
        """

    @abstractmethod
    def remove(self) -> None:
        """Remove the data set that is here, or what there is of it, but `folder`; nothing else."""

    def remove_files(self, *names: str) -> None:
        """Remove files of the folder, at last that of the job, which tells of the others."""
        for name in (*names, MANIFEST, partial(MANIFEST), partial(JOB), JOB):
            (self.folder / name).unlink(missing_ok=True)

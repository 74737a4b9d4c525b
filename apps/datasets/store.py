"""Where images go: what a folder, a zip file and WebDataset shards have in common.

A `Container` knows the files around the images; a `Store` takes the images of one shard. A folder
and a zip file have one shard. Everything is so that the files that a killed process leaves can be
gone on with: the journal says which images are there, and the store cuts off what follows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from stylert.apps.datasets.job import DatasetJob

__all__ = ["Container", "Store"]


class Store(Protocol):
    """Takes the images of a shard, in their order.

    To go on with what is there: `holds` for each record of the journal, until it says no; `resume`;
    then `append` the rest.
    """

    def holds(self, record: Mapping[str, Any], line: bytes) -> bool:
        """Whether the next image that the journal tells of is there whole."""

    def resume(self) -> None:
        """Cut off all behind the images that it holds."""

    def append(self, record: Mapping[str, Any], line: bytes, data: bytes) -> None:
        """Write an image's file. What the journal does not tell of may be there in part."""

    def sync(self) -> None:
        """Bring what was appended to the disk."""

    def finish(self) -> None:
        """All images are there: make the shard what its readers expect."""

    def close(self) -> None:
        """Let go of the files."""


class Container(Protocol):
    """The files of a data set of one kind, at one place."""

    @property
    def folder(self) -> Path:
        """Where it is made. It is there from `start` on, and locked by those who work in it."""

    @property
    def job_file(self) -> Path:
        """Where the job is told while it is worked on."""

    def stored_job(self) -> bytes | None:
        """What tells of the job here, finished or not; None where there is none."""

    def is_complete(self) -> bool:
        """Whether a data set is here with all that belongs to it."""

    def in_the_way(self, job: DatasetJob) -> Path | None:
        """A file that a new data set would replace, None if there is none."""

    def start(self, job: bytes) -> None:
        """Make what must be there before the first shard: above all, the file of the job."""

    def journal(self, shard: int) -> Path:
        """What the journal of a shard is called when the shard is complete."""

    def store(self, shard: int) -> Store:
        """Open what takes the images of a shard."""

    def files(self, job: DatasetJob) -> Iterator[Path]:
        """The files that hold the images of a complete data set."""

    def finish(self, job: DatasetJob) -> None:
        """All shards are complete: make the data set of them. Twice does no harm."""

    def remove(self) -> None:
        """Remove the data set that is here, or what there is of it, but `folder`; nothing else."""

"""Reading a complete data set, whatever holds its images, and finding what is wrong with it.

A `Reader` knows the files of one kind of data set, an `Entry` is an image, and a `Flaw` is what is
not as it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import IMAGE_NAME, MANIFEST, image_name
from stylert.apps.datasets.records import read_record
from stylert.runtime.errors import InvalidInput

__all__ = ["CHUNK", "Entry", "Flaw", "Reader", "Reading", "Record"]
__all__ += ["is_image_of", "read_entries", "split"]

CHUNK = 1 << 20  # bytes that are read at a time
LONGEST_LINE = 1 << 20  # bytes of a manifest's line; one with 1000 soft labels has 20,000

Record = Mapping[str, Any]  # what a line of the manifest says
# Gives the bytes of an image's file, in parts; raises Flaw where they, or those that surround them,
# are not as a line and its record tell.
Reading = Callable[[bytes, Record], Iterator[bytes]]


class Flaw(Exception):  # found, told in the report, and no error of a caller
    """What is not as it was written.

    Attributes:
        name: of the file, or of the part of one.
        missing: it is not there at all.
    """

    def __init__(self, name: str, *, missing: bool = False) -> None:
        super().__init__(name)
        self.name = name
        self.missing = missing


@dataclass(frozen=True)
class Entry:
    """An image, as the manifest tells of it."""

    place: int  # among all images
    line: bytes  # of the manifest
    record: Record | None  # what the line says; None: it is damaged
    reading: Reading

    @property
    def name(self) -> str:
        """The image's file, or its line where that is damaged."""
        if self.record is None:
            return f"{MANIFEST}, line {self.place + 1}"
        return "/".join(filter(None, [self.record.get("shard"), self.record["file"]]))

    def read(self) -> Iterator[bytes]:
        """The bytes of the image's file, in parts; in any thread.

        Raises:
            Flaw: they, or those that surround them, are not there or damaged.
            OSError: they cannot be read.
        """
        if self.record is None:
            raise Flaw(self.name)
        return self.reading(self.line, self.record)


class Reader(Protocol):
    """Reads the files of a complete data set of one kind."""

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file that is no image.

        Raises:
            Flaw: it is not there.
        """
        ...

    def find(self, place: int, line: bytes, record: Record | None) -> Reading:
        """What reads an image. It is called for all of them, in their order."""
        ...

    def surplus(self) -> Iterator[str]:
        """Names of what is not of the data set, and may be taken for a part of it."""
        ...


def is_image_of(job: DatasetJob, name: str) -> bool:
    """Whether a file of a folder or a zip file is an image of the job."""
    match = IMAGE_NAME.fullmatch(name)
    seed = int(match["seed"]) if match else -1
    return seed in job.seeds and name == image_name(seed, job.image_format)


def read_entries(job: DatasetJob, reader: Reader) -> Iterator[Entry]:
    """The images that the manifest has a line for, in their order.

    Raises:
        Flaw: there is no manifest; or, at the end, it has more lines than there are images.
    """
    with reader.open(MANIFEST) as manifest:
        for place in range(len(job.seeds)):
            line = manifest.readline(LONGEST_LINE)
            if not line:
                return
            record = _read(job, place, line)
            yield Entry(place, line, record, reader.find(place, line, record))
        if manifest.readline(1):
            raise Flaw(f"{MANIFEST}, line {len(job.seeds) + 1}")


def split(file: BinaryIO, size: int | None = None) -> Iterator[bytes]:
    """The next bytes of a file in parts, None = up to its end."""
    while size is None or size > 0:
        part = file.read(CHUNK if size is None else min(CHUNK, size))
        if not part:
            return
        yield part
        size = None if size is None else size - len(part)


def _read(job: DatasetJob, place: int, line: bytes) -> Record | None:
    try:
        return read_record(job, place, line)
    except InvalidInput:
        return None

"""Reading a complete data set, whatever holds its images, and finding what is wrong with it.

A `Reader` knows the files of one kind of data set, an `Entry` is an image, and a `Flaw` is what is
not as it was written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import IMAGE_NAME, MANIFEST
from stylert.apps.datasets.records import read_record
from stylert.runtime.errors import InvalidInput

__all__ = ["CHUNK", "Entry", "Flaw", "Reader", "Reading", "Record"]
__all__ += ["is_image_of", "open_regular", "read_entries", "split"]

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
    """An image, as the manifest tells of it; or several that it does not tell of."""

    places: range  # among all images
    line: bytes = b""  # of the manifest
    record: Record | None = None  # what the line says; None: their lines are damaged
    reading: Reading | None = None

    @property
    def name(self) -> str:
        """The image's file, or the lines where they are damaged."""
        if self.record is not None:
            return "/".join(filter(None, [self.record.get("shard"), self.record["file"]]))
        first, last = self.places.start + 1, self.places.stop
        return (
            f"{MANIFEST}, line {first}" if first == last else f"{MANIFEST}, lines {first} to {last}"
        )

    def read(self) -> Iterator[bytes]:
        """The bytes of the image's file, in parts; in any thread.

        Raises:
            Flaw: they, or those that surround them, are not there or damaged.
            OSError: they cannot be read.
        """
        if self.record is None or self.reading is None:
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

    def find(self, place: int, line: bytes, record: Record) -> Reading:
        """What reads an image. It is called in their order."""
        ...

    def surplus(self) -> Iterator[str]:
        """Names of what is not of the data set, and may be taken for a part of it."""
        ...


def is_image_of(job: DatasetJob, name: str) -> bool:
    """Whether a file of a folder or a zip file is an image of the job."""
    match = IMAGE_NAME.fullmatch(name)
    seed = int(match["seed"]) if match else -1
    return seed in job.seeds and name == job.name_image(job.seeds.find(seed))


def read_entries(job: DatasetJob, reader: Reader) -> Iterator[Entry]:
    """All images, in their order.

    Raises:
        Flaw: there is no manifest; or, at the end, that more than its lines is damaged.
    """
    place, damaged, lost = 0, 0, 0  # lines that tell of no image; images that no line tells of
    with reader.open(MANIFEST) as manifest:
        while line := manifest.readline(LONGEST_LINE):
            found = _find_record(job, place, line) if place < len(job.seeds) else None
            if found is None:
                damaged += 1
                continue
            start, record = found
            if place < start:
                yield Entry(range(place, start))
                lost += 1
            yield Entry(range(start, start + 1), line, record, reader.find(start, line, record))
            place = start + 1
        if place < len(job.seeds):
            yield Entry(range(place, len(job.seeds)))
        elif damaged and not lost:
            raise Flaw(MANIFEST)


def open_regular(folder: str | Path, name: str) -> BinaryIO:
    """Open a file of a data set.

    Raises:
        Flaw: there is none; a folder or a pipe of that name is none.
    """
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise Flaw(name, missing=True)
    return open(path, "rb")


def split(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next bytes of a file, in parts."""
    while part := file.read(min(CHUNK, size)):
        yield part
        size -= len(part)


def _find_record(job: DatasetJob, place: int, line: bytes) -> tuple[int, Record] | None:
    """The image that a line tells of, from a place on. None: of none."""
    try:
        return place, read_record(job, place, line)
    except InvalidInput:
        pass
    try:
        later = job.seeds.find(json.loads(line)["seed" if job.ws is None else "row"])
        return (later, read_record(job, later, line)) if later > place else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None

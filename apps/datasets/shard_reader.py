"""Reading WebDataset shards. Where a sample is, and all but its image, follows from the manifest.

So every byte is compared, and what is damaged hides nothing behind it: where the size of a sample
is not known, as its line is damaged, the next one is searched for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import SUFFIXES, sample_key, shard_name
from stylert.apps.datasets.reading import Flaw, Reading, Record, split
from stylert.apps.datasets.tar_format import BLOCK, make_end, make_header, make_rest, measure_sample

__all__ = ["ShardReader"]

WRONG_DIGIT = 10  # how many times larger a sample may be than a damaged line says


class ShardReader:
    """Reads the shards of a folder."""

    def __init__(self, folder: Path, job: DatasetJob) -> None:
        self._folder = folder
        self._job = job
        self._number = -1  # of the shard
        self._next = 0  # the place of the image that comes next in it
        self._start: int | None = 0  # where its sample begins; None: nobody knows

    def open(self, name: str) -> BinaryIO:
        try:
            return (self._folder / name).open("rb")
        except FileNotFoundError:
            raise Flaw(name, missing=True) from None

    def find(self, place: int, line: bytes, record: Record) -> Reading:
        shard = self._job.shard(number := place // self._job.shard_size)
        path = self._folder / shard_name(number)
        if number != self._number:
            self._number, self._next, self._start = number, shard.start, 0
        start, is_last = self._start, place + 1 == shard.stop
        if start is not None and self._next < place:  # the lines of those between are damaged
            start = _search(path, self._name_sample(place), start)
        self._next = place + 1
        self._start = start
        if start is not None and not is_last:
            following = self._name_sample(place + 1)
            self._start = _find_next(path, following, start, measure_sample(record, line))
        return partial(_read_image, path, start, is_last)

    def surplus(self) -> Iterator[str]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(".tar") and not self._is_shard(entry.name):
                    yield entry.name

    def _is_shard(self, name: str) -> bool:
        number = name.removeprefix("shard-").removesuffix(".tar")
        own = number.isdecimal() and int(number) < self._job.shards
        return own and name == shard_name(int(number))

    def _name_sample(self, place: int) -> bytes:
        """The name of the member that the sample of an image begins with."""
        (seed,) = self._job.seeds.between(place, place + 1)
        return (sample_key(seed) + SUFFIXES[self._job.image_format]).encode()


def _read_image(
    path: Path, start: int | None, is_last: bool, line: bytes, record: Record
) -> Iterator[bytes]:
    """The image of a sample, whose other bytes are compared; with the last one the shard's end."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise Flaw(path.name, missing=True) from None
    with file:
        if start is None:
            raise Flaw(path.name)
        name = f"{path.name}/{record['file']}"
        file.seek(start)
        if file.read(BLOCK) != make_header(record):
            raise Flaw(name)
        yield from split(file, record["bytes"])
        rest = make_rest(record, line)
        if file.read(len(rest)) != rest:
            raise Flaw(name)
        if is_last and file.read(len(end := make_end(file.tell())) + 1) != end:
            raise Flaw(path.name)


def _find_next(path: Path, name: bytes, start: int, size: int) -> int:
    """Where the sample behind one of such a start and size begins; its first member has this name.

    The size may be wrong, as it is of a line that may be damaged.
    """
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(start + size)
        if not _begins(file.read(BLOCK), name):
            found = _search(path, name, start, start + WRONG_DIGIT * size)
            return start + size if found is None else found
    return start + size


def _search(path: Path, name: bytes, start: int, stop: int | None = None) -> int | None:
    """Where the first member of a name begins, in a part of a shard."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(start)
        while (block := file.read(BLOCK)) and (stop is None or file.tell() <= stop):
            if _begins(block, name):
                return file.tell() - len(block)
    return None


def _begins(block: bytes, name: bytes) -> bool:
    return block.startswith(name + b"\0")

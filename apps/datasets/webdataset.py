"""A data set as WebDataset shards: shard-000000.tar, ..., manifest.jsonl and job.json in a folder.

A sample is a run of members whose names begin alike: 000000012.png, 000000012.json (its line of
the manifest) and, where images have a class, 000000012.cls (its number). They are of nobody, at
no time, so that equal images make equal files.
https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import functools
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.journal import GrowingFile
from stylert.apps.datasets.names import (
    MANIFEST,
    SHARD_NAME,
    SUFFIXES,
    partial,
    sample_key,
    shard_name,
)
from stylert.apps.datasets.places import Places
from stylert.apps.datasets.reading import Flaw, Reading, Record, open_regular, split
from stylert.apps.datasets.store import Container, Mended, Store

__all__ = ["WebDataset"]

BLOCK = tarfile.BLOCKSIZE  # 512: headers and files begin at multiples of it
WRONG_DIGIT = 10  # how many times larger a sample may be than a damaged line says


class WebDataset(Container):
    """A folder of tar shards."""

    def in_the_way(self, job: DatasetJob) -> Path | None:
        # Shards behind ours are in the way, too: a reader would take them all.
        taken = (self.folder / MANIFEST, *self._list_shards())
        return next((path for path in taken if path.exists()), None)

    def journal(self, shard: int) -> Path:
        return (self.folder / shard_name(shard)).with_suffix(".jsonl")

    def store(self, shard: int) -> Store:
        return _TarStore(self.folder / shard_name(shard))

    def files(self, job: DatasetJob) -> Iterator[Path]:
        return (self.folder / shard_name(shard) for shard in range(job.shards))

    def finish(self, job: DatasetJob) -> None:
        if not self.is_complete():  # the manifest of all follows from those of the shards
            with self.write_file(MANIFEST) as manifest:
                for shard in range(job.shards):
                    with self.journal(shard).open("rb") as part:
                        shutil.copyfileobj(part, manifest)
        for shard in range(job.shards):
            self.journal(shard).unlink(missing_ok=True)

    def open_reader(self, job: DatasetJob) -> AbstractContextManager[_ShardReader]:
        return nullcontext(_ShardReader(self.folder, job))

    def mend(self, job: DatasetJob, images: Iterable[Mended], redrawn: Places) -> None:
        images = iter(images)
        with self.write_file(MANIFEST) as manifest:
            for number in range(job.shards):
                places = job.shard(number)
                shard = islice(images, len(places))
                if redrawn.meets(places):
                    self._mend_shard(number, shard, manifest)
                else:
                    manifest.writelines(image.line for image in shard)

    def remove(self) -> None:
        for shard in self._list_shards():
            shard.unlink()
        self.remove_files()

    def _mend_shard(self, number: int, images: Iterable[Mended], manifest: BinaryIO) -> None:
        with self.write_file(shard_name(number)) as shard:
            for image in images:
                manifest.write(image.line)
                shard.write(_make_header(image.record))
                shard.write(image.load())
                shard.write(_make_rest(image.record, image.line))
            shard.write(_make_end(shard.tell()))

    def _list_shards(self) -> list[Path]:
        """All files that are named as shards, or as what belongs to one."""
        if not self.folder.is_dir():
            return []
        with os.scandir(self.folder) as entries:
            return [Path(entry) for entry in entries if SHARD_NAME.fullmatch(entry.name)]


class _TarStore(Store):
    """A tar file of the USTAR format that is cut off and gone on with at any sample."""

    def __init__(self, path: Path) -> None:
        if path.is_file():  # finished, and then the process ended before its journal was
            path.replace(path.with_name(partial(path.name)))
        self._file = GrowingFile(path)
        self._there = self._file.size
        self._size = 0  # of the samples

    def holds(self, record: Mapping[str, Any], line: bytes) -> bool:
        size = self._size + _measure_sample(record, line)
        if size > self._there:
            return False
        self._size = size
        return True

    def resume(self) -> None:
        self._file.cut(self._size)

    def append(self, record: Mapping[str, Any], line: bytes, data: bytes) -> None:
        self._file.append(_make_header(record) + data + _make_rest(record, line))

    def sync(self) -> None:
        self._file.sync()

    def finish(self) -> None:
        self._file.append(_make_end(self._file.size))
        self._file.finish()

    def close(self) -> None:
        self._file.close()


class _ShardReader:
    """Reads the shards of a folder.

    Where a sample is, and all but its image, follows from the manifest. So every byte is compared,
    and what is damaged hides nothing behind it: where the size of a sample is not known, as its
    line is damaged, the next one is searched for.
    """

    def __init__(self, folder: Path, job: DatasetJob) -> None:
        self._folder = folder
        self._job = job
        self._number = -1  # of the shard
        self._next = 0  # the place of the image that comes next in it
        self._start: int | None = 0  # where its sample begins; None: nobody knows

    def open(self, name: str) -> BinaryIO:
        return open_regular(self._folder, name)

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
            self._start = _find_next(path, following, start, _measure_sample(record, line))
        return functools.partial(_read_image, path, start, is_last)

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
    with open_regular(path.parent, path.name) as file:
        if start is None:
            raise Flaw(path.name)
        name = f"{path.name}/{record['file']}"
        file.seek(start)
        if file.read(BLOCK) != _make_header(record):
            raise Flaw(name)
        yield from split(file, record["bytes"])
        rest = _make_rest(record, line)
        if file.read(len(rest)) != rest:
            raise Flaw(name)
        if is_last and file.read(len(end := _make_end(file.tell())) + 1) != end:
            raise Flaw(path.name)


def _find_next(path: Path, name: bytes, start: int, size: int) -> int:
    """Where the sample behind one of such a start and size begins; its first member has this name.

    The size may be wrong, as it is of a line that may be damaged.
    """
    with suppress(Flaw), open_regular(path.parent, path.name) as file:
        file.seek(start + size)
        if not _begins(file.read(BLOCK), name):
            found = _search(path, name, start, start + WRONG_DIGIT * size)
            return start + size if found is None else found
    return start + size


def _search(path: Path, name: bytes, start: int, stop: int | None = None) -> int | None:
    """Where the first member of a name begins, in a part of a shard."""
    with suppress(Flaw), open_regular(path.parent, path.name) as file:
        file.seek(start)
        while (block := file.read(BLOCK)) and (stop is None or file.tell() <= stop):
            if _begins(block, name):
                return file.tell() - len(block)
    return None


def _begins(block: bytes, name: bytes) -> bool:
    return block.startswith(name + b"\0")


def _make_header(record: Record) -> bytes:
    """What a sample begins with; the bytes of its image follow."""
    return _make_member(record["file"], record["bytes"])


def _make_rest(record: Record, line: bytes) -> bytes:
    """What follows the image: its line of the manifest and, where it has one, its class."""
    key = record["file"].partition(".")[0]
    members = [(f"{key}.json", line.rstrip(b"\n"))]
    if "class_idx" in record:
        members.append((f"{key}.cls", str(record["class_idx"]).encode()))
    rest = bytes(-record["bytes"] % BLOCK)
    for name, data in members:
        rest += _make_member(name, len(data)) + data + bytes(-len(data) % BLOCK)
    return rest


def _make_end(size: int) -> bytes:
    """What follows samples of so many bytes, so that the tar file is complete."""
    return bytes(2 * BLOCK + -(size + 2 * BLOCK) % tarfile.RECORDSIZE)


def _measure_sample(record: Record, line: bytes) -> int:
    """The bytes of a sample."""
    return BLOCK + int(record["bytes"]) + len(_make_rest(record, line))


def _make_member(name: str, size: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = size
    return header.tobuf(tarfile.USTAR_FORMAT)

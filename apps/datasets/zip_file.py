"""A data set as one zip file: job.json, seed0000.png, seed0001.png, ..., manifest.jsonl.

A zip file ends with a directory of what is in it. Until that can be written, the images lie one
behind the other in a file of the folder NAME.zip.partial, and can be cut off behind any of them.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any

from stylert.apps.datasets.durable import about, put_file, sync_folder, write_whole
from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import JOB, MANIFEST, partial
from stylert.apps.datasets.zip_format import directory_end, entries, entry_header
from stylert.runtime.errors import InvalidInput

__all__ = ["ZipFile"]

IMAGES = "images.zip"  # in the folder, until it has its directory
LARGEST_JOB = 1 << 28  # bytes of job.json; another's zip file could claim any size
CHUNK = 1 << 16  # bytes that are copied at a time


class ZipFile:
    """A zip file and the folder that it is made in; see `Container`."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.work = self.folder = out.with_name(partial(out.name))
        self.job_file = self.work / JOB

    def stored_job(self) -> bytes | None:
        """See `Container`."""
        if self.is_complete():
            return _first_file(self.out)
        return self.job_file.read_bytes() if self.job_file.is_file() else None

    def is_complete(self) -> bool:
        """See `Container`."""
        return self.out.is_file() and not (self.work / IMAGES).exists()

    def in_the_way(self, job: DatasetJob) -> Path | None:
        """See `Container`."""
        return self.out if self.out.exists() else None

    def start(self, job: bytes) -> None:
        """See `Container`."""
        put_file(self.job_file, job, partial=self.work / partial(JOB), sync=True)

    def journal(self, shard: int) -> Path:
        """See `Container`."""
        return self.work / MANIFEST

    def store(self, shard: int) -> _ZipStore:
        """See `Container`."""
        job = self.job_file.read_bytes()
        return _ZipStore(self.work / IMAGES, first=_entry(JOB, job), told_as=self.out)

    def files(self, job: DatasetJob) -> Iterator[Path]:
        """See `Container`."""
        yield self.out

    def finish(self, job: DatasetJob) -> None:
        """See `Container`."""
        if not self.is_complete():
            if self.out.exists():
                raise InvalidInput(f"{self.out} exists by now. Move it, and run this again.")
            with about(self.out):
                _seal(self.work / IMAGES, self.work / MANIFEST, files=1 + len(job.seeds))
                (self.work / IMAGES).replace(self.out)
            sync_folder(self.out.parent)
        self._empty_work()
        with suppress(OSError):  # not there, or with files that are not ours
            self.work.rmdir()

    def remove(self) -> None:
        """See `Container`."""
        self.out.unlink(missing_ok=True)
        self._empty_work()

    def _empty_work(self) -> None:
        for name in (IMAGES, MANIFEST, partial(MANIFEST), partial(JOB), JOB):
            (self.work / name).unlink(missing_ok=True)


class _ZipStore:
    """The entries of a zip file, without its directory."""

    def __init__(self, path: Path, *, first: bytes, told_as: Path) -> None:
        self._told_as = told_as
        self._first = first
        self._file = path.open("ab", buffering=0)
        self._there = os.fstat(self._file.fileno()).st_size
        self._size = len(first)  # of the entries

    def holds(self, record: Mapping[str, Any], line: bytes) -> bool:
        """See `Store`."""
        size = self._size + len(entry_header(record["file"], record["bytes"], 0)) + record["bytes"]
        if size > self._there:
            return False
        self._size = size
        return True

    def resume(self) -> None:
        """See `Store`."""
        with about(self._told_as):
            if self._size > len(self._first):
                self._file.truncate(self._size)
            else:  # no image: nothing says that the first entry is there whole
                self._file.truncate(0)
                write_whole(self._file, self._first)

    def append(self, record: Mapping[str, Any], line: bytes, data: bytes) -> None:
        """See `Store`."""
        with about(self._told_as):
            write_whole(self._file, _entry(record["file"], data))

    def sync(self) -> None:
        """See `Store`."""
        with about(self._told_as):
            os.fsync(self._file.fileno())

    def finish(self) -> None:
        """See `Store`."""
        self.sync()
        self.close()

    def close(self) -> None:
        """See `Store`."""
        self._file.close()


def _entry(name: str, data: bytes) -> bytes:
    return entry_header(name, len(data), zlib.crc32(data)) + data


def _seal(path: Path, manifest: Path, *, files: int) -> None:
    """Cut a file behind its first entries, append the manifest, and make it a zip file."""
    with path.open("r+b", buffering=0) as file:
        found = end = 0
        with path.open("rb") as reader:
            for entry in islice(entries(reader), files):
                found, end = found + 1, entry.end
        if found < files:
            raise InvalidInput(
                f"{path} is damaged: it has {found} files, expected {files}. Pass force=True to "
                "start over."
            )
        file.truncate(end)
        file.seek(end)
        _append_file(file, MANIFEST, manifest)
        _append_directory(file, path)
        os.fsync(file.fileno())


def _append_file(file: FileIO, name: str, path: Path) -> None:
    size = crc = 0
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
        write_whole(file, entry_header(name, size, crc))
        source.seek(0)
        while chunk := source.read(CHUNK):
            write_whole(file, chunk)


def _append_directory(file: FileIO, path: Path) -> None:
    start = file.tell()
    count = 0
    buffer = bytearray()
    with path.open("rb") as reader:
        for entry in entries(reader):  # up to the directory's own bytes
            count += 1
            buffer += entry.record()
            if len(buffer) >= CHUNK:
                write_whole(file, bytes(buffer))
                buffer.clear()
    write_whole(file, bytes(buffer))
    write_whole(file, directory_end(count, start, file.tell() - start))


def _first_file(path: Path) -> bytes | None:
    """The job that a zip file of ours begins with, None in another's."""
    with path.open("rb") as file:
        first = next(iter(entries(file)), None)
        if first is None or first.name != JOB or first.size > LARGEST_JOB:
            return None
        file.seek(first.end - first.size)
        return file.read(first.size)

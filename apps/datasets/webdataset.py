"""A data set as WebDataset shards: shard-000000.tar, ..., manifest.jsonl and job.json in a folder.

A sample is a run of members whose names begin alike: 000000012.png, 000000012.json (its line of
the manifest) and, where images have a class, 000000012.cls (its number).
https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stylert.apps.datasets.durable import about, put_file, sync_folder, write_whole
from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import (
    JOB,
    MANIFEST,
    SHARD_NAME,
    partial,
    sample_key,
    shard_name,
)

__all__ = ["WebDataset"]

BLOCK = tarfile.BLOCKSIZE  # 512: headers and files begin at multiples of it


class WebDataset:
    """A folder of tar shards; see `Container`."""

    def __init__(self, out: Path) -> None:
        self.out = self.folder = out
        self.job_file = out / JOB

    def stored_job(self) -> bytes | None:
        """See `Container`."""
        return self.job_file.read_bytes() if self.job_file.is_file() else None

    def is_complete(self) -> bool:
        """See `Container`."""
        return (self.out / MANIFEST).is_file()

    def in_the_way(self, job: DatasetJob) -> Path | None:
        """See `Container`. Shards behind ours are in the way, too: a reader would take them all."""
        if not self.out.is_dir():
            return None
        with os.scandir(self.out) as entries:
            names = (entry.name for entry in entries)
            taken = (name for name in names if name == MANIFEST or SHARD_NAME.fullmatch(name))
            name = next(taken, None)
        return None if name is None else self.out / name

    def start(self, job: bytes) -> None:
        """See `Container`."""
        put_file(self.job_file, job, partial=self.out / partial(JOB), sync=True)

    def journal(self, shard: int) -> Path:
        """See `Container`."""
        return (self.out / shard_name(shard)).with_suffix(".jsonl")

    def store(self, shard: int) -> _TarStore:
        """See `Container`."""
        return _TarStore(self.out / shard_name(shard))

    def files(self, job: DatasetJob) -> Iterator[Path]:
        """See `Container`."""
        return (self.out / shard_name(shard) for shard in range(job.shards))

    def finish(self, job: DatasetJob) -> None:
        """See `Container`. The manifest of all follows from those of the shards."""
        if not self.is_complete():
            self._join_manifests(job.shards)
        for shard in range(job.shards):
            self.journal(shard).unlink(missing_ok=True)

    def remove(self) -> None:
        """See `Container`."""
        if self.out.is_dir():
            with os.scandir(self.out) as entries:
                shards = [entry.path for entry in entries if SHARD_NAME.fullmatch(entry.name)]
            for shard in shards:
                os.unlink(shard)
        for file in (MANIFEST, partial(MANIFEST), partial(JOB), JOB):
            (self.out / file).unlink(missing_ok=True)

    def _join_manifests(self, shards: int) -> None:
        whole = self.out / MANIFEST
        unfinished = self.out / partial(MANIFEST)
        with about(whole):
            with unfinished.open("wb") as file:
                for shard in range(shards):
                    with self.journal(shard).open("rb") as part:
                        shutil.copyfileobj(part, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(whole)
        sync_folder(self.out)


class _TarStore:
    """A tar file of the USTAR format that is cut off and gone on with at any sample."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(partial(path.name))
        if path.is_file():  # finished, and then the process ended before its journal was
            path.replace(self._partial)
        self._file = self._partial.open("ab", buffering=0)
        self._there = os.fstat(self._file.fileno()).st_size
        self._size = 0  # of the samples

    def holds(self, record: Mapping[str, Any], line: bytes) -> bool:
        """See `Store`."""
        lengths = [record["bytes"], *(len(data) for _, data in _beside(record, line))]
        size = self._size + sum(BLOCK + _padded(length) for length in lengths)
        if size > self._there:
            return False
        self._size = size
        return True

    def resume(self) -> None:
        """See `Store`."""
        self._file.truncate(self._size)

    def append(self, record: Mapping[str, Any], line: bytes, data: bytes) -> None:
        """See `Store`."""
        members = [(record["file"], data), *_beside(record, line)]
        with about(self._path):
            write_whole(self._file, b"".join(_member(name, data) for name, data in members))

    def sync(self) -> None:
        """See `Store`."""
        with about(self._path):
            os.fsync(self._file.fileno())

    def finish(self) -> None:
        """See `Store`."""
        with about(self._path):
            size = os.fstat(self._file.fileno()).st_size
            end = _padded(size + 2 * BLOCK, tarfile.RECORDSIZE)
            write_whole(self._file, bytes(end - size))
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.replace(self._path)
        sync_folder(self._path.parent)  # before the journal has its name, which tells of this one

    def close(self) -> None:
        """See `Store`."""
        self._file.close()


def _beside(record: Mapping[str, Any], line: bytes) -> list[tuple[str, bytes]]:
    """The other members of an image's sample."""
    key = sample_key(record["seed"])
    members = [(f"{key}.json", line.rstrip(b"\n"))]
    if "class_idx" in record:
        members.append((f"{key}.cls", str(record["class_idx"]).encode()))
    return members


def _member(name: str, data: bytes) -> bytes:
    """A member with its header: of nobody, at no time, so that equal images make equal files."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    return header.tobuf(tarfile.USTAR_FORMAT) + data.ljust(_padded(len(data)), b"\0")


def _padded(size: int, multiple: int = BLOCK) -> int:
    return -(-size // multiple) * multiple

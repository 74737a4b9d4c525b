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

from stylert.apps.datasets.growing_file import GrowingFile
from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import (
    MANIFEST,
    SHARD_NAME,
    partial,
    sample_key,
    shard_name,
)
from stylert.apps.datasets.store import Container, Store
from stylert.runtime.files.publishing import publish_file

__all__ = ["WebDataset"]

BLOCK = tarfile.BLOCKSIZE  # 512: headers and files begin at multiples of it


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
            self._join_manifests(job.shards)
        for shard in range(job.shards):
            self.journal(shard).unlink(missing_ok=True)

    def remove(self) -> None:
        for shard in self._list_shards():
            shard.unlink()
        self.remove_files()

    def _list_shards(self) -> list[Path]:
        """All files that are named as shards, or as what belongs to one."""
        if not self.folder.is_dir():
            return []
        with os.scandir(self.folder) as entries:
            return [Path(entry) for entry in entries if SHARD_NAME.fullmatch(entry.name)]

    def _join_manifests(self, shards: int) -> None:
        unfinished = self.folder / partial(MANIFEST)
        with (
            publish_file(self.folder / MANIFEST, beside=unfinished) as whole,
            whole.open("wb") as file,
        ):
            for shard in range(shards):
                with self.journal(shard).open("rb") as part:
                    shutil.copyfileobj(part, file)


class _TarStore(Store):
    """A tar file of the USTAR format that is cut off and gone on with at any sample."""

    def __init__(self, path: Path) -> None:
        if path.is_file():  # finished, and then the process ended before its journal was
            path.replace(path.with_name(partial(path.name)))
        self._file = GrowingFile(path)
        self._there = self._file.size
        self._size = 0  # of the samples

    def holds(self, record: Mapping[str, Any], line: bytes) -> bool:
        lengths = [record["bytes"], *(len(data) for _, data in _beside(record, line))]
        size = self._size + sum(BLOCK + _padded(length) for length in lengths)
        if size > self._there:
            return False
        self._size = size
        return True

    def resume(self) -> None:
        self._file.cut(self._size)

    def append(self, record: Mapping[str, Any], line: bytes, data: bytes) -> None:
        members = [(record["file"], data), *_beside(record, line)]
        self._file.append(b"".join(_member(name, data) for name, data in members))

    def sync(self) -> None:
        self._file.sync()

    def finish(self) -> None:
        size = self._file.size
        end = _padded(size + 2 * BLOCK, tarfile.RECORDSIZE)
        self._file.append(bytes(end - size))
        self._file.finish()

    def close(self) -> None:
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

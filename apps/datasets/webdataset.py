"""A data set as WebDataset shards: shard-000000.tar, ..., manifest.jsonl and job.json in a folder.

A sample is a run of members whose names begin alike: 000000012.png, 000000012.json (its line of
the manifest) and, where images have a class, 000000012.cls (its number).
https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from stylert.apps.datasets.growing_file import GrowingFile
from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import (
    MANIFEST,
    SHARD_NAME,
    partial,
    shard_name,
)
from stylert.apps.datasets.places import Places
from stylert.apps.datasets.shard_reader import ShardReader
from stylert.apps.datasets.store import Container, Mended, Store
from stylert.apps.datasets.tar_format import make_end, make_header, make_rest, measure_sample

__all__ = ["WebDataset"]


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

    def open_reader(self, job: DatasetJob) -> AbstractContextManager[ShardReader]:
        return nullcontext(ShardReader(self.folder, job))

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
                shard.write(make_header(image.record))
                shard.write(image.load())
                shard.write(make_rest(image.record, image.line))
            shard.write(make_end(shard.tell()))

    def _list_shards(self) -> list[Path]:
        """All files that are named as shards, or as what belongs to one."""
        if not self.folder.is_dir():
            return []
        with os.scandir(self.folder) as entries:
            return [Path(entry) for entry in entries if SHARD_NAME.fullmatch(entry.name)]

    def _join_manifests(self, shards: int) -> None:
        with self.write_file(MANIFEST) as manifest:
            for shard in range(shards):
                with self.journal(shard).open("rb") as part:
                    shutil.copyfileobj(part, manifest)


class _TarStore(Store):
    """A tar file of the USTAR format that is cut off and gone on with at any sample."""

    def __init__(self, path: Path) -> None:
        if path.is_file():  # finished, and then the process ended before its journal was
            path.replace(path.with_name(partial(path.name)))
        self._file = GrowingFile(path)
        self._there = self._file.size
        self._size = 0  # of the samples

    def holds(self, record: Mapping[str, Any], line: bytes) -> bool:
        size = self._size + measure_sample(record, line)
        if size > self._there:
            return False
        self._size = size
        return True

    def resume(self) -> None:
        self._file.cut(self._size)

    def append(self, record: Mapping[str, Any], line: bytes, data: bytes) -> None:
        self._file.append(make_header(record) + data + make_rest(record, line))

    def sync(self) -> None:
        self._file.sync()

    def finish(self) -> None:
        self._file.append(make_end(self._file.size))
        self._file.finish()

    def close(self) -> None:
        self._file.close()

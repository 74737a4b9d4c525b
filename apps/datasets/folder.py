"""A data set as a folder: seed0000.png, seed0001.png, ..., manifest.jsonl and job.json."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from stylert.apps.datasets.durable import about, put_file, sync_file, sync_folder
from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import (
    IMAGE_NAME,
    JOB,
    MANIFEST,
    SUFFIXES,
    image_name,
    partial,
)
from stylert.apps.datasets.seeds import Seeds

__all__ = ["Folder"]

IMAGE_PARTIAL = partial(".image")  # one at a time
SYNCS = 8  # files at a time: the disk then takes them together, in an eighth of the time


class Folder:
    """A folder of images; see `Container`."""

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
        """See `Container`."""
        for entry in _entries(self.out):
            name = IMAGE_NAME.fullmatch(entry.name)
            same = name and name["suffix"] == SUFFIXES[job.image_format]
            if entry.name == MANIFEST or (name and same and int(name["seed"]) in job.seeds):
                return self.out / entry.name
        return None

    def start(self, job: bytes) -> None:
        """See `Container`."""
        put_file(self.job_file, job, partial=self.out / partial(JOB), sync=True)

    def journal(self, shard: int) -> Path:
        """See `Container`."""
        return self.out / MANIFEST

    def store(self, shard: int) -> _FolderStore:
        """See `Container`."""
        return _FolderStore(self.out)

    def files(self, job: DatasetJob) -> Iterator[Path]:
        """See `Container`."""
        for places in job.batches(0, 1000):
            for seed in job.seeds.between(places.start, places.stop):
                yield self.out / image_name(seed, job.image_format)

    def finish(self, job: DatasetJob) -> None:
        """See `Container`."""

    def remove(self) -> None:
        """See `Container`. Its job says which images are its own: no others had their names."""
        seeds, suffix = _images_of(self.stored_job())
        for entry in _entries(self.out):
            name = IMAGE_NAME.fullmatch(entry.name)
            if name and name["suffix"] == suffix and int(name["seed"]) in seeds:
                os.unlink(entry.path)
        for file in (MANIFEST, partial(MANIFEST), IMAGE_PARTIAL, partial(JOB), JOB):
            (self.out / file).unlink(missing_ok=True)


class _FolderStore:
    """A file for each image."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new: list[Path] = []  # images that may not be on the disk yet

    def holds(self, record: Mapping[str, Any], line: bytes) -> bool:
        """See `Store`."""
        try:
            size: int = (self._folder / record["file"]).stat().st_size
        except OSError:
            return False
        return size == int(record["bytes"])

    def resume(self) -> None:
        """See `Store`. What follows is replaced in its turn."""

    def append(self, record: Mapping[str, Any], line: bytes, data: bytes) -> None:
        """See `Store`."""
        path = self._folder / record["file"]
        put_file(path, data, partial=self._folder / IMAGE_PARTIAL)
        self._new.append(path)

    def sync(self) -> None:
        """See `Store`."""
        if not self._new:
            return
        with about(self._folder), ThreadPoolExecutor(SYNCS, thread_name_prefix="sync") as pool:
            list(pool.map(sync_file, self._new))
        self._new.clear()
        sync_folder(self._folder)

    def finish(self) -> None:
        """See `Store`."""
        (self._folder / IMAGE_PARTIAL).unlink(missing_ok=True)

    def close(self) -> None:
        """See `Store`."""


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from entries


def _images_of(job: bytes | None) -> tuple[Seeds | frozenset[int], str]:
    """The seeds and the suffix of a job.json, none if it cannot be read."""
    try:
        settings = json.loads(job or b"")["settings"]
        return Seeds.parse(settings["seeds"]), SUFFIXES[settings["image_format"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return frozenset(), ""

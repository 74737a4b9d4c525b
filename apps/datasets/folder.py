"""A data set as a folder: seed0000.png, seed0001.png, ..., manifest.jsonl and job.json."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.layouts import make_layout
from stylert.apps.datasets.names import IMAGE_NAME, LAYOUTS, MANIFEST, SUFFIXES, partial
from stylert.apps.datasets.places import Places
from stylert.apps.datasets.reading import (
    Flaw,
    Reading,
    Record,
    is_image_of,
    open_regular,
    split,
)
from stylert.apps.datasets.records import read_record
from stylert.apps.datasets.seeds import Seeds
from stylert.apps.datasets.store import Container, Mended, Store
from stylert.runtime.files.publishing import naming, publish_bytes, sync_files, sync_folder

__all__ = ["Folder"]

IMAGE_PARTIAL = partial(".image")  # one at a time
SYNCED = 64  # images that are brought to the disk together


class Folder(Container):
    """A folder of images."""

    def in_the_way(self, job: DatasetJob) -> Path | None:
        for entry in _list_entries(self.folder):
            name = IMAGE_NAME.fullmatch(entry.name)
            kind = (job.drawn_of, SUFFIXES[job.image_format])
            same = name and (name["of"], name["suffix"]) == kind
            if entry.name in (MANIFEST, job.layout_file) or (
                name and same and int(name["seed"]) in job.seeds
            ):
                return self.folder / entry.name
        return None

    def journal(self, shard: int) -> Path:
        return self.folder / MANIFEST

    def store(self, shard: int) -> Store:
        return _FolderStore(self.folder)

    def files(self, job: DatasetJob) -> Iterator[Path]:
        for places in job.batches(0, 1000):
            for place in places:
                yield self.folder / job.name_image(place)

    def finish(self, job: DatasetJob) -> None:
        if job.layout_file is not None and not (self.folder / job.layout_file).exists():
            self._write_layout(job, job.layout_file)

    def open_reader(self, job: DatasetJob) -> AbstractContextManager[_FolderReader]:
        return nullcontext(_FolderReader(self.folder, job))

    def mend(self, job: DatasetJob, images: Iterable[Mended], redrawn: Places) -> None:
        store = _FolderStore(self.folder)
        with self.write_file(MANIFEST) as manifest:
            for place, image in enumerate(images, 1):
                if image.is_new:
                    store.append(image.record, image.line, image.load())
                if place % SYNCED == 0:
                    store.sync()
                manifest.write(image.line)
            store.sync()
        store.finish()
        if job.layout_file is not None:
            self._write_layout(job, job.layout_file)

    def remove(self) -> None:
        # Its job says which images are its own: no others had their names.
        seeds, kind, layout = _read_files(self.stored_job())
        for entry in _list_entries(self.folder):
            name = IMAGE_NAME.fullmatch(entry.name)
            if name and (name["of"], name["suffix"]) == kind and int(name["seed"]) in seeds:
                os.unlink(entry.path)
        self.remove_files(IMAGE_PARTIAL, *layout)

    def _write_layout(self, job: DatasetJob, name: str) -> None:
        with self.write_file(name) as file, (self.folder / MANIFEST).open("rb") as manifest:
            records = (read_record(job, place, line) for place, line in enumerate(manifest))
            file.writelines(make_layout(job, records))


class _FolderStore(Store):
    """A file for each image."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new: list[Path] = []  # images that may not be on the disk yet

    def holds(self, record: Mapping[str, Any], line: bytes) -> bool:
        try:
            size: int = (self._folder / record["file"]).stat().st_size
        except OSError:
            return False
        return size == int(record["bytes"])

    def append(self, record: Mapping[str, Any], line: bytes, data: bytes) -> None:
        path = self._folder / record["file"]
        publish_bytes(path, data, beside=self._folder / IMAGE_PARTIAL, sync=False)
        self._new.append(path)

    def sync(self) -> None:
        if self._new:
            with naming(self._folder):
                sync_files(self._new)
            self._new.clear()
            sync_folder(self._folder)

    def finish(self) -> None:
        (self._folder / IMAGE_PARTIAL).unlink(missing_ok=True)


def _list_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from entries


def _read_files(
    job: bytes | None,
) -> tuple[Seeds | frozenset[int], tuple[str, str], tuple[str, ...]]:
    """What a job.json says of its files, nothing if it cannot be read.

    Returns:
        the seeds or rows of the images, what is before and behind them in a name: ('seed', '.png'),
        and the other files.
    """
    try:
        settings = json.loads(job or b"")["settings"]
        kind = ("ws" if "ws" in settings else "seed", SUFFIXES[settings["image_format"]])
        layout = LAYOUTS[settings["layout"]] if "layout" in settings else None
        others = () if layout is None else (layout, partial(layout))
        return Seeds.parse(settings["seeds"]), kind, others
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return frozenset(), ("", ""), ()


class _FolderReader:
    """Reads a folder of images. Names are plain texts: Python keeps the parts of a `Path`."""

    def __init__(self, folder: Path, job: DatasetJob) -> None:
        self._folder = str(folder)
        self._job = job

    def open(self, name: str) -> BinaryIO:
        return open_regular(self._folder, name)

    def find(self, place: int, line: bytes, record: Record) -> Reading:
        return self._read_image

    def surplus(self) -> Iterator[str]:
        from PIL import Image

        pictures = {*Image.registered_extensions(), SUFFIXES[self._job.image_format]}
        labels = {*LAYOUTS.values()} - {self._job.layout_file}
        for name in _list_files(self._folder):
            is_picture = os.path.splitext(name)[1].lower() in pictures
            is_read = is_picture or os.path.basename(name) in labels
            if is_read and not is_image_of(self._job, name):
                yield name

    def _read_image(self, line: bytes, record: Record) -> Iterator[bytes]:
        with self.open(record["file"]) as file:
            if os.fstat(file.fileno()).st_size != record["bytes"]:
                raise Flaw(record["file"])
            yield from split(file, record["bytes"])


def _list_files(folder: str, prefix: str = "") -> Iterator[str]:
    """All files below a folder. Their names do not wait in memory, as those of `os.walk` do."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _list_files(entry.path, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name

"""Reading the images of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import LAYOUTS, SUFFIXES
from stylert.apps.datasets.reading import Flaw, Reading, Record, is_image_of, split

__all__ = ["FolderReader"]


class FolderReader:
    """Reads a folder of images. Names are plain texts: Python keeps the parts of a `Path`."""

    def __init__(self, folder: Path, job: DatasetJob) -> None:
        self._folder = str(folder)
        self._job = job

    def open(self, name: str) -> BinaryIO:
        path = os.path.join(self._folder, name)
        if not os.path.isfile(path):
            raise Flaw(name, missing=True)
        return open(path, "rb")

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

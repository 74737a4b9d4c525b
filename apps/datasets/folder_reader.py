"""Reading the images of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import LAYOUTS
from stylert.apps.datasets.reading import Flaw, Reading, Record, is_image_of, split

__all__ = ["FolderReader"]


class FolderReader:
    """Reads a folder of images."""

    def __init__(self, folder: Path, job: DatasetJob) -> None:
        self._folder = folder
        self._job = job

    def open(self, name: str) -> BinaryIO:
        path = self._folder / name
        if not path.is_file():
            raise Flaw(name, missing=True)
        return path.open("rb")

    def find(self, place: int, line: bytes, record: Record) -> Reading:
        return self._read_image

    def surplus(self) -> Iterator[str]:
        from PIL import Image

        pictures = Image.registered_extensions()  # what readers open
        labels = {*LAYOUTS.values()} - {self._job.layout_file}
        for path in _walk(self._folder):
            name = path.relative_to(self._folder).as_posix()
            is_read = path.suffix.lower() in pictures or path.name in labels
            if is_read and not is_image_of(self._job, name):
                yield name

    def _read_image(self, line: bytes, record: Record) -> Iterator[bytes]:
        with self.open(record["file"]) as file:
            if os.fstat(file.fileno()).st_size != record["bytes"]:
                raise Flaw(record["file"])
            yield from split(file, record["bytes"])


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder. Their names do not wait in memory, as those of `os.walk` do."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry))
            else:
                yield Path(entry)

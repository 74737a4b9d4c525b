"""Reading a zip file of images. It begins and ends as ours do; `zipfile` reads its directory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import ZIP64_LIMIT, ZipInfo
from zipfile import ZipFile as Archive

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import JOB, MANIFEST
from stylert.apps.datasets.reading import Flaw, Reading, Record, is_image_of, split

__all__ = ["ZipReader", "make_entry"]


def make_entry(name: str) -> ZipInfo:
    """An entry of nobody, at no time, so that equal images make equal files."""
    entry = ZipInfo(name)  # of 1 January 1980, the first day that there is
    entry.create_system, entry.external_attr = 3, 0o100644 << 16  # as on Unix, everywhere
    return entry


class ZipReader:
    """Reads a zip file, each entry by itself, in any thread.

    Raises:
        BadZipFile: it has no directory.
    """

    def __init__(self, path: Path, job: DatasetJob) -> None:
        self._path = path
        self._job = job
        with Archive(path) as archive:
            self._entries = archive.NameToInfo

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with self._open(name) as (file, size):
            yield cast(BinaryIO, io.BufferedReader(_Part(file, size)))

    def find(self, place: int, line: bytes, record: Record) -> Reading:
        return self._read_image

    def surplus(self) -> Iterator[str]:
        own = (JOB, MANIFEST, self._job.layout_file)
        for name in self._entries:
            if name not in own and not is_image_of(self._job, name):
                yield name

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        """The file at the bytes of an entry, and how many they are.

        `zipfile` itself would compare their sum, and give none of them where it is another.
        """
        if name not in self._entries:
            raise Flaw(name, missing=True)
        told, entry = self._entries[name], make_entry(name)
        entry.CRC = told.CRC
        entry.file_size = entry.compress_size = told.file_size
        header = entry.FileHeader(zip64=told.file_size * 1.05 > ZIP64_LIMIT)  # as `zipfile` decides
        with self._path.open("rb") as file:
            file.seek(told.header_offset)
            same = file.read(len(header)) == header
            yield file, told.file_size
            if not same:  # what follows may be whole
                raise Flaw(name)

    def _read_image(self, line: bytes, record: Record) -> Iterator[bytes]:
        with self._open(record["file"]) as (file, size):
            if size != record["bytes"]:
                raise Flaw(record["file"])
            yield from split(file, size)


class _Part(io.RawIOBase):
    """The next bytes of a file, as a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._file.read(min(len(buffer), self._left))
        self._left -= len(part)
        buffer[: len(part)] = part
        return len(part)

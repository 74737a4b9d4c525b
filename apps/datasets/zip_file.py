"""A data set as one zip file: job.json, seed0000.png, seed0001.png, ..., manifest.jsonl.

It is made in a folder, NAME.zip.partial, which can be gone on with; at the end that is packed.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import ZIP64_LIMIT, BadZipFile, ZipInfo
from zipfile import ZipFile as Archive

from stylert.apps.datasets.folder import Folder
from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import JOB, MANIFEST, partial
from stylert.apps.datasets.places import Places
from stylert.apps.datasets.reading import Flaw, Reading, Record, is_image_of, split
from stylert.apps.datasets.store import Container, Mended, Store
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import publish_file

__all__ = ["ZipFile"]

PACKED = partial("packed.zip")  # in the folder, until it is whole
HEADER = 30  # bytes before the name of a zip file's first file
LARGEST_JOB = 1 << 28  # bytes of job.json; another's zip file could claim any size


class ZipFile(Container):
    """A zip file, and the folder that it is made in."""

    def __init__(self, out: Path) -> None:
        super().__init__(out.with_name(partial(out.name)))
        self.out = out
        self._unpacked = Folder(self.folder)

    def stored_job(self) -> bytes | None:
        packed = _read_job(self.out)
        return super().stored_job() if packed is None else packed

    def is_complete(self) -> bool:
        return _read_job(self.out) is not None

    def in_the_way(self, job: DatasetJob) -> Path | None:
        return self.out if self.out.exists() else None

    def journal(self, shard: int) -> Path:
        return self._unpacked.journal(shard)

    def store(self, shard: int) -> Store:
        return self._unpacked.store(shard)

    def files(self, job: DatasetJob) -> Iterator[Path]:
        yield self.out

    def finish(self, job: DatasetJob) -> None:
        if not self.is_complete():
            if self.out.exists():
                raise InvalidInput(f"{self.out} exists by now. Move it, and run this again.")
            self._unpacked.finish(job)
            self._publish(job, overwrite=False)
        self._remove_unpacked()
        with suppress(OSError):  # not there, or with files that are not ours
            self.folder.rmdir()

    @contextmanager
    def open_reader(self, job: DatasetJob) -> Iterator[_ZipReader]:
        try:
            yield _ZipReader(self.out, job)
        except BadZipFile:
            raise InvalidInput(
                f"{self.out}: its directory is damaged, or its end is cut off, so that nothing in "
                "it can be found. Move it, and draw the data set again."
            ) from None

    def mend(self, job: DatasetJob, images: Iterable[Mended], redrawn: Places) -> None:
        for name in _ZipReader(self.out, job).surplus():
            raise InvalidInput(
                f"{self.out}: got {shown(name)} in it, which is not of the data set. Take it out "
                "first."
            )
        self.folder.mkdir(exist_ok=True)
        try:
            self._unpacked.start(_read_job(self.out) or b"")
            self._unpacked.mend(job, (replace(image, is_new=True) for image in images), redrawn)
            self._publish(job, overwrite=True)
        finally:
            self.finish(job)

    def remove(self) -> None:
        self.out.unlink(missing_ok=True)
        self._remove_unpacked()

    def _publish(self, job: DatasetJob, *, overwrite: bool) -> None:
        others = [self.folder / name for name in (job.layout_file, MANIFEST) if name]
        files = chain([self.job_file], self._unpacked.files(job), others)
        beside = self.folder / PACKED
        with publish_file(self.out, overwrite=overwrite, beside=beside) as packed:
            _pack(files, packed)

    def _remove_unpacked(self) -> None:
        (self.folder / PACKED).unlink(missing_ok=True)
        self._unpacked.remove()


def _pack(files: Iterable[Path], target: Path) -> None:
    """Store files as they are: of nobody, at no time, so that equal images make equal files."""
    with Archive(target, "w") as archive:
        for path in files:
            entry = _make_entry(path.name)
            try:
                source = path.open("rb")
            except FileNotFoundError:
                raise InvalidInput(
                    f"{path} is gone from a data set that was complete. Pass force=True to start "
                    "over."
                ) from None
            with source:
                entry.file_size = path.stat().st_size
                with archive.open(entry, "w") as stored:
                    shutil.copyfileobj(source, stored)


def _read_job(path: Path) -> bytes | None:
    """The job that a zip file of ours begins with; None in another's, and where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        header = file.read(HEADER + len(JOB))
        size = int.from_bytes(header[18:22], "little")
        lengths = len(JOB).to_bytes(2, "little") + b"\0\0"  # of the name, and of what follows it
        ours = header.startswith(b"PK\3\4") and header[26:] == lengths + JOB.encode()
        return file.read(size) if ours and size <= LARGEST_JOB else None


def _make_entry(name: str) -> ZipInfo:
    """An entry of nobody, at no time, so that equal images make equal files."""
    entry = ZipInfo(name)  # of 1 January 1980, the first day that there is
    entry.create_system, entry.external_attr = 3, 0o100644 << 16  # as on Unix, everywhere
    return entry


class _ZipReader:
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
        told, entry = self._entries[name], _make_entry(name)
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

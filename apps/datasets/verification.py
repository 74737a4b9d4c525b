"""Comparing a data set with what its manifest says, and naming what is damaged, missing or surplus.

The images pass by: a data set that is whole takes no more memory with millions of them.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylert.apps.datasets.folder import Folder
from stylert.apps.datasets.identity import read_job
from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.layouts import make_layout
from stylert.apps.datasets.names import JOB, MANIFEST, partial
from stylert.apps.datasets.pipeline import choose_threads, open_pipeline
from stylert.apps.datasets.places import Places
from stylert.apps.datasets.reading import Entry, Flaw, Reader, read_entries
from stylert.apps.datasets.store import Container
from stylert.apps.datasets.webdataset import WebDataset
from stylert.apps.datasets.zip_file import ZipFile
from stylert.runtime.errors import InvalidInput

__all__ = ["DatasetReport", "check_complete", "holds_dataset", "open_stored", "verify_dataset"]

WAITING = 8  # images that wait for a thread, for each of them
TOLD = 64  # images between two calls of `progress`

Progress = Callable[[int, int], None]  # images that have been compared, and all


@dataclass(frozen=True)
class DatasetReport:
    """What `verify_dataset` found. Names are those of files, or say which part of one."""

    path: Path
    images: int  # of the data set
    damaged: tuple[str, ...]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]  # not of the data set, and readers may take it for a part
    places: Places = field(repr=False)  # of the images that have to be drawn again

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged, missing or surplus."""
        return not (self.damaged or self.missing or self.surplus)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        return {
            "dataset": str(self.path),
            "images": self.images,
            "is_whole": self.is_whole,
            "damaged": [*self.damaged],
            "missing": [*self.missing],
            "surplus": [*self.surplus],
        }


def holds_dataset(path: str | Path) -> bool:
    """Whether there is a data set of ours at a path, whole or not; a bundle is none."""
    path = Path(path)
    if path.is_dir():
        return (path / JOB).is_file() or (path / MANIFEST).is_file()
    return ZipFile(path).stored_job() is not None


def check_complete(path: str | Path) -> None:
    """Refuse a data set of ours that is not written to its end; what is none of ours passes.

    Raises:
        InvalidInput: pictures of it are missing.
    """
    container = _open_container(Path(path))
    stored = container.stored_job()
    if stored is None or container.is_complete():
        return
    try:
        read_job(stored, Path(path))
    except InvalidInput:  # a job.json of something else
        return
    raise _tell_unfinished(Path(path))


def verify_dataset(
    path: str | Path,
    *,
    threads: int | None = None,
    progress: Progress = lambda done, total: None,
) -> DatasetReport:
    """Compare every image of a data set with the SHA-256 that was recorded when it was written.

    Of shards, all other bytes are compared, too.

    Args:
        path: the folder or zip file.
        threads: that read and hash, None = one per usable CPU, up to 16.
        progress: called with the images that have been compared, and how many there are.

    Raises:
        InvalidInput: there is no data set, or none that was ever complete; or nothing of it can be
            read.
        OSError: it cannot be read.
    """
    threads = choose_threads("threads", threads)
    container, job, _ = open_stored(path)
    findings, total = _Findings(), len(job.seeds)
    with container.open_reader(job) as reader:
        flaw: Flaw | None = None
        with open_pipeline(
            _compare, findings.add, encoders=threads, waiting=WAITING * threads
        ) as put:
            try:
                for entry in read_entries(job, reader):
                    if not put(entry):
                        break
                    if entry.places.stop % TOLD == 0:
                        progress(entry.places.stop, total)
            except Flaw as of_the_manifest:
                flaw = of_the_manifest
                if flaw.missing:
                    findings.places.add(range(total))
        if flaw is None and job.layout_file is not None and not findings.lines:
            flaw = _compare_layout(job, reader, job.layout_file)
        findings.tell(flaw)
        surplus = tuple(sorted(reader.surplus()))
    progress(total, total)
    damaged, missing = tuple(findings.damaged), tuple(findings.missing)
    return DatasetReport(Path(path), total, damaged, missing, surplus, findings.places)


def open_stored(path: str | Path) -> tuple[Container, DatasetJob, bytes]:
    """A complete data set, its job, and the job.json that tells of it.

    Raises:
        InvalidInput: there is none.
    """
    path = Path(path)
    container = _open_container(path)
    stored = container.stored_job()
    if stored is None:
        raise InvalidInput(f"{path} is no data set: got no {JOB} in it, expected one.")
    job = read_job(stored, path)
    if job.container == "webdataset":
        container = WebDataset(path)
    if not container.is_complete():
        raise _tell_unfinished(path)
    return container, job, stored


def _open_container(path: Path) -> Container:
    return Folder(path) if path.is_dir() else ZipFile(path)


def _tell_unfinished(path: Path) -> InvalidInput:
    lacks = f"has no {MANIFEST}" if path.is_dir() else f"is still the folder {partial(path.name)}"
    return InvalidInput(
        f"{path} {lacks}, so it is not complete. Write it to its end first: what wrote it goes on."
    )


class _Findings:
    """What has been found so far. A shard that is gone is told once."""

    def __init__(self) -> None:
        self.damaged: list[str] = []
        self.missing: list[str] = []
        self.places = Places()  # of the images that have to be drawn again
        self.lines = 0  # of the manifest, that are damaged

    def add(self, compared: tuple[Entry, Flaw | None]) -> None:
        entry, flaw = compared
        if flaw is not None:
            self.places.add(entry.places)
            self.lines += entry.record is None
            self.tell(flaw)

    def tell(self, flaw: Flaw | None) -> None:
        if flaw is not None:
            names = self.missing if flaw.missing else self.damaged
            if names[-1:] != [flaw.name]:
                names.append(flaw.name)


def _compare(entry: Entry) -> tuple[Entry, Flaw | None]:
    """Find what is wrong with an image."""
    digest = hashlib.sha256()
    try:
        for part in entry.read():
            digest.update(part)
    except Flaw as flaw:
        return entry, flaw
    except OSError as error:
        if error.errno != errno.EIO:  # else the disk has lost it
            raise
        return entry, Flaw(entry.name)
    recorded = entry.record["sha256"] if entry.record else None
    return entry, None if digest.hexdigest() == recorded else Flaw(entry.name)


def _compare_layout(job: DatasetJob, reader: Reader, name: str) -> Flaw | None:
    """Find what is wrong with the file of labels, which follows from the manifest."""
    try:
        with reader.open(name) as file:
            records = (entry.record for entry in read_entries(job, reader) if entry.record)
            same = all(file.read(len(part)) == part for part in make_layout(job, records))
            return None if same and not file.read(1) else Flaw(name)
    except Flaw as flaw:
        return flaw

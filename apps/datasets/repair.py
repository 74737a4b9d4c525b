"""Repairing a data set: what is damaged or missing is drawn again, by the same bundle and software.

Afterwards it has the bytes that it would have, had nothing happened. An image is drawn in its batch
again, as the batch decides how a backend rounds.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stylert.apps.datasets.identity import check_same_job, describe_job
from stylert.apps.datasets.job import DatasetJob, StyleFile
from stylert.apps.datasets.locks import locked_folder
from stylert.apps.datasets.pipeline import choose_threads
from stylert.apps.datasets.places import Places
from stylert.apps.datasets.reading import Entry, Flaw, Reader, read_entries
from stylert.apps.datasets.records import format_line, make_record
from stylert.apps.datasets.store import Mended
from stylert.apps.datasets.verification import DatasetReport, open_stored
from stylert.apps.datasets.workers import count_workers
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import encode_image

if TYPE_CHECKING:
    import numpy as np

    from stylert.runtime import Generator

__all__ = ["open_as_drawn", "repair_dataset"]

OPENED_WITH = ("backend", "provider", "device", "precision", "threads")  # of a job.json

Progress = Callable[[int, int], None]  # images that have been drawn again, and all


def open_as_drawn(bundle: str | Path, dataset: str | Path, **opening: Any) -> Generator:
    """Open a bundle as it was when a data set was drawn: its backend, precision, threads and batch.

    Args:
        bundle: the directory that `stylert export` wrote.
        dataset: the folder or zip file.
        opening: other arguments of `Generator.open`.

    Raises:
        InvalidInput: there is no data set; else see `Generator.open`.
    """
    from stylert.runtime import Generator

    _, _, stored = open_stored(dataset)
    drawn_with = json.loads(stored)["drawn_with"]
    opening |= {name: drawn_with[name] for name in OPENED_WITH if name in drawn_with}
    return Generator.open(bundle, max_batch=drawn_with["batch"], **opening)


def repair_dataset(
    generator: Generator,
    report: DatasetReport,
    *,
    ws: StyleFile | None = None,
    progress: Progress = lambda done, total: None,
) -> int:
    """Draw again what a report says is damaged or missing; gives how many images that were.

    What is surplus stays where it is.

        report = verify_dataset("faces")
        with open_as_drawn("bundle", "faces") as generator:
            repair_dataset(generator, report)

    Args:
        generator: what drew the data set, see `open_as_drawn`.
        report: of `verify_dataset`.
        ws: the styles of the file that was drawn, where no seeds were.
        progress: called with the images that have been drawn, and how many will be.

    Raises:
        InvalidInput: another bundle, backend or software, or a processor that draws other bytes; or
            the data set has changed since it was verified, or is being written.
        EngineError: the backend failed.
        OSError: the disk is full, or the place cannot be written.
    """
    container, job, stored = open_stored(report.path)
    if job.ws is not None and report.places:
        job = replace(job, ws=_check_styles(job.ws, ws))
    with locked_folder(container.folder, alone=True):
        check_same_job(
            stored,
            describe_job(job, generator),
            report.path,
            advice="Repair it with the bundle and the software that drew it.",
        )
        with (
            container.open_reader(job) as reader,
            ThreadPoolExecutor(choose_threads("threads", None)) as pool,
        ):
            drawn = _draw_again(generator, job, report.places, pool, progress)
            try:
                container.mend(job, _mend(_read_all(job, reader), drawn), report.places)
            except Flaw as flaw:
                raise InvalidInput(
                    f"{report.path}: {flaw.name} has changed since it was verified. Verify it "
                    "again."
                ) from None
    progress(len(report.places), len(report.places))
    return len(report.places)


def _check_styles(drawn: StyleFile, ws: StyleFile | None) -> StyleFile:
    """The styles that were drawn, if these are they."""
    if ws is None or ws.sha256 != drawn.sha256:
        got = "none" if ws is None else f"{ws.name} of SHA-256 {ws.sha256[:12]}..."
        raise InvalidInput(
            f"ws: got {got}, expected {drawn.name} of SHA-256 {drawn.sha256[:12]}..., whose styles "
            "are the pictures of this data set."
        )
    return replace(ws, name=drawn.name)


class _Drawn(NamedTuple):
    place: int
    record: Mapping[str, Any]
    data: bytes  # of the image's file


def _draw_again(
    generator: Generator, job: DatasetJob, places: Places, pool: Executor, progress: Progress
) -> Iterator[_Drawn]:
    """Draw images, each in its batch."""
    done = 0
    groups = groupby(places, lambda place: job.find_batch(place, generator.max_batch))
    batches = ((batch, [*some]) for batch, some in groups)
    for wanted, images in _draw_ahead(generator, job, batches):
        progress(done, len(places))
        yield from pool.map(partial(_encode, job), wanted, images)
        done += len(wanted)


def _draw_ahead(
    generator: Generator, job: DatasetJob, batches: Iterator[tuple[range, list[int]]]
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Draw batches, as many at the same time as the generator is for, and give what is wanted."""

    def draw(batch: range, wanted: list[int]) -> tuple[list[int], list[np.ndarray]]:
        drawn = job.draw(generator, batch)
        return wanted, [drawn[place - batch.start] for place in wanted]

    workers = count_workers(generator)
    ahead: deque[Future[tuple[list[int], list[np.ndarray]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="draw") as pool:
        for batch in batches:
            ahead.append(pool.submit(draw, *batch))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _encode(job: DatasetJob, place: int, image: np.ndarray) -> _Drawn:
    data = encode_image(image, **job.encoding)
    return _Drawn(place, make_record(job, place, data), data)


def _read_all(job: DatasetJob, reader: Reader) -> Iterator[Entry]:
    """All images, also where there is no manifest."""
    place = 0
    with suppress(Flaw):
        for entry in read_entries(job, reader):
            yield entry
            place = entry.places.stop
    if place < len(job.seeds):
        yield Entry(range(place, len(job.seeds)))


def _mend(entries: Iterator[Entry], redrawn: Iterator[_Drawn]) -> Iterator[Mended]:
    """All images, with those that were drawn again in their places."""
    drawn = next(redrawn, None)
    for entry in entries:
        for place in entry.places:
            if drawn is not None and drawn.place == place:
                line = format_line(drawn.record)
                _check_drawn(entry, drawn, line)
                yield Mended(line, drawn.record, True, partial(bytes, drawn.data))
                drawn = next(redrawn, None)
            elif entry.record is None:
                raise Flaw(entry.name)
            else:
                yield Mended(entry.line, entry.record, False, partial(_load, entry))


def _load(entry: Entry) -> bytes:
    return b"".join(entry.read())


def _check_drawn(entry: Entry, drawn: _Drawn, line: bytes) -> None:
    """Refuse an image that is neither the one that was recorded nor the one that is there."""
    if entry.record is None or entry.reading is None or entry.line == line:
        return
    with suppress(Flaw):  # its line is damaged, and not the image
        if b"".join(entry.reading(line, drawn.record)) == drawn.data:
            return
    recorded, now = entry.record["sha256"], drawn.record["sha256"]
    raise InvalidInput(
        f"{entry.name}: drawn again, its SHA-256 is {now[:12]}..., expected {recorded[:12]}...: "
        "this processor rounds in another way. Repair the data set on one as it was drawn on."
    )

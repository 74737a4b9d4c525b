"""Opening a bundle for a job: many images by workers, and one that goes on as it was begun.

What a call takes decides how the backend rounds, so it is a fact of the data set: its job.json
tells of it, and how many workers make such calls changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.workers import Call, open_for_workers
from stylert.apps.datasets.writing import make_container
from stylert.runtime.machine import usable_cpus

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["open_for_job"]

BULK = 2  # calls of each worker, at least: else they wait for the last one, each on one CPU


def open_for_job(
    bundle: str | Path,
    job: DatasetJob,
    out: str | Path,
    *,
    force: bool = False,
    threads: int | None = None,
    max_batch: int = 8,
    **opening: Any,
) -> tuple[Generator, int]:
    """Open a bundle to write a data set, by workers where that is faster.

        generator, workers = open_for_job("bundle", job, "out")
        with generator:
            write_dataset(generator, job, "out", workers=workers)

    Args:
        bundle: the directory that `stylert export` wrote.
        job: what to draw.
        out: the folder or zip file. What is there of a data set goes on with the calls that it was
            begun with, where so many threads and images are allowed.
        force: start over, whatever is there.
        threads: CPU threads of all workers together, None = all CPUs that this process may use.
        max_batch: images that all workers draw at the same time.
        opening: other arguments of `Generator.open`.

    Returns:
        The generator, and for how many workers it is.

    Raises:
        BundleError, InvalidInput, MissingExtra, EngineError: see `Generator.open`.
    """
    import stylert

    stored = None if force else make_container(job.container, Path(out)).stored_job()
    whole = {**opening, "threads": threads, "max_batch": max_batch}
    if stored is None and len(job.seeds) >= BULK * max_batch:
        return open_for_workers(bundle, **whole)
    call = None if stored is None else _read_call(stored)
    cpus = usable_cpus() if threads is None else threads
    if call is not None and call.threads <= cpus and call.batch <= max_batch:
        return open_for_workers(bundle, call=call, **whole)
    return stylert.open(bundle, **whole), 1


def _read_call(stored: bytes) -> Call | None:
    """What a call took on the CPU, as a job.json tells it; None in one that does not."""
    try:
        drawn = json.loads(stored)["drawn_with"]
        call = Call(drawn["threads"], drawn["batch"])
        on_cpu = (drawn["backend"], drawn["provider"]) == ("onnxruntime", "cpu")
    except (ValueError, KeyError, TypeError, RecursionError):  # it is refused when it is gone on
        return None
    sound = all(type(number) is int and number > 0 for number in call)
    return call if on_cpu and sound else None

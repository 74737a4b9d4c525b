"""Writing a data set on a Ray cluster: actors share the shards out, each with a session of its own.

The actors are plain ones and not those of Ray Data. A shard is written in place and gives no rows
to stream; the actors are compared before the first image, and say how far they are; and one that
dies costs what its journal does not tell of yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylert.apps.cluster.connection import connected, list_machines, opening_on
from stylert.apps.cluster.dataset_fleet import Fleet, count_images
from stylert.apps.cluster.dataset_size import size_actors
from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import shard_name
from stylert.apps.datasets.writing import DatasetResult
from stylert.runtime.arguments import check_integer, shown
from stylert.runtime.errors import InvalidInput

__all__ = ["RayDatasetResult", "write_dataset_on_ray"]

Progress = Callable[[int, int], None]  # images that are there, and how many there will be


@dataclass(frozen=True)
class RayDatasetResult(DatasetResult):
    """What `write_dataset_on_ray` did."""

    files: Iterator[Path]  # as before; named here so that its type is known in this module, too
    choice: str  # what ran where, and why
    deaths: int  # actors that were lost, and replaced


def write_dataset_on_ray(
    bundle: str | Path,
    job: DatasetJob,
    out: str | Path,
    *,
    address: str = "auto",
    actors: int | None = None,
    cpus: float | None = None,
    gpus: float | None = None,
    force: bool = False,
    progress: Progress = lambda done, total: None,
    **opening: Any,
) -> RayDatasetResult:
    """Draw the images of many seeds into WebDataset shards, on all machines of a Ray cluster.

    The files are those that `write_dataset` makes on one of the machines, to the byte. Call it
    again with the same arguments, or call that one, to go on after an interrupt or a crash.

        job = DatasetJob(seeds=Seeds.parse("0-999999"), container="webdataset")
        write_dataset_on_ray("/shared/bundle", job, "/shared/out", address="10.0.0.1:6379")

    Args:
        bundle: its path, the same on all machines.
        job: what to draw; its container is 'webdataset'.
        out: a folder on a file system that all machines share.
        address: of the cluster: 'auto', 'HOST:PORT', or 'local' to start one on this machine.
        actors: how many, each with a session of its own; None = as many as the cluster has room
            for. Those that find none yet join later.
        cpus: of an actor; None = `threads`, else its share of the machine.
        gpus: of an actor, a part of one, too; None = 1 where the cluster has GPUs.
        force: start over: what is there of a data set is removed first.
        progress: called with the images that are there and those that there will be.
        opening: arguments of `Generator.open`.

    Raises:
        InvalidInput: see `write_dataset`; or another container, or machines that differ.
        BundleError: a machine has no bundle, a damaged one, or another one.
        MissingExtra: Ray is not installed, or a machine lacks the backend.
        EngineError: no cluster, no room in it, actors that die again and again, or a backend that
            failed.
        OSError: the disk is full, or the place cannot be written.
    """
    if job.container != "webdataset":
        raise InvalidInput(
            f"container: got {shown(job.container)}, which one process writes. "
            "On Ray, pass container='webdataset'."
        )
    if actors is not None:
        check_integer("actors", actors, 1)
    with connected(address) as ray:
        machines = list_machines(ray)
        size = size_actors(
            machines,
            cpus=cpus,
            gpus=gpus,
            threads=opening.get("threads"),
            provider=opening.get("provider", "auto"),
        )
        fleet = Fleet(
            ray,
            size,
            os.path.abspath(bundle),
            job,
            os.path.abspath(out),
            encoders=max(1, int(size.cpus)),
            force=force,
            opening=opening_on(cpus=size.cpus, gpus=size.gpus, **opening),
        )
        try:
            fleet.gather(min(actors or size.room(machines), job.shards))
            return _written(fleet, job, Path(out), force=force, progress=progress)
        finally:
            fleet.end()


def _written(
    fleet: Fleet, job: DatasetJob, out: Path, *, force: bool, progress: Progress
) -> RayDatasetResult:
    sizes = [len(job.shard(number)) for number in range(job.shards)]
    there = fleet.ask("start", force)  # images by shard
    missing = [number for number in range(job.shards) if there[number] < sizes[number]]
    complete = sum(there) - sum(there[number] for number in missing)
    total = len(job.seeds)
    tell = count_images(progress, sizes, complete=complete, there=sum(there), total=total)
    fleet.write(missing, tell)
    fleet.ask("finish")
    progress(total, total)
    return RayDatasetResult(
        images=total,
        drawn=total - sum(there),
        files=(out / shard_name(number) for number in range(job.shards)),
        choice=fleet.choice,
        deaths=fleet.deaths,
    )

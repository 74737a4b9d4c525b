"""Features for an evaluation on a Ray cluster, whose actors share the parts out."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stylert.apps.cluster.connection import connected, list_machines, opening_on
from stylert.apps.cluster.dataset_actor import OpenedActor
from stylert.apps.cluster.dataset_fleet import Fleet, count_images
from stylert.apps.cluster.dataset_size import size_actors
from stylert.apps.datasets.identity import describe_job
from stylert.apps.evaluation.parts import PartTask, PartWorker
from stylert.runtime.errors import BundleError

__all__ = ["PartActor", "share_out_on_ray"]


class PartActor(PartWorker):
    """A worker that says what it is, so that all draw alike."""

    def __init__(self, task: PartTask) -> None:
        super().__init__(task)
        self._told = task

    def open(self) -> OpenedActor:
        """Open the session. Apart from the constructor, whose errors Ray tells as text.

        Raises:
            BundleError, InvalidInput, MissingExtra, EngineError: see `Generator.open`.
        """
        machine = platform.node()
        if not Path(self._told.bundle).exists():
            raise BundleError(
                f"The machine {machine} has no bundle at {self._told.bundle}. Copy it there, or to "
                "a file system that all machines share."
            )
        generator = self.start()
        return OpenedActor(machine, generator.choice, describe_job(self._told.job, generator))


def share_out_on_ray(
    task: PartTask,
    *,
    address: str = "auto",
    progress: Callable[[int, int], None] = lambda done, total: None,
    **opening: Any,
) -> None:
    """Have the parts of a task written on a cluster: what `extract_parts` runs.

    Args:
        task: what is to be drawn; its folder is on a file system that all machines share.
        address: of the cluster: 'auto', 'HOST:PORT', or 'local' to start one on this machine.
        progress: called with the pictures that are there, and all.
        opening: arguments of `Generator.open`.

    Raises:
        BundleError, InvalidInput, MissingExtra, EngineError, OSError: see `write_dataset_on_ray`.
    """
    sizes = [len(part) for part in task.parts]
    first, stop = task.parts[0].start, task.parts[-1].stop
    with connected(address) as ray:
        machines = list_machines(ray)
        size = size_actors(
            machines,
            cpus=None,
            gpus=None,
            threads=opening.get("threads"),
            provider=opening.get("provider", "auto"),
        )
        opened = opening_on(cpus=size.cpus, gpus=size.gpus, **opening)
        fleet = Fleet(ray, size, replace(task, opening=opened), actor=PartActor)
        tell = count_images(progress, sizes, complete=first, there=first, total=stop)
        try:
            progress(first, stop)
            fleet.gather(min(size.room(machines), len(sizes)))
            fleet.write(range(len(sizes)), tell)
            progress(stop, stop)
        finally:
            fleet.end()

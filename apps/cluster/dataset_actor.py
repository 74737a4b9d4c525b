"""The actor that writes shards: it holds one session on one machine of a Ray cluster.

It is a plain class, which Ray runs in a process of its own; here nothing imports Ray.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylert.apps.datasets.identity import describe_job
from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.locks import lock_alone
from stylert.apps.datasets.names import partial
from stylert.apps.datasets.opening import open_for_job
from stylert.apps.datasets.webdataset import WebDataset
from stylert.apps.datasets.writing import DatasetWriter
from stylert.runtime.arguments import shown
from stylert.runtime.errors import BundleError, InvalidInput

__all__ = ["OpenedActor", "ShardActor"]

LOCK_SECONDS = 120.0  # until a network's file system frees the files of a machine that was lost


@dataclass(frozen=True)
class OpenedActor:
    """What an actor is, once its session is open."""

    machine: str
    choice: str  # what runs and why
    description: bytes  # the job.json that it would write

    def check_draws_as(self, other: OpenedActor) -> None:
        """Refuse an actor whose images would differ from those of another one.

        Raises:
            BundleError: it has another bundle.
            InvalidInput: another GPU, backend or version of something.
        """
        ours, theirs = json.loads(self.description), json.loads(other.description)
        if ours["bundle"] != theirs["bundle"]:
            raise BundleError(
                f"The bundle on the machine {self.machine} is another than on {other.machine}: "
                f"SHA-256 {_start(ours)}, expected {_start(theirs)}. Copy one bundle to all "
                "machines, or to a file system that they share."
            )
        drawn, expected = ours["drawn_with"], theirs["drawn_with"]
        for name in {**expected, **drawn}:
            if drawn.get(name) != expected.get(name):
                raise InvalidInput(
                    f"The machine {self.machine} would draw other bytes than {other.machine}: its "
                    f"{name} is {shown(drawn.get(name))}, expected {shown(expected.get(name))}. "
                    "Give a job machines that are equal."
                )


class ShardActor:
    """Draws and writes shards of a data set, one at a time.

    Args:
        bundle: a path on the machine of the actor.
        job: what to draw.
        out: the folder, on a file system that all machines share.
        encoders: threads that encode and hash.
        force: the data set is started over.
        opening: arguments of `Generator.open`.
    """

    def __init__(
        self,
        bundle: str,
        job: DatasetJob,
        out: str,
        *,
        encoders: int,
        force: bool,
        opening: Mapping[str, Any],
    ) -> None:
        self._bundle = bundle
        self._job = job
        self._container = WebDataset(Path(out))
        self._encoders = encoders
        self._force = force
        self._opening = dict(opening)
        self._done = 0  # images that are there of the shard that is written

    def open(self) -> OpenedActor:
        """Open the session. Apart from the constructor, whose errors Ray tells as text.

        Raises:
            BundleError, InvalidInput, MissingExtra, EngineError: see `Generator.open`.
        """
        machine = platform.node()
        if not Path(self._bundle).exists():
            raise BundleError(
                f"The machine {machine} has no bundle at {self._bundle}. Copy it there, or to a "
                "file system that all machines share."
            )
        where = (self._bundle, self._job, out := self._container.folder)
        generator, workers = open_for_job(*where, force=self._force, **self._opening)
        self._writer = DatasetWriter(generator, self._job, out, workers=workers)
        description = describe_job(self._writer.job, generator)
        return OpenedActor(machine, generator.choice, description)

    def start(self, force: bool) -> list[int]:
        """Start the data set; gives how many images are there of each shard.

        Raises:
            InvalidInput, EngineError, OSError: see `DatasetWriter.start`.
        """
        self._writer.start(force=force)
        numbers = range(self._job.shards)
        if self._writer.is_complete():
            self._writer.write([])  # checks that its files are there
            return [len(self._job.shard(number)) for number in numbers]
        return [self._count_images(number) for number in numbers]

    def write(self, number: int) -> None:
        """Write what is missing of a shard, whoever began it.

        Raises:
            InvalidInput, EngineError, OSError: see `DatasetWriter.write`.
        """
        if self._container.stored_job() is None:
            raise InvalidInput(
                f"The machine {platform.node()} does not see {self._container.job_file}, which "
                "another one wrote. Choose a folder on a file system that all machines share."
            )
        self._done = 0
        self._wait_until_free(number)
        self._writer.write([number], encoders=self._encoders, progress=self._note)

    def done(self) -> int:
        """Images that are there of the shard that is written."""
        return self._done

    def finish(self) -> None:
        """Make the data set of its shards.

        Raises:
            InvalidInput, OSError: see `DatasetWriter.finish`.
        """
        self._writer.finish()

    def _note(self, done: int, total: int) -> None:
        self._done = done

    def _count_images(self, number: int) -> int:
        journal = self._container.journal(number)
        if journal.is_file():
            return len(self._job.shard(number))
        with suppress(FileNotFoundError):
            return journal.with_name(partial(journal.name)).read_bytes().count(b"\n")
        return 0

    def _wait_until_free(self, number: int) -> None:
        """Wait for the actor that had this shard before, and may be lost but not yet dead."""
        journal = self._container.journal(number)
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                with journal.with_name(partial(journal.name)).open("r+b") as file:
                    return lock_alone(file.fileno(), journal)
            except FileNotFoundError:  # nobody had it
                return None
            except InvalidInput:
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)


def _start(description: Mapping[str, Any]) -> str:
    return f"{str(description['bundle']['sha256'])[:12]}..."

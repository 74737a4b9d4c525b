"""Jobs that clients start, look at, and fetch the result of: how many, how long, and for whom."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stylert.apps.serving.batcher import ShuttingDown
from stylert.apps.serving.heavy_work import HeavyWork
from stylert.apps.serving.service import Overloaded
from stylert.apps.serving.settings import Settings
from stylert.runtime.errors import InvalidInput, StylertError

__all__ = ["Job", "Jobs", "NotThere"]

_log = logging.getLogger("stylert.serving")
_KEPT = 16  # jobs that have ended
_TOLD = (
    *("id", "kind", "state", "stage", "step", "steps", "error", "notes"),
    *("w", "psnr", "similarity"),
)


class NotThere(InvalidInput):
    """There is no such job, or it has no such picture."""


class Stopped(Exception):
    """A job is to end at this step."""


@dataclass(eq=False)
class Job:
    """What is known of a job. Its thread writes, others read.

    Attributes:
        kind: 'project', 'inpaint' or 'search'.
        id: nobody guesses it.
        state: 'waiting', 'running', 'done', 'cancelled' or 'failed'.
        stage: what it does.
        step: how far it is in that.
        steps: how many there are.
        error: why it failed, or ended early.
        notes: what else is to be told, in sentences.
        w: the styles found so far as handles, the best first.
        psnr: how near each is to the photo, in dB.
        similarity: how near each is to the text, at most 1.
        pictures: [H, W, C] uint8: of a projection what is drawn now, of others their results.
    """

    kind: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    state: str = "waiting"
    stage: str = ""
    step: int = 0
    steps: int = 0
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    w: list[str] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    similarity: list[float] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    wanted: bool = True
    seen: float = field(default_factory=time.monotonic)

    @property
    def ended(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.state not in ("waiting", "running")

    def tell(self) -> dict[str, Any]:
        """What a client is told."""
        return {name: getattr(self, name) for name in _TOLD} | {"pictures": len(self.pictures)}


class Jobs:
    """The jobs of a service; one runs at a time.

    Args:
        work: the thread that does them.
        settings: how many there may be, and how long one may take.
        clock: what the seconds are taken from.
    """

    def __init__(
        self,
        work: HeavyWork,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._settings = settings
        self._clock = clock
        self._jobs: dict[str, Job] = {}  # in their order

    def check_room(self) -> None:
        """See whether there is room for another job.

        Raises:
            Overloaded: there is none.
        """
        self._forget()
        open_jobs = sum(not job.ended for job in self._jobs.values())
        if open_jobs >= self._settings.max_jobs:
            raise Overloaded(
                f"The service has {open_jobs} jobs already, and takes up to "
                f"{self._settings.max_jobs}. Try again in 10 s.",
                10,
            )

    def start(self, kind: str, run: Callable[[Job, Callable[..., None]], None]) -> Job:
        """Take a job.

        Args:
            kind: of it.
            run: does it. It is given the job, and what it calls between its steps, with the stage,
                the step and their number.

        Raises:
            Overloaded: there are too many.
            ShuttingDown: the service ends.
        """
        self.check_room()
        job = Job(kind, seen=self._clock())
        future: Future[None] = self._work.do_later(lambda: self._run(job, run))
        future.add_done_callback(lambda done: _note_shutdown(job, done))
        self._jobs[job.id] = job
        return job

    def find(self, id: str) -> Job:
        """The job of an id; that it is asked for keeps it alive.

        Raises:
            NotThere: there is none.
        """
        job = self._jobs.get(id)
        if job is None:
            raise NotThere("job: there is no such one, or it has ended long ago. Start another.")
        job.seen = self._clock()
        return job

    def cancel(self, id: str) -> Job:
        """End a job at its next step. What it has found so far stays.

        Raises:
            NotThere: there is none.
        """
        job = self.find(id)
        job.wanted = False
        if job.state == "waiting":
            job.state = "cancelled"
        return job

    def _run(self, job: Job, run: Callable[[Job, Callable[..., None]], None]) -> None:
        started = self._clock()
        if not job.wanted or started - job.seen > self._settings.job_patience:
            job.state = "cancelled"
            return
        job.state = "running"

        def step(stage: str, done: int, total: int) -> None:
            job.stage, job.step, job.steps = stage, done, total
            self._work.take_breath()
            now = self._clock()
            if now - job.seen > self._settings.job_patience:
                job.wanted = False
            if not job.wanted:
                raise Stopped
            if now - started > self._settings.job_seconds and not (job.w and done == total):
                raise TimeoutError

        try:
            run(job, step)
            job.state = "done"
        except Stopped:
            job.state = "cancelled"
        except TimeoutError:
            limit = f"{self._settings.job_seconds:g} s"
            job.error = f"It took longer than {limit}, which is the most. Ask for less."
            job.state = "done" if job.w else "failed"
        except ShuttingDown as error:
            job.state, job.error = "cancelled", str(error)
        except StylertError as error:
            job.state, job.error = "failed", " ".join(str(error).split())
        except Exception:  # the log says what, clients are told nothing of the inside
            job.state = "failed"
            job.error = "Something went wrong in the service. Look into its log, which says what."
            raise

    def _forget(self) -> None:
        """Drop jobs that have ended and that nobody asks for, and the oldest of too many."""
        now = self._clock()
        ended = [job for job in self._jobs.values() if job.ended]
        for i, job in enumerate(reversed(ended)):
            if i >= _KEPT or now - job.seen > self._settings.job_patience:
                del self._jobs[job.id]


def _note_shutdown(job: Job, done: Future[None]) -> None:
    if done.cancelled() and not job.ended:
        job.state, job.error = "cancelled", str(ShuttingDown())
    elif not done.cancelled() and (error := done.exception()) is not None:
        _log.error("a job failed", exc_info=error)

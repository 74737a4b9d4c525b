"""Where a service does what takes long: one thread, a generator of its own, and the jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from stylert.apps.serving.heavy_work import HeavyWork
from stylert.apps.serving.jobs import Jobs
from stylert.apps.serving.service import Service
from stylert.runtime import Generator
from stylert.runtime.errors import InvalidInput

__all__ = ["Workshop"]

Result = TypeVar("Result")


class Workshop:
    """Works beside a service: in a thread of its own, by a generator of its own.

    That one is opened when it is first needed. It is the same bundle on the same kind of device, by
    ONNX Runtime, with as many threads as the settings say.

    Attributes:
        shown: the generator of the service.
        settings: of the service.
        jobs: those that wait, run, or have ended.
    """

    def __init__(self, service: Service) -> None:
        self.shown = service.generator
        self.settings = service.settings
        self._work = HeavyWork(lambda: service.is_drawing)
        self._opened: Generator | None = None  # in the thread of the work alone
        self.jobs = Jobs(self._work, service.settings)

    def check_job(self, command: str, **steps: int) -> None:
        """See whether a job may be started.

        Args:
            command: of the command line, which does the same.
            steps: how many of them it takes, by the name of the argument.

        Raises:
            InvalidInput: too many steps, or the service takes no jobs.
            Overloaded: there are too many jobs.
        """
        most = self.settings.job_steps
        if self.settings.max_jobs == 0:
            raise InvalidInput(
                f"This service takes no jobs. Use: stylert serve, or stylert {command}"
            )
        for name, count in steps.items():
            if count > most:
                raise InvalidInput(f"{name}: got {count}, expected up to {most}.")
        self.jobs.check_room()

    async def do_soon(self, work: Callable[[], Result]) -> Result:
        """Have something done in the thread, between the steps of a job.

        Raises:
            Overloaded: too much of that waits already.
            ShuttingDown: the service ends.
        """
        return await asyncio.wrap_future(self._work.do_soon(work))

    def open(self) -> Generator:
        """The generator of the jobs. Only their thread may ask for it.

        Raises:
            EngineError: ONNX Runtime cannot run the bundle.
        """
        if self._opened is None:
            facts = self.shown.describe()
            on_gpu = facts.get("provider") == "cuda" or facts["backend"] == "tensorrt"
            self._opened = Generator.open(
                self.shown.bundle.folder,
                backend="onnxruntime",
                provider="cuda" if on_gpu else "cpu",
                gpu=facts.get("gpu_index") if on_gpu else None,
                precision="fp32",
                threads=self.settings.job_threads,
                max_batch=4,
                check_files=False,
            )
        return self._opened

    def close(self) -> None:
        """End what runs, and its thread."""
        self._work.close()
        if self._opened is not None:
            self._opened.close()

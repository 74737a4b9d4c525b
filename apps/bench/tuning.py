"""`stylert tune`: the backends that are installed for the CPU, timed in turn on one bundle.

What it finds is noted for `backend='auto'`. It is no benchmark to show: all of them run in one
process, and the time that it may take is short.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylert.runtime import Generator
from stylert.runtime.backends.processor import processor_name
from stylert.runtime.backends.tuned_choice import DEFAULT, Timings, list_versions, note_timings
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, MissingExtra, StylertError
from stylert.runtime.machine import usable_cpus
from stylert.runtime.packages import install_command

__all__ = ["BATCHES", "Tuning", "tune_bundle"]

BATCHES = (1, 8)
PAUSE = 0.02  # seconds before a turn, in which the threads of the one before stop to wait for more
MOST_TURNS = 20


@dataclass(frozen=True)
class Tuning:
    """What was found.

    Attributes:
        timings: of the batches that all backends were timed for.
        versions: of the backends, by name.
        failed: why a backend was not timed, by name.
        skipped: the batches for which there was no time.
        threads: of each call.
        note: the file that `auto` reads.
    """

    timings: Timings
    versions: Mapping[str, str]
    failed: Mapping[str, str]
    skipped: tuple[int, ...]
    threads: int
    note: Path

    def rows(self) -> list[dict[str, str]]:
        """A row for each backend, texts by heading."""
        return [self._row(name) for name in self.timings.seconds]

    def lines(self) -> list[str]:
        """What else a user should know."""
        lines = [f"{name} was not timed: {why}" for name, why in self.failed.items()]
        lines += [
            f"There was no time for batch {batch}: pass more seconds." for batch in self.skipped
        ]
        return lines

    def to_json(self) -> dict[str, Any]:
        """What was found, as plain JSON types."""
        seconds = self.timings.seconds
        return {
            "fastest": self.timings.fastest,
            "seconds": {name: dict(of) for name, of in seconds.items()},
            "versions": {name: self.versions[name] for name in seconds},
            "failed": dict(self.failed),
            "skipped": list(self.skipped),
            "threads": self.threads,
            "processor": processor_name(),
            "note": str(self.note),
        }

    def _row(self, name: str) -> dict[str, str]:
        seconds = self.timings.seconds[name]
        speeds = {batch: self.timings.speed(name, batch) for batch in seconds}
        return {
            "backend": f"{name} {self.versions[name]}",
            **{f"batch {batch}, ms": f"{1000 * took:.1f}" for batch, took in seconds.items()},
            **{f"batch {batch}, x {DEFAULT}": f"{speeds[batch]:.2f}" for batch in speeds},
            "auto takes": "this one" if name == self.timings.fastest else "",
        }


def tune_bundle(
    path: str | Path,
    *,
    threads: int | None = None,
    seconds: float = 30.0,
    progress: Callable[[str, float], None] = lambda message, share: None,
) -> Tuning:
    """Time the backends that are installed for the CPU, and note the fastest for `auto`.

    Args:
        path: the bundle's directory.
        threads: of each call, None = all CPUs that this process may use.
        seconds: for all of it; a call that has begun is not stopped.
        progress: called with what comes next, and the share of the time, 0 to 1.

    Raises:
        BundleError: the bundle is incomplete or damaged.
        MissingExtra: no backend is installed.
        EngineError: none runs here, or the time is too short for one picture of each.
        OSError: the note cannot be written.
    """
    end = time.perf_counter() + seconds
    bundle = Bundle.open(path)
    versions = list_versions()
    if not versions:
        raise MissingExtra(f"No backend is installed. Install one: {install_command('cpu')}")
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        opened = {}
        for name in versions:
            try:
                generator = Generator.open(path, threads=threads, check_files=False, **_where(name))
                opened[name] = stack.enter_context(generator)
            except StylertError as error:
                failed[name] = str(error)
        if not opened:
            raise EngineError(f"No backend runs here: {next(iter(failed.values()))}")
        clock = _Clock(opened, end=end, seconds=seconds, progress=progress)
        found = {batch: clock.time_batch(batch) for batch in BATCHES}
    timed = [batch for batch in BATCHES if found[batch]]
    if not timed:
        raise EngineError(
            f"seconds: got {seconds:g}, which are too few to draw one picture with each of "
            f"{', '.join(opened)}. Pass more, as seconds={2 * seconds:g}."
        )
    timings = Timings({name: {batch: found[batch][name] for batch in timed} for name in opened})
    used = usable_cpus() if threads is None else threads
    note = note_timings(bundle, timings, threads=used)
    skipped = tuple(batch for batch in BATCHES if batch not in timed)
    return Tuning(timings, versions, failed, skipped, used, note)


def _where(backend: str) -> dict[str, Any]:
    where = {"backend": backend, "precision": "fp32"}
    return {**where, "provider": "cpu"} if backend == "onnxruntime" else where


class _Clock:
    """Takes the time of the generators, one after the other, until it is over."""

    def __init__(
        self,
        opened: Mapping[str, Generator],
        *,
        end: float,
        seconds: float,
        progress: Callable[[str, float], None],
    ) -> None:
        self._opened = opened
        self._end = end
        self._seconds = seconds
        self._progress = progress
        self._slowest = 0.0  # seconds of a picture, once all is ready

    def time_batch(self, batch: int) -> dict[str, float]:
        """The median seconds of a call, by name; nothing if the time is over before."""
        samples: dict[str, list[float]] = {name: [] for name in self._opened}
        # Half of what is left for the smaller batch, all for the larger one.
        until = self._end - (self._left() / 2 if batch == BATCHES[0] else 0)
        for turn in range(MOST_TURNS):
            for name, generator in self._opened.items():
                if not self._has_time(batch, enough=turn > 1, until=until):
                    return _medians(samples)
                self._progress(f"{name}, batch {batch}", 1 - self._left() / self._seconds)
                took = _time_drawing(generator, batch)
                samples[name].append(took)
                if turn:
                    self._slowest = max(self._slowest, took / batch)
        return _medians(samples)

    def _has_time(self, batch: int, *, enough: bool, until: float) -> bool:
        ends = time.perf_counter() + self._slowest * batch
        return ends < (until if enough else self._end)

    def _left(self) -> float:
        return max(0.0, self._end - time.perf_counter())


def _time_drawing(generator: Generator, batch: int) -> float:
    time.sleep(PAUSE)
    chosen: dict[str, Any] = {"class_idx": 0} if generator.spec.c_dim else {}
    start = time.perf_counter()
    generator.generate(range(batch), **chosen)
    return time.perf_counter() - start


def _medians(samples: Mapping[str, list[float]]) -> dict[str, float]:
    """Of every backend, without the first call of each, in which things are made ready."""
    if any(len(of) < 2 for of in samples.values()):
        return {}
    least = min(map(len, samples.values()))
    return {name: statistics.median(of[1:least]) for name, of in samples.items()}

"""The benchmark: times candidates in turn, each in its own process, and checks what it timed.

Every round gives each candidate one turn: A B C, A B C, ... so that a machine which slows down
slows all of them. The first turn of a round is a float32 GEMM, the roofline of that very minute.
Only one worker computes at a time; the others wait on their pipes.

    result = run_bench(
        [
            Candidate("onnxruntime", "stylert.runtime.bench_candidates:open_generator",
                      {"bundle": "ffhq", "max_batch": 8}),
            Candidate("torch-eager", "stylert.export.baselines:open_eager", {"checkpoint": ...}),
        ],
        batches=(1, 4, 8),
        macs_per_image=27_000_000_000,
    )
    Path("bench.json").write_text(result.to_json())
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.backends.onnxruntime import usable_cpus
from stylert.runtime.bench_candidates import GEMM, GEMM_SHAPE, Candidate, OpenCandidate
from stylert.runtime.bench_machine import describe_machine
from stylert.runtime.bench_plot import plot
from stylert.runtime.bench_report import (
    BenchResult,
    CandidateReport,
    Measurement,
    Parity,
    Row,
    Tolerance,
    parity_of,
)
from stylert.runtime.bench_worker import Worker, WorkerFailed
from stylert.runtime.errors import EngineError, InvalidInput

__all__ = ["BenchResult", "Candidate", "CandidateReport", "Measurement", "OpenCandidate", "Parity"]
__all__ += ["Row", "Tolerance", "plot", "run_bench"]

FIRST_REFERENCE = "torch-eager"  # the reference, where there is one and none is named
FEWEST_ROUNDS = 5  # however long they take

Progress = Callable[[str, float], None]


def run_bench(
    candidates: Sequence[Candidate],
    *,
    batches: Sequence[int],
    macs_per_image: int,  # multiply-accumulates of mapping and synthesis, for GFLOP/s
    threads: int | None = None,  # of every candidate, None = the CPUs that this process may use
    rounds: int = 10,  # turns of each candidate at each batch size
    warmup: int = 3,  # calls before the first round; fewer once they have taken 10 s
    min_seconds: float = 0.1,  # a turn repeats a shorter call for so long; all calls are samples
    max_seconds: float = 120.0,  # for the rounds of a batch size; 5 rounds are made in any case
    pin: bool = True,  # give each busy thread its own CPU (Linux), so that luck plays no part
    timeout: float = 1800.0,  # seconds for any single step of a candidate
    reference: str | None = None,  # whose images are right, None = 'torch-eager' if it is there
    baseline: str | None = None,  # whose speed is 1, None = the reference, or the first candidate
    tolerances: Mapping[str, Tolerance] | None = None,  # by precision: {'fp32': ...}
    subject: str = "",  # what is timed, for titles
    progress: Progress | None = None,  # called with what comes next, and the share done in [0, 1]
) -> BenchResult:
    """Time every candidate at every batch size, interleaved, and compare their images.

    A candidate that fails is reported with its reason, and keeps the batch sizes that it finished.
    Where calls are shorter than `min_seconds`, an untimed call opens each turn.

    Raises:
        InvalidInput: An argument cannot be used.
        EngineError: No candidate could be timed.
    """
    names = [candidate.name for candidate in candidates]
    _check_candidates(candidates)
    reference = _choice("reference", reference, names, FIRST_REFERENCE)
    settings = _Settings(
        batches=tuple(batches),
        threads=usable_cpus() if threads is None else threads,
        rounds=rounds,
        warmup=warmup,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        pin=pin,
        timeout=timeout,
        reference=reference,
        baseline=_choice("baseline", baseline, names, reference or names[0]),
        tolerances=dict(tolerances or {}),
    )
    _check_numbers(settings, macs_per_image)
    machine = describe_machine()  # before the benchmark itself is the load
    with _lanes([GEMM, *candidates], settings) as (gemm, *lanes):
        _time(gemm, lanes, settings, progress or (lambda message, share: None))
    if not any(lane.measurements for lane in lanes):
        reasons = "; ".join(f"{lane.candidate.name}: {lane.failure}" for lane in lanes)
        raise EngineError(f"No candidate could be timed. {reasons}")
    return BenchResult(
        subject=subject,
        macs_per_image=macs_per_image,
        settings=_plain(asdict(settings)),
        machine=machine,
        reference=settings.reference,
        baseline=settings.baseline,
        gemm_shape=GEMM_SHAPE,
        gemm=gemm.report(),
        candidates=tuple(lane.report() for lane in lanes),
        measurements=tuple(
            lane.measurements[batch]
            for batch in settings.batches
            for lane in lanes
            if batch in lane.measurements
        ),
        roofline=tuple(gemm.measurements.values()),
    )


@dataclass(frozen=True)
class _Settings:
    """What `run_bench` was asked for; part of its result."""

    batches: tuple[int, ...]
    threads: int
    rounds: int
    warmup: int
    min_seconds: float
    max_seconds: float
    pin: bool
    timeout: float
    reference: str | None
    baseline: str | None
    tolerances: Mapping[str, Tolerance]


class _Lane:
    """A candidate on its way through the benchmark, to its end or its failure."""

    def __init__(self, candidate: Candidate, settings: _Settings, folder: Path):
        folder.mkdir()
        self.candidate = candidate
        self.measurements: dict[int, Measurement] = {}
        self.failure: str | None = None
        self.image = folder / "image.npy"  # the last timed images of a batch size
        self._settings = settings
        self._log = folder / "worker.log"
        self._worker: Worker | None = None
        self._description: dict[str, Any] = {}
        self._startup_seconds: float | None = None
        self._pinned = 0
        self._other_cpus: list[float | None] = []
        self._rounds: list[tuple[float, ...]] = []
        self._cpu_rounds: list[tuple[float, ...]] = []

    def start(self) -> None:
        """Start the worker, up to its first images."""
        batch, timeout = self._settings.batches[0], self._settings.timeout
        with self._failing("start"):
            self._worker = Worker(self.candidate, threads=self._settings.threads, log=self._log)
            opened = self._worker.open(batch=batch, timeout=timeout)
            self._description, self._startup_seconds = opened

    def prepare(self, batch: int) -> None:
        """Make the inputs, and warm up."""
        self._rounds, self._cpu_rounds, self._other_cpus = [], [], []
        with self._failing(f"batch {batch}, warm-up"):
            warmup, pin = self._settings.warmup, self._settings.pin
            self._pinned = self._ask("prepare", batch=batch, warmup=warmup, pin=pin)["pinned"]

    def turn(self, batch: int) -> None:
        """Time one call, or several short ones."""
        with self._failing(f"batch {batch}, round {len(self._rounds) + 1}"):
            reply = self._ask("turn", min_seconds=self._settings.min_seconds)
            self._rounds.append(tuple(reply["seconds"]))
            self._cpu_rounds.append(tuple(reply["cpu_seconds"]))
            self._other_cpus.append(reply["other_cpus"])

    def finish(self, batch: int) -> None:
        """Keep what was measured, and write the images that were made last."""
        with self._failing(f"batch {batch}, images"):
            reply = self._ask("finish", image=str(self.image))
            self.measurements[batch] = Measurement(
                candidate=self.candidate.name,
                batch=batch,
                rounds=tuple(self._rounds),
                cpu_rounds=tuple(self._cpu_rounds),
                other_cpus=tuple(self._other_cpus),
                pinned=self._pinned,
                peak_mb=reply["peak_mb"],
            )

    def compare(self, batch: int, reference: _Lane) -> None:
        """Compare the images that were made last with the reference's."""
        tolerance = self._settings.tolerances.get(str(self._description.get("precision")))
        images, expected = (np.load(lane.image, mmap_mode="r") for lane in (self, reference))
        with self._failing(f"batch {batch}, parity"):
            try:
                parity = parity_of(images, expected, tolerance)
            except InvalidInput as error:
                raise WorkerFailed(str(error)) from None
            self.measurements[batch] = replace(self.measurements[batch], parity=parity)

    def close(self) -> None:
        """End the worker politely."""
        if self._worker is not None and self.failure is None:
            self._worker.close()

    def kill(self) -> None:
        """End the worker at once, if it has not ended."""
        if self._worker is not None:
            self._worker.kill()

    def report(self) -> CandidateReport:
        peaks = [m.peak_mb for m in self.measurements.values() if m.peak_mb is not None]
        return CandidateReport(
            name=self.candidate.name,
            factory=self.candidate.factory,
            options=_plain(dict(self.candidate.options)),
            description=self._description,
            startup_seconds=self._startup_seconds,
            peak_mb=max(peaks, default=None),
            failure=self.failure,
        )

    def _ask(self, order: str, **arguments: Any) -> dict[str, Any]:
        assert self._worker is not None
        return self._worker.ask(order, timeout=self._settings.timeout, **arguments)

    @contextmanager
    def _failing(self, when: str) -> Iterator[None]:
        """Turn a failure of the worker into the candidate's: it is out, and its worker ends."""
        try:
            yield
        except WorkerFailed as error:
            self.failure = f"{when}: {error}"
            self.kill()


@contextmanager
def _lanes(candidates: Sequence[Candidate], settings: _Settings) -> Iterator[list[_Lane]]:
    """Give each candidate a lane. No worker outlives them, whatever happens (Ctrl-C, for one)."""
    with tempfile.TemporaryDirectory(prefix="stylert-bench-") as folder:
        lanes = [_Lane(c, settings, Path(folder, str(i))) for i, c in enumerate(candidates)]
        try:
            yield lanes
            for lane in lanes:
                lane.close()
        finally:
            for lane in lanes:
                lane.kill()


def _time(gemm: _Lane, lanes: list[_Lane], settings: _Settings, progress: Progress) -> None:
    """Start all; then for each batch size warm up, time the rounds, compare the images."""
    everyone = [gemm, *lanes]
    steps = len(everyone) + len(settings.batches) * (len(everyone) + settings.rounds)
    done = 0

    def step(message: str, count: int = 1) -> None:
        nonlocal done
        progress(message, done / steps)
        done += count

    def running() -> list[_Lane]:
        return [lane for lane in everyone if lane.failure is None]

    for lane in everyone:
        step(f"start {lane.candidate.name}")
        lane.start()
    for batch in settings.batches:
        for lane in everyone:
            step(f"batch {batch}: warm up {lane.candidate.name}")
            if lane.failure is None:
                lane.prepare(batch)
        start = time.monotonic()
        for number in range(settings.rounds):
            if not any(lane.failure is None for lane in lanes):
                return
            spent = time.monotonic() - start
            if number >= FEWEST_ROUNDS and spent * (number + 1) / number > settings.max_seconds:
                step(f"batch {batch}: time is up", settings.rounds - number)
                break
            step(f"batch {batch}: round {number + 1} of {settings.rounds}")
            for lane in running():
                lane.turn(batch)
        for lane in running():
            lane.finish(batch)
        _compare(lanes, batch, settings.reference)
    progress("done", 1.0)


def _compare(lanes: list[_Lane], batch: int, reference: str | None) -> None:
    """Compare the images of all that finished a batch size with the reference's, if it did."""
    finished = {lane.candidate.name: lane for lane in lanes if batch in lane.measurements}
    if reference in finished:
        right = finished.pop(reference)
        for lane in finished.values():
            lane.compare(batch, right)


def _check_candidates(candidates: Sequence[Candidate]) -> None:
    names = [candidate.name for candidate in candidates]
    if not names:
        raise InvalidInput("No candidates: got none, expected at least one. Name some backends.")
    if len(set(names)) < len(names) or GEMM.name in names:
        raise InvalidInput(
            f"Candidates: got the names {names}, expected different ones, and none "
            f"called '{GEMM.name}'. Rename one."
        )
    for candidate in candidates:
        if not all(candidate.factory.rpartition(":")):
            raise InvalidInput(
                f"Candidate '{candidate.name}': got the factory '{candidate.factory}', expected "
                "'package.module:function' or 'path/to/file.py:function'."
            )
        try:
            _plain(dict(candidate.options))
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"Candidate '{candidate.name}': its options cannot cross to a worker process "
                f"({error}). Use numbers, texts, paths, lists and dicts."
            ) from None


def _check_numbers(settings: _Settings, macs_per_image: int) -> None:
    batches = settings.batches
    if not batches or min(batches) < 1 or len(set(batches)) < len(batches):
        raise InvalidInput(f"batches: got {list(batches)}, expected different numbers, 1 or more.")
    least = {
        "threads": (settings.threads, 1),
        "rounds": (settings.rounds, 1),
        "warmup": (settings.warmup, 1),
        "macs_per_image": (macs_per_image, 1),
    }
    for name, (value, minimum) in least.items():
        if value < minimum:
            raise InvalidInput(f"{name}: got {value}, expected {minimum} or more.")


def _choice(what: str, asked: str | None, names: list[str], default: str) -> str | None:
    """Return the candidate that was asked for, or the default if that is a candidate."""
    if asked is None:
        return default if default in names else None
    if asked not in names:
        raise InvalidInput(f"{what}: got '{asked}', expected one of the candidates {names}.")
    return asked


def _plain(value: Any) -> Any:
    """Return a value as it will be on the other side of a pipe, or of a file."""
    return json.loads(json.dumps(value, default=os.fspath))

"""The run: starts the candidates, gives them their turns, and compares their images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from stylert.apps.bench.candidates import GEMM, GEMM_SHAPE, HALF_GEMM_SHAPE, Candidate
from stylert.apps.bench.entrant import Entrant, open_entrants
from stylert.apps.bench.machine import describe_machine
from stylert.apps.bench.report import BenchResult, plain
from stylert.apps.bench.settings import Settings, check_candidates, check_positive, choose
from stylert.runtime.errors import EngineError
from stylert.runtime.machine import usable_cpus
from stylert.runtime.proof.parity import RoundingError, Tolerance

__all__ = ["run_bench"]

# Whose images are right where nobody says: the first of these that is a candidate.
FIRST_REFERENCES = ("torch-eager", "torch-eager-cuda")
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
    device_gemm: Candidate | None = None,  # the GPU's roofline: a half GEMM of HALF_GEMM_SHAPE
    reference: str | None = None,  # whose images are right, None = torch in float32 if it is there
    baseline: str | None = None,  # whose speed is 1, None = the reference, or the first candidate
    reference_error: RoundingError | None = None,  # of the reference's float32, where it is known
    tolerance: Tolerance | None = None,  # of float32; lower ones are not judged then. None = usual
    subject: str = "",  # what is timed, for titles
    progress: Progress = lambda message, share: None,  # what comes next, and the share done, 0 to 1
) -> BenchResult:
    """Time every candidate at every batch size, interleaved, and compare their images.

    A candidate that fails is reported with its reason, and keeps the batch sizes that it finished.
    Where calls are shorter than `min_seconds`, an untimed call opens each turn.

    Raises:
        InvalidInput: An argument cannot be used.
        EngineError: No candidate could be timed.
    """
    rooflines = [GEMM] if device_gemm is None else [GEMM, device_gemm]
    check_candidates(candidates, rooflines)
    names = [candidate.name for candidate in candidates]
    check_positive(macs_per_image=macs_per_image)
    reference = choose("reference", reference, names, FIRST_REFERENCES)
    baseline = choose("baseline", baseline, names, (reference or names[0],))
    settings = Settings(
        batches=tuple(batches),
        threads=usable_cpus() if threads is None else threads,
        rounds=rounds,
        warmup=warmup,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        pin=pin,
        timeout=timeout,
        reference_error=reference_error,
        tolerance=tolerance,
    )
    machine = describe_machine()  # before the benchmark itself is the load
    with open_entrants([*rooflines, *candidates], settings) as everyone:
        gemms, entrants = everyone[: len(rooflines)], everyone[len(rooflines) :]
        _time(gemms, entrants, settings, reference, progress)
    if not any(entrant.measurements for entrant in entrants):
        reasons = "; ".join(f"{entrant.candidate.name}: {entrant.failure}" for entrant in entrants)
        raise EngineError(f"No candidate could be timed. {reasons}")
    return BenchResult(
        subject=subject,
        macs_per_image=macs_per_image,
        settings=plain(asdict(settings)),
        machine=machine,
        reference=reference,
        baseline=baseline,
        gemm_shape=GEMM_SHAPE,
        gemm=gemms[0].report(),
        candidates=tuple(entrant.report() for entrant in entrants),
        measurements=tuple(
            entrant.measurements[batch]
            for batch in settings.batches
            for entrant in entrants
            if batch in entrant.measurements
        ),
        roofline=tuple(gemms[0].measurements.values()),
        device_gemm_shape=HALF_GEMM_SHAPE if device_gemm else None,
        device_gemm=gemms[1].report() if device_gemm else None,
        device_roofline=tuple(gemms[1].measurements.values()) if device_gemm else (),
    )


def _time(
    gemms: list[Entrant],
    entrants: list[Entrant],
    settings: Settings,
    reference: str | None,
    progress: Progress,
) -> None:
    """Start all; then for each batch size warm up, time the rounds, compare the images."""
    everyone = [*gemms, *entrants]
    steps = len(everyone) + len(settings.batches) * (len(everyone) + settings.rounds)
    done = 0

    def step(message: str, count: int = 1) -> None:
        nonlocal done
        progress(message, done / steps)
        done += count

    def running() -> list[Entrant]:
        return [entrant for entrant in everyone if entrant.failure is None]

    for entrant in everyone:
        step(f"start {entrant.candidate.name}")
        entrant.start()
    for batch in settings.batches:
        for entrant in everyone:
            step(f"batch {batch}: warm up {entrant.candidate.name}")
            if entrant.failure is None:
                entrant.prepare(batch)
        start = time.monotonic()
        for number in range(settings.rounds):
            if not any(entrant.failure is None for entrant in entrants):
                return
            spent = time.monotonic() - start
            if number >= FEWEST_ROUNDS and spent * (number + 1) / number > settings.max_seconds:
                step(f"batch {batch}: time is up", settings.rounds - number)
                break
            step(f"batch {batch}: round {number + 1} of {settings.rounds}")
            for entrant in running():
                entrant.turn(batch)
        for entrant in running():
            entrant.finish(batch)
        _compare(entrants, batch, reference)
    progress("done", 1.0)


def _compare(entrants: list[Entrant], batch: int, reference: str | None) -> None:
    """Compare the images of all that finished a batch size with the reference's, if it did."""
    finished = {
        entrant.candidate.name: entrant for entrant in entrants if batch in entrant.measurements
    }
    if reference in finished:
        right = finished.pop(reference)
        for entrant in finished.values():
            entrant.compare(batch, right)

"""A candidate on its way through the benchmark, to its end or its failure."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stylert.apps.bench.candidates import Candidate
from stylert.apps.bench.report import CandidateReport, Measurement, plain
from stylert.apps.bench.settings import Settings
from stylert.apps.bench.worker import Worker, WorkerFailed
from stylert.runtime.proof.parity import TOLERANCES, compare, judge

__all__ = ["Entrant", "open_entrants"]

INT8 = "int8"  # a precision without a tolerance


class Entrant:
    """One candidate: its worker, and what was measured so far. A failure ends its worker."""

    def __init__(self, candidate: Candidate, settings: Settings, folder: Path):
        """Take an empty folder for the worker's files; nothing is started."""
        self.candidate = candidate
        self.measurements: dict[int, Measurement] = {}
        self.failure: str | None = None
        self._settings = settings
        self._image = folder / "image.npy"  # the last timed images of a batch size
        self._log = folder / "worker.log"
        self._worker: Worker | None = None
        self._description: dict[str, Any] = {}
        self._startup_seconds: float | None = None
        self._pinned = 0
        self._turns: list[dict[str, Any]] = []  # what the worker told of each

    def start(self) -> None:
        """Start the worker, up to its first images."""
        batch, timeout = self._settings.batches[0], self._settings.timeout
        with self._failing("start"):
            self._worker = Worker(self.candidate, threads=self._settings.threads, log=self._log)
            opened = self._worker.open(batch=batch, timeout=timeout)
            self._description, self._startup_seconds = opened

    def prepare(self, batch: int) -> None:
        """Make the inputs, and warm up."""
        self._turns = []
        with self._failing(f"batch {batch}, warm-up"):
            warmup, pin = self._settings.warmup, self._settings.pin
            self._pinned = self._ask("prepare", batch=batch, warmup=warmup, pin=pin)["pinned"]

    def turn(self, batch: int) -> None:
        """Time one call, or several short ones."""
        with self._failing(f"batch {batch}, round {len(self._turns) + 1}"):
            self._turns.append(self._ask("turn", min_seconds=self._settings.min_seconds))

    def finish(self, batch: int) -> None:
        """Keep what was measured, and write the images that were made last."""
        with self._failing(f"batch {batch}, images"):
            reply = self._ask("finish", image=str(self._image))
            self.measurements[batch] = Measurement(
                candidate=self.candidate.name,
                batch=batch,
                rounds=tuple(tuple(turn["seconds"]) for turn in self._turns),
                cpu_rounds=tuple(tuple(turn["cpu_seconds"]) for turn in self._turns),
                device_rounds=tuple(tuple(turn["device_seconds"]) for turn in self._turns),
                other_cpus=tuple(turn["other_cpus"] for turn in self._turns),
                pinned=self._pinned,
                peak_mb=reply["peak_mb"],
            )

    def compare(self, batch: int, reference: Entrant) -> None:
        """Compare the images that were made last with the reference's."""
        with self._failing(f"batch {batch}, parity"):
            precision = str(self._description.get("precision"))
            if precision not in (*TOLERANCES, INT8):
                raise WorkerFailed(
                    f"precision '{precision}' has no tolerance, expected one of "
                    f"{[*TOLERANCES, INT8]}"
                )
            try:
                difference = compare(reference._images(), self._images())
            except ValueError as error:
                raise WorkerFailed(str(error)) from None
            passed = None  # how far INT8 may be off, everyone decides for himself
            tolerance = self._settings.tolerance
            if tolerance is not None:
                passed = difference.within(tolerance) if precision == "fp32" else None
            elif precision != INT8:
                passed = judge(difference, precision, self._settings.reference_error) > 0
            found = replace(self.measurements[batch], difference=difference, passed=passed)
            self.measurements[batch] = found

    def close(self) -> None:
        """End the worker politely."""
        if self._worker is not None and self.failure is None:
            self._worker.close()

    def kill(self) -> None:
        """End the worker at once, if it has not ended."""
        if self._worker is not None:
            self._worker.kill()

    def report(self) -> CandidateReport:
        """Return what is known of the candidate as a whole."""
        peaks = [m.peak_mb for m in self.measurements.values() if m.peak_mb is not None]
        return CandidateReport(
            name=self.candidate.name,
            factory=self.candidate.factory,
            options=plain(self.candidate.options),
            description=self._description,
            startup_seconds=self._startup_seconds,
            peak_mb=max(peaks, default=None),
            failure=self.failure,
        )

    def _images(self) -> np.ndarray:
        images: np.ndarray = np.load(self._image, mmap_mode="r")  # [N, C, H, W]
        return images

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
def open_entrants(candidates: Sequence[Candidate], settings: Settings) -> Iterator[list[Entrant]]:
    """Make each candidate an entrant. No worker outlives them, whatever happens, such as Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="stylert-bench-") as root:
        entrants = []
        for number, candidate in enumerate(candidates):
            folder = Path(root, str(number))
            folder.mkdir()
            entrants.append(Entrant(candidate, settings, folder))
        try:
            yield entrants
            for entrant in entrants:
                entrant.close()
        finally:
            for entrant in entrants:
                entrant.kill()

"""What a benchmark found: every sample, what follows from the samples, and the JSON file of both.

Only measured things are stored. Medians, rates and ratios are computed from them on demand.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from stylert.apps.bench.candidates import Candidate
from stylert.runtime.errors import InvalidInput
from stylert.runtime.proof.parity import Difference

__all__ = ["SCHEMA", "BenchResult", "CandidateReport", "Measurement", "Row", "make_table", "plain"]

SCHEMA = 3  # 1 knew no GPU and 2 no rms; both can still be read
DISTURBANCE = 0.2  # CPUs beyond the free ones that others may use; the kernel counts in 10 ms


@dataclass(frozen=True)
class Measurement:
    """One candidate at one batch size: all its samples."""

    candidate: str
    batch: int
    rounds: tuple[tuple[float, ...], ...]  # seconds of each call, in order, round by round
    cpu_rounds: tuple[tuple[float, ...], ...]  # CPU seconds of the same calls, all threads together
    other_cpus: tuple[float | None, ...] = ()  # that other processes used, round by round
    pinned: int = 0  # threads with a CPU of their own
    peak_mb: float | None = None  # the process's memory high-water mark after this batch size
    difference: Difference | None = None  # from the reference; None = not compared
    passed: bool | None = None  # whether it is within the tolerance of the precision
    device_rounds: tuple[tuple[float | None, ...], ...] = ()  # of the same calls, by the GPU

    @property
    def samples(self) -> tuple[float, ...]:
        """Seconds of all calls, in order."""
        return tuple(seconds for turn in self.rounds for seconds in turn)

    @property
    def median(self) -> float:
        """Median seconds of a call."""
        return float(np.median(self.samples))

    @property
    def p95(self) -> float:
        """95th percentile of the seconds of a call, by linear interpolation."""
        return float(np.percentile(self.samples, 95))

    @property
    def busy_cpus(self) -> float:
        """CPUs that the median call kept busy. Far below the threads = they starved or waited."""
        cpu_seconds = [seconds for turn in self.cpu_rounds for seconds in turn]
        return float(np.median(np.divide(cpu_seconds, self.samples)))

    @property
    def device_median(self) -> float | None:
        """Median seconds of a call by the GPU's own clock; None on the CPU."""
        known = [seconds for turn in self.device_rounds for seconds in turn if seconds is not None]
        return float(np.median(known)) if known else None

    @property
    def mean_other_cpus(self) -> float | None:
        """CPUs that other processes used during the rounds; None if the system does not tell."""
        known = [cpus for cpus in self.other_cpus if cpus is not None]
        return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class CandidateReport(Candidate):
    """What is known of a candidate as a whole."""

    description: Mapping[str, Any] = field(default_factory=dict)  # its own: device, versions, ...
    startup_seconds: float | None = None  # from the start of its process to its first images
    peak_mb: float | None = None  # the memory high-water mark of its process, at the end
    failure: str | None = None  # why it was not timed to the end, in one line


@dataclass(frozen=True)
class Row:
    """One line of the table: a measurement, and what follows from it."""

    candidate: str
    batch: int
    rounds: int
    calls: int
    median: float  # seconds, on the host's clock
    p95: float  # seconds
    device_median: float | None  # seconds, on the GPU's own clock; None on the CPU
    images_per_second: float
    busy_cpus: float  # that the median call kept busy; far below the threads = they starved
    other_cpus: float | None  # that other processes used meanwhile
    speedup: float | None  # median of the baseline / median; above 1 is faster
    speedup_by_round: float | None  # median over the rounds of the same ratio
    gflops: float  # 2 * MACs / second / 1e9
    # Of the GEMM in the same rounds: the CPU's in float32 on the host's clock, the GPU's in half
    # precision on the GPU's clock, whatever the candidate's precision. None where there is none.
    roofline_percent: float | None
    startup_seconds: float | None
    peak_mb: float | None  # after this batch size
    difference: Difference | None
    passed: bool | None


@dataclass(frozen=True)
class BenchResult:
    """All that a benchmark measured, and on what."""

    subject: str  # what was timed, for titles
    macs_per_image: int  # multiply-accumulates of mapping and synthesis
    settings: Mapping[str, Any]  # threads, rounds, warmup, min_seconds, ... as asked for
    machine: Mapping[str, Any]  # CPU, versions, commit, date, load
    reference: str | None  # the candidate whose images are right
    baseline: str | None  # the candidate whose speed is 1
    gemm_shape: tuple[int, int, int]  # M, K, N of the roofline's product
    gemm: CandidateReport
    candidates: tuple[CandidateReport, ...]
    measurements: tuple[Measurement, ...]  # in the order of batches, then candidates
    roofline: tuple[Measurement, ...]  # of the GEMM, one per batch size, in the same rounds
    device_gemm_shape: tuple[int, int, int] | None = None  # of the GPU's, None = there was none
    device_gemm: CandidateReport | None = None
    device_roofline: tuple[Measurement, ...] = ()

    def candidate(self, name: str) -> CandidateReport:
        """Return the report of a candidate.

        Raises:
            KeyError: There is no such candidate.
        """
        return {report.name: report for report in self.candidates}[name]

    def measurement(self, candidate: str | None, batch: int) -> Measurement | None:
        """Return a candidate's measurement at a batch size, None if there is none."""
        for measurement in self.measurements:
            if (measurement.candidate, measurement.batch) == (candidate, batch):
                return measurement
        return None

    def failures(self) -> dict[str, str]:
        """Return why candidates were not timed to the end, by name."""
        return {report.name: report.failure for report in self.candidates if report.failure}

    def parity_failures(self) -> tuple[str, ...]:
        """Return a line for each measurement whose images are outside their tolerance."""
        return tuple(
            f"{m.candidate} at batch {m.batch}: rms {m.difference.rms:.2g}, "
            f"max |d| {m.difference.max_abs:.2g}, "
            f"PSNR {m.difference.psnr_db:.1f} dB against {self.reference}"
            for m in self.measurements
            if m.difference is not None and m.passed is False
        )

    def disturbances(self) -> tuple[str, ...]:
        """Return a line for each measurement that had to share its CPUs with other processes."""
        free = self.machine["cpus"] - self.settings["threads"]
        return tuple(
            f"{m.candidate} at batch {m.batch} was disturbed: other processes used "
            f"{others:.1f} of {self.machine['cpus']} CPUs"
            for m in (*self.roofline, *self.device_roofline, *self.measurements)
            if (others := m.mean_other_cpus) is not None and others > free + DISTURBANCE
        )

    def warnings(self) -> tuple[str, ...]:
        """Return a line for each failure, and for each measurement that was disturbed."""
        failures = [f"{name}: {reason}" for name, reason in self.failures().items()]
        if self.device_gemm is not None and self.device_gemm.failure:
            failures.append(f"no roofline of the GPU: {self.device_gemm.failure}")
        return (*failures, *self.disturbances())

    def roofline_gflops(self, batch: int) -> float | None:
        """Return GFLOP/s of the median GEMM in the rounds of a batch size, None if it failed."""
        for gemm in self.roofline:
            if gemm.batch == batch:
                return 2e-9 * math.prod(self.gemm_shape) / gemm.median
        return None

    def device_roofline_gflops(self, batch: int) -> float | None:
        """Return GFLOP/s of the GPU's median half GEMM in these rounds, None if there is none."""
        for gemm in self.device_roofline:
            if gemm.batch == batch and gemm.device_median and self.device_gemm_shape:
                return 2e-9 * math.prod(self.device_gemm_shape) / gemm.device_median
        return None

    def rows(self) -> tuple[Row, ...]:
        """Return the table, in the order of the measurements."""
        return tuple(self._row(measurement) for measurement in self.measurements)

    def _row(self, m: Measurement) -> Row:
        report = self.candidate(m.candidate)
        baseline = self.measurement(self.baseline, m.batch)
        gflop = 2e-9 * self.macs_per_image * m.batch
        if report.description.get("device", "cpu") == "cpu":
            own, roofline = m.median, self.roofline_gflops(m.batch)
        else:
            own, roofline = m.device_median or 0.0, self.device_roofline_gflops(m.batch)
        percent = 100 * gflop / own / roofline if own and roofline else None
        return Row(
            candidate=m.candidate,
            batch=m.batch,
            rounds=len(m.rounds),
            calls=len(m.samples),
            median=m.median,
            p95=m.p95,
            device_median=m.device_median,
            images_per_second=m.batch / m.median,
            busy_cpus=m.busy_cpus,
            other_cpus=m.mean_other_cpus,
            speedup=baseline.median / m.median if baseline else None,
            speedup_by_round=_ratio_by_round(baseline, m) if baseline else None,
            gflops=gflop / m.median,
            roofline_percent=percent,
            startup_seconds=report.startup_seconds,
            peak_mb=m.peak_mb,
            difference=m.difference,
            passed=m.passed,
        )

    def to_json(self) -> str:
        """Write all of it: the samples, and under 'summary' the rows, which reading ignores.

        JSON has no infinity (the PSNR of equal images): it is the text 'inf'.
        """
        document = {"schema": SCHEMA, **asdict(self)}
        document["summary"] = [asdict(row) for row in self.rows()]
        return json.dumps(plain(document), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> BenchResult:
        """Read what `to_json` wrote.

        Raises:
            InvalidInput: It is not a benchmark result, or one of another schema.
        """
        try:
            document = json.loads(text)
            schema = document.pop("schema")
            if schema not in range(1, SCHEMA + 1):
                raise InvalidInput(
                    f"Benchmark result: got schema {schema!r}, expected {SCHEMA}. "
                    "Run `stylert bench` again, or read it with the version that wrote it."
                )
            del document["summary"]
            document["gemm_shape"] = tuple(document["gemm_shape"])
            document["gemm"] = CandidateReport(**document["gemm"])
            document["candidates"] = tuple(CandidateReport(**c) for c in document["candidates"])
            if document.get("device_gemm") is not None:
                document["device_gemm"] = CandidateReport(**document["device_gemm"])
                document["device_gemm_shape"] = tuple(document["device_gemm_shape"])
            for key in ("measurements", "roofline", "device_roofline"):
                document[key] = tuple(_measurement(**m) for m in document.get(key, ()))
            return cls(**document)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(
                f"Not a benchmark result ({type(error).__name__}: {error}). "
                "Expected the JSON file that `stylert bench --json` writes."
            ) from None


def _ratio_by_round(baseline: Measurement, other: Measurement) -> float:
    pairs = zip(baseline.rounds, other.rounds, strict=True)
    return float(np.median([np.median(ours) / np.median(theirs) for ours, theirs in pairs]))


def _measurement(
    *,
    rounds: list[list[float]],
    cpu_rounds: list[list[float]],
    other_cpus: list[float | None],
    difference: Mapping[str, Any] | None,
    device_rounds: Sequence[Sequence[float | None]] = (),  # schema 1 has none
    **rest: Any,
) -> Measurement:
    """Read a measurement as JSON has it."""
    found = None
    if difference is not None:
        found = Difference(
            rms=float(difference.get("rms", difference["max_abs"])),  # at most; schema 2 has none
            max_abs=float(difference["max_abs"]),
            psnr_db=float(difference["psnr_db"]),
            finite=difference["finite"],
        )
    return Measurement(
        rounds=tuple(tuple(map(float, turn)) for turn in rounds),
        cpu_rounds=tuple(tuple(map(float, turn)) for turn in cpu_rounds),
        device_rounds=tuple(map(tuple, device_rounds)),
        other_cpus=tuple(other_cpus),
        difference=found,
        **rest,
    )


def plain(value: Any) -> Any:
    """Return a value as JSON has it: tuples are lists, paths and the infinities are texts."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def make_table(result: BenchResult) -> list[dict[str, str]]:
    """The rows of a result as texts, by heading; '-' is what was not measured."""
    return [
        {
            "candidate": row.candidate,
            "batch": str(row.batch),
            "median": f"{row.median * 1e3:.1f} ms",
            "p95": f"{row.p95 * 1e3:.1f} ms",
            "on the GPU": _or_dash(row.device_median, "{:.2f} ms", 1e3),
            "images/s": f"{row.images_per_second:.2f}",
            "speed": _or_dash(row.speedup, "{:.2f}x"),
            "GFLOP/s": f"{row.gflops:.0f}",
            "of GEMM": _or_dash(row.roofline_percent, "{:.0f} %"),
            "peak MB": _or_dash(row.peak_mb, "{:.0f}"),
            "start-up": _or_dash(row.startup_seconds, "{:.1f} s"),
            "max |d|": _or_dash(row.difference.max_abs if row.difference else None, "{:.1g}"),
        }
        for row in result.rows()
    ]


def _or_dash(value: float | None, form: str, factor: float = 1) -> str:
    return "-" if value is None else form.format(value * factor)

"""What a proof found: a row for every scene and batch, the verdict, and the table for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from stylert.export.parity.scenes import Scene
from stylert.runtime.errors import ParityError
from stylert.runtime.proof.parity import (
    STORED_WEIGHTS,
    TOLERANCES,
    Difference,
    RoundingError,
    Tolerance,
    measure_excess,
)

__all__ = ["ParityReport", "ParityRow", "make_parity_error"]


@dataclass(frozen=True)
class ParityRow:
    """One line of the table: all pictures of one scene, precision and batch."""

    output: str  # 'ws', 'img' or 'image'
    scene: Scene
    batch: int
    images: int
    difference: Difference  # from the float32 reference; of 'image', from its own 'img' as bytes
    gate: int  # the gate that was passed, 0 = none: failed
    precision: str = "fp32"
    tolerance: Tolerance | None = None  # None = that of the precision
    # Of the pictures that missed gate 1, those drawn in float64: how far they are from that.
    exact: Difference | None = None
    # Share of the bytes that are so far from the reference's; of 'image' and of stored weights.
    off_by_more_than_1: float | None = None
    off_by_more_than_4: float | None = None
    worst_seed: int | None = None  # of stored weights: the picture that is furthest

    @property
    def passed(self) -> bool:
        """Whether a gate was passed."""
        return self.gate > 0

    def measure_excess(self, found: Difference, error: RoundingError | None) -> float:
        """How many times too large a difference is for the gate that it comes closest to."""
        if self.tolerance is not None:
            return found.excess(self.tolerance)
        return measure_excess(found, self.precision, error)

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON types."""
        return {
            "precision": self.precision,
            "output": self.output,
            "truncation_psi": self.scene.psi.psi,
            "truncation_cutoff": self.scene.psi.cutoff,
            "ws": self.scene.ws,
            "noise_mode": self.scene.noise_mode,
            "motion": self.scene.motion,
            **({"style_offset": "seeded"} if self.scene.offset else {}),
            "batch": self.batch,
            "images": self.images,
            "difference": self.difference.to_json(),
            "exact_difference": self.exact and self.exact.to_json(),
            "gate": self.gate,
            "passed": self.passed,
            "off_by_more_than_1": self.off_by_more_than_1,
            "off_by_more_than_4": self.off_by_more_than_4,
            "worst_seed": self.worst_seed,
        }


@dataclass(frozen=True)
class ParityReport:
    """The whole table.

    Attributes:
        rows: what was compared.
        errors: how far the float32 reference is from float64, by output ('ws', 'img'), where that
            was drawn.
        notes: what a user should know, a line each.
        allow_chaotic: a network that float32 says nothing about may pass.
        drawn_by: what drew the bundle's pictures, a line for each precision.
    """

    rows: tuple[ParityRow, ...]
    errors: Mapping[str, RoundingError] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
    allow_chaotic: bool = False
    drawn_by: tuple[str, ...] = ()

    @property
    def chaotic(self) -> bool:
        """Whether float32 of the reference itself is too far from float64 to prove anything."""
        return any(error.chaotic for error in self.errors.values())

    @property
    def passed(self) -> bool:
        """Whether every row passed a gate, and the network is not chaotic, or may be."""
        return all(row.passed for row in self.rows) and (self.allow_chaotic or not self.chaotic)

    def has_passed(self, precision: str) -> bool:
        """Whether the rows of a precision passed."""
        return all(row.passed for row in self.rows if row.precision == precision)

    @property
    def worst(self) -> ParityRow:
        """The row that exceeds its bounds most, or comes closest to them; failed ones first."""

        def rank(row: ParityRow) -> tuple[bool, bool, bool, float]:
            exact = row.precision == "fp32"
            excess = row.measure_excess(row.difference, self.errors.get(row.output))
            return not row.passed, exact, row.output != "image", excess

        return max(self.rows, key=rank)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        tolerances = {
            row.precision: row.tolerance or TOLERANCES[row.precision] for row in self.rows
        }
        return {
            "tolerances": {name: tolerances[name].to_json() for name in sorted(tolerances)},
            "reference_error": {name: error.to_json() for name, error in self.errors.items()},
            "passed": self.passed,
            "notes": list(self.notes),
            "drawn_by": list(self.drawn_by),
            "rows": [row.to_json() for row in self.rows],
        }

    def make_table(self) -> list[dict[str, str]]:
        """The rows as texts for people, by heading."""
        moving = any(row.scene.motion != "-" for row in self.rows)
        return [_make_cells(row, moving) for row in self.rows]


def _make_cells(row: ParityRow, moving: bool) -> dict[str, str]:
    scene, found = row.scene, row.difference
    steps = " LSB" * (row.output == "image")
    return {
        "precision": row.precision,
        "output": row.output,
        "psi": str(scene.psi),
        "ws": scene.ws if row.output != "ws" else "-",
        **({"motion": scene.motion} if moving else {"noise": scene.noise_mode}),
        "batch": str(row.batch),
        "images": str(row.images),
        "rms d": f"{found.rms:.2g}{steps}",
        "max |d|": f"{found.max_abs:.2g}{steps}",
        "PSNR dB": "equal" if found.psnr_db == math.inf else f"{found.psnr_db:.1f}",
        "": ("FAILED", "ok", "ok by float64")[row.gate],
    }


def make_parity_error(report: ParityReport) -> ParityError:
    """The error of a report that failed, which it carries as `report`."""
    failed = [row for row in report.rows if not row.passed]
    if not failed:
        error = max(report.errors.values(), key=lambda error: error.rms)
        return ParityError(
            f"The network is chaotic in float32: PyTorch's own float32 is {error.rms:.2g} (rms) "
            f"from float64 on {error.pictures} pictures, so nothing can be proven of a graph.",
            report=report,
        )
    row, scene = report.worst, report.worst.scene
    found = row.exact or row.difference
    if row.precision == STORED_WEIGHTS and row.tolerance and found.finite:
        return ParityError(
            f"Rounded weights cost too much of this network: the worst of {row.images} pictures is "
            f"{found.psnr_db:.1f} dB (PSNR) from the checkpoint's, expected at least "
            f"{row.tolerance.psnr_db:g}. Export it with weights='fp32' or weights='int16', or with "
            "a lower weights_floor.",
            report=report,
        )
    excess = row.measure_excess(found, report.errors.get(row.output))
    times = f" ({excess:.2g} times too far)" if math.isfinite(excess) else ""
    also = f" {report.notes[0]}" if report.notes else ""
    return ParityError(
        f"Parity failed in {len(failed)} of {len(report.rows)} rows. Worst: {row.precision} "
        f"{row.output} at {scene}, batch {row.batch}: "
        f"rms {found.rms:.3g}, max |d| {found.max_abs:.3g}, PSNR {found.psnr_db:.1f} dB"
        f"{times}.{also}",
        report=report,
    )

"""The proof that a bundle draws what its checkpoint draws: every export runs it.

The reference is the PyTorch model in float32, one image at a time. The candidate is the runtime,
used as an application uses it, from the seed to the picture. Some networks amplify rounding so
much that float32 itself is further from the truth than the tolerance. So an image that misses it
is compared with the model in float64, to which it must be as close as PyTorch's float32 is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylert.export.checkpoints import Checkpoint
from stylert.export.yardstick import Control, Yardstick, controls_of, labels_of_seeds
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8
from stylert.runtime.latents import z_from_seeds
from stylert.runtime.parity import TOLERANCES, Difference, compare

__all__ = ["BATCHES", "PSIS", "ParityReport", "ParityRow", "check_parity", "open_precisions"]

PSIS = (1.0, 0.7)
EXACT = TOLERANCES["fp32"]
BATCHES = (1, 4)  # of float32; half precision is compared at the last
MAX_SHARE_OFF = 0.02  # of the bytes: a float off by 1e-4 is 0.013 of a step from its edge

Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class ParityRow:
    """One line of the table: all seeds at one setting."""

    output: str  # 'ws', 'img' or 'image'
    truncation_psi: float
    noise_mode: str  # '-' for ws, and for networks without noise inputs
    batch: int
    images: int
    difference: Difference
    passed: bool
    precision: str = "fp32"
    motion: str = "-"  # of the pictures: 'none' or 'seeded', '-' where the network has none
    # How far PyTorch's float32 is from float64 at most, where `difference` is from float64, too.
    reference_error: float | None = None
    off_by_more_than_1: float | None = None  # share of the bytes, 'image' only
    off_by_more_than_4: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON types."""
        return {**vars(self), "difference": self.difference.to_json()}


@dataclass(frozen=True)
class ParityReport:
    """The whole table."""

    rows: tuple[ParityRow, ...]

    @property
    def passed(self) -> bool:
        """Whether every row is within the tolerance."""
        return all(row.passed for row in self.rows)

    @property
    def worst(self) -> ParityRow:
        """The row with the largest difference, failed ones first, floats before bytes."""

        def badness(row: ParityRow) -> tuple[bool, bool, bool, float]:
            exact = row.precision == "fp32"
            return not row.passed, exact, row.output != "image", row.difference.max_abs

        return max(self.rows, key=badness)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        precisions = sorted({row.precision for row in self.rows})
        return {
            "tolerances": {precision: TOLERANCES[precision].to_json() for precision in precisions},
            "passed": self.passed,
            "rows": [row.to_json() for row in self.rows],
        }

    def table(self) -> list[dict[str, str]]:
        """The rows as texts for people, by heading."""
        moving = any(row.motion != "-" for row in self.rows)
        return [
            {
                "precision": row.precision,
                "output": row.output,
                "psi": f"{row.truncation_psi:g}",
                **({"motion": row.motion} if moving else {"noise": row.noise_mode}),
                "batch": str(row.batch),
                "images": str(row.images),
                "max |d|": f"{row.difference.max_abs:.2g}" + " LSB" * (row.output == "image"),
                "PSNR dB": "equal" if psnr == math.inf else f"{psnr:.1f}",
                "": "ok" if row.passed else "FAILED",
            }
            for row in self.rows
            for psnr in [row.difference.psnr_db]
        ]


def check_parity(
    checkpoint: Checkpoint,
    *generators: Generator,
    seeds: Sequence[int] = range(32),
    progress: Progress = lambda done, total: None,
) -> ParityReport:
    """Compare a runtime's pictures with the reference's: both psis, batches and all controls.

    The controls are the noise modes; for StyleGAN3, which has none, a translation and rotation.

    Args:
        checkpoint: what the bundle was made of.
        generators: the bundle, opened in every precision that is to be compared.
        seeds: the images to compare at each setting.
        progress: called as images get done.
    """
    check = _Check(checkpoint, generators, tuple(seeds), progress)
    rows = [check.styles(psi, batch) for psi in PSIS for batch in BATCHES]
    if not all(row.difference.finite for row in rows):
        return ParityReport(tuple(rows))  # the runtime refuses to draw such styles
    for control in controls_of(checkpoint.config):
        for psi in PSIS:
            rows += check.images(psi, control)
    return ParityReport(tuple(rows))


def open_precisions(path: Path, **options: Any) -> Iterator[Generator]:
    """Open a bundle in every precision that it has; the files are checked once."""
    for i, precision in enumerate(Bundle.open(path, check_files=False).precisions):
        yield Generator.open(path, precision=precision, check_files=not i, **options)


class _Check:
    def __init__(
        self,
        checkpoint: Checkpoint,
        generators: tuple[Generator, ...],
        seeds: tuple[int, ...],
        progress: Progress,
    ) -> None:
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.reference = Yardstick(checkpoint)
        self.generators = {str(g.describe()["precision"]): g for g in generators}
        self.seeds = seeds
        self.progress = progress
        self.done = 0
        draws = 1 + sum(len(_batches(precision)) for precision in self.generators)
        self.total = len(seeds) * len(PSIS) * len(controls_of(self.config)) * draws

    def styles(self, psi: float, batch: int) -> ParityRow:
        """The mapping network, which is float32 in every precision."""
        expected = self.reference.ws(self.seeds, psi).numpy()
        generator = next(iter(self.generators.values()))
        parts = [
            generator.map(
                z_from_seeds(chunk, self.config.z_dim),
                labels_of_seeds(chunk, self.config.c_dim),
                truncation_psi=psi,
            )
            for chunk in _chunks(self.seeds, batch)
        ]
        difference = compare(expected, np.concatenate(parts))
        return self.row("fp32", "ws", psi, Control(), batch, difference)

    def images(self, psi: float, control: Control) -> list[ParityRow]:
        """The images in float at every batch size, and as uint8 at the largest."""
        expected = {}
        for seed in self.seeds:
            expected[seed] = self.reference.image(seed, psi, control)
            self.step(1)
        rows = []
        for precision in self.generators:
            for batch in _batches(precision):
                difference, error = self.difference(precision, expected, psi, control, batch)
                rows.append(self.row(precision, "img", psi, control, batch, difference, error))
            rows.append(self.bytes_row(precision, expected, psi, control))
        return rows

    def difference(
        self,
        precision: str,
        expected: dict[int, np.ndarray],
        psi: float,
        control: Control,
        batch: int,
    ) -> tuple[Difference, float | None]:
        """The worst of all seeds, drawn `batch` at a time, and how far the reference is off."""
        differences, errors = [], []
        for chunk in _chunks(self.seeds, batch):
            got = self.draw(precision, chunk, psi, control, "img")
            reference = np.stack([expected[seed] for seed in chunk])
            difference = compare(reference, got)
            if precision == "fp32" and difference.finite and not difference.within(EXACT):
                exact = np.stack([self.exact.image(seed, psi, control) for seed in chunk])
                difference = compare(exact, got)
                errors.append(compare(exact, reference).max_abs)
            differences.append(difference)
            self.step(len(chunk))
        return functools.reduce(Difference.worst, differences), max(errors, default=None)

    @functools.cached_property
    def exact(self) -> Yardstick:
        """The reference in float64, made when it is needed."""
        return Yardstick(self.checkpoint, torch.float64)

    def bytes_row(
        self, precision: str, expected: dict[int, np.ndarray], psi: float, control: Control
    ) -> ParityRow:
        """The uint8 output may differ from the reference's by one where the float is at an edge.

        Where it does so more often, it rounds another way. In half precision, few may be off by
        more than 4.
        """
        seeds = self.seeds[: BATCHES[-1]]
        with np.errstate(invalid="ignore"):  # a NaN has failed the row of floats already
            bytes_ = to_uint8(np.stack([expected[seed] for seed in seeds])).astype(np.float32)
        got = self.draw(precision, seeds, psi, control, "image").astype(np.float32)
        difference = compare(bytes_, got)
        off = np.abs(bytes_ - got)
        exact = difference.max_abs <= 1 and np.mean(off > 0) <= MAX_SHARE_OFF
        close = np.mean(off > 4) <= MAX_SHARE_OFF
        return ParityRow(
            output="image",
            truncation_psi=psi,
            noise_mode=control.noise_mode,
            batch=len(seeds),
            images=len(seeds),
            difference=difference,
            passed=bool(difference.finite and (exact if precision == "fp32" else close)),
            precision=precision,
            motion=control.motion,
            off_by_more_than_1=float(np.mean(off > 1)),
            off_by_more_than_4=float(np.mean(off > 4)),
        )

    def draw(
        self, precision: str, seeds: Sequence[int], psi: float, control: Control, output: Any
    ) -> np.ndarray:
        images: np.ndarray = self.generators[precision].generate(
            seeds,
            truncation_psi=psi,
            labels=labels_of_seeds(seeds, self.config.c_dim),
            output=output,
            **control.options(seeds),
        )
        return images

    def row(
        self,
        precision: str,
        output: str,
        psi: float,
        control: Control,
        batch: int,
        difference: Difference,
        reference_error: float | None = None,
    ) -> ParityRow:
        tolerance = TOLERANCES[precision]
        if reference_error is not None:
            tolerance = replace(tolerance, max_abs=max(tolerance.max_abs, reference_error))
        return ParityRow(
            output=output,
            truncation_psi=psi,
            noise_mode=control.noise_mode,
            batch=batch,
            images=len(self.seeds),
            difference=difference,
            passed=difference.within(tolerance),
            precision=precision,
            motion=control.motion,
            reference_error=reference_error,
        )

    def step(self, images: int) -> None:
        self.done += images
        self.progress(self.done, self.total)


def _batches(precision: str) -> tuple[int, ...]:
    return BATCHES if precision == "fp32" else BATCHES[-1:]


def _chunks(seeds: Sequence[int], batch: int) -> list[Sequence[int]]:
    return [seeds[i : i + batch] for i in range(0, len(seeds), batch)]

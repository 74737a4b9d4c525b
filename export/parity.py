"""The proof that a bundle draws what its checkpoint draws: every export runs it.

The reference is the PyTorch model in float32, one image at a time. The candidate is the runtime,
used as an application uses it, from the seed to the picture.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylert.export.checkpoints import Checkpoint, Config
from stylert.export.families import reference_of
from stylert.export.graphs.emitter import noise_name
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8
from stylert.runtime.latents import z_from_seeds
from stylert.runtime.noise import NOISE_MODES, NoiseSource
from stylert.runtime.parity import TOLERANCES, Difference, compare
from stylert.runtime.transforms import inverse_transforms

__all__ = ["BATCHES", "PSIS", "ParityReport", "ParityRow", "check_parity", "open_precisions"]

PSIS = (1.0, 0.7)
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
    for control in _controls(checkpoint.config):
        for psi in PSIS:
            rows += check.images(psi, control)
    return ParityReport(tuple(rows))


def open_precisions(path: Path, **options: Any) -> Iterator[Generator]:
    """Open a bundle in every precision that it has; the files are checked once."""
    for i, precision in enumerate(Bundle.open(path, check_files=False).precisions):
        yield Generator.open(path, precision=precision, check_files=not i, **options)


@dataclass(frozen=True)
class _Control:
    """What a picture depends on besides its w."""

    noise_mode: str = "-"
    motion: str = "-"

    def options(self, seeds: Sequence[int]) -> dict[str, Any]:
        """What `Generator.generate` is asked for."""
        if self.motion == "-":
            return {"noise_mode": self.noise_mode}
        return _motions(seeds) if self.motion == "seeded" else {}


class _Check:
    def __init__(
        self,
        checkpoint: Checkpoint,
        generators: tuple[Generator, ...],
        seeds: tuple[int, ...],
        progress: Progress,
    ) -> None:
        self.model = reference_of(checkpoint)
        self.config = checkpoint.config
        self.layers = {noise_name(layer): layer for layer in checkpoint.noise}
        self.generators = {str(g.describe()["precision"]): g for g in generators}
        bundle = generators[0].bundle
        self.noise = NoiseSource(bundle.noise_inputs, bundle.read_noise())
        self.seeds = seeds
        self.progress = progress
        self.done = 0
        draws = 1 + sum(len(_batches(precision)) for precision in self.generators)
        self.total = len(seeds) * len(PSIS) * len(_controls(self.config)) * draws

    def labels(self, seeds: Sequence[int]) -> np.ndarray | None:
        """A class for even seeds, halfway between two for odd ones; None if unconditional."""
        if not self.config.c_dim:
            return None
        eye = np.eye(self.config.c_dim, dtype=np.float32)
        first = eye[[seed % self.config.c_dim for seed in seeds]]
        second = eye[[(seed + seed % 2) % self.config.c_dim for seed in seeds]]
        return (first + second) / 2

    def styles(self, psi: float, batch: int) -> ParityRow:
        """The mapping network, which is float32 in every precision."""
        expected = self.reference_ws(self.seeds, psi).numpy()
        generator = next(iter(self.generators.values()))
        parts = [
            generator.map(
                z_from_seeds(chunk, self.config.z_dim), self.labels(chunk), truncation_psi=psi
            )
            for chunk in _chunks(self.seeds, batch)
        ]
        difference = compare(expected, np.concatenate(parts))
        return self.row("fp32", "ws", psi, _Control(), batch, difference)

    def images(self, psi: float, control: _Control) -> list[ParityRow]:
        """The images in float at every batch size, and as uint8 at the largest."""
        expected = {}
        for seed in self.seeds:
            expected[seed] = self.reference_image(seed, psi, control)
            self.step(1)
        rows = []
        for precision in self.generators:
            for batch in _batches(precision):
                difference = self.difference(precision, expected, psi, control, batch)
                rows.append(self.row(precision, "img", psi, control, batch, difference))
            rows.append(self.bytes_row(precision, expected, psi, control))
        return rows

    def difference(
        self,
        precision: str,
        expected: dict[int, np.ndarray],
        psi: float,
        control: _Control,
        batch: int,
    ) -> Difference:
        """The worst of all seeds, drawn `batch` at a time."""
        differences = []
        for chunk in _chunks(self.seeds, batch):
            got = self.draw(precision, chunk, psi, control, "img")
            differences.append(compare(np.stack([expected[seed] for seed in chunk]), got))
            self.step(len(chunk))
        return functools.reduce(Difference.worst, differences)

    def bytes_row(
        self, precision: str, expected: dict[int, np.ndarray], psi: float, control: _Control
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
        self, precision: str, seeds: Sequence[int], psi: float, control: _Control, output: Any
    ) -> np.ndarray:
        images: np.ndarray = self.generators[precision].generate(
            seeds,
            truncation_psi=psi,
            labels=self.labels(seeds),
            output=output,
            **control.options(seeds),
        )
        return images

    def reference_ws(self, seeds: Sequence[int], psi: float) -> torch.Tensor:
        z = torch.from_numpy(z_from_seeds(seeds, self.config.z_dim))
        labels = self.labels(seeds)
        c = None if labels is None else torch.from_numpy(labels)
        with torch.inference_mode():
            ws: torch.Tensor = self.model.mapping(z, c, truncation_psi=psi)
        return ws

    def reference_image(self, seed: int, psi: float, control: _Control) -> np.ndarray:
        with torch.inference_mode():
            ws = self.reference_ws([seed], psi)
            image = self.model.synthesis(ws, **self.reference_options(seed, control))
        array: np.ndarray = image[0].numpy()
        return array

    def reference_options(self, seed: int, control: _Control) -> dict[str, Any]:
        """What the reference's synthesis is asked for."""
        if control.motion != "-":
            if control.motion == "none":
                return {}
            return {"transform": torch.from_numpy(inverse_transforms(**_motions([seed])))}
        if control.noise_mode != "seeded":
            return {"noise": control.noise_mode}
        fields = self.noise.seeded([seed])
        maps = {self.layers[name]: torch.from_numpy(field) for name, field in fields.items()}
        return {"noise": maps}

    def row(
        self,
        precision: str,
        output: str,
        psi: float,
        control: _Control,
        batch: int,
        difference: Difference,
    ) -> ParityRow:
        return ParityRow(
            output=output,
            truncation_psi=psi,
            noise_mode=control.noise_mode,
            batch=batch,
            images=len(self.seeds),
            difference=difference,
            passed=difference.within(TOLERANCES[precision]),
            precision=precision,
            motion=control.motion,
        )

    def step(self, images: int) -> None:
        self.done += images
        self.progress(self.done, self.total)


def _controls(config: Config) -> list[_Control]:
    if config.has_transform:
        return [_Control(motion="none"), _Control(motion="seeded")]
    return [_Control(noise_mode=mode) for mode in (NOISE_MODES if config.use_noise else ("const",))]


def _motions(seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """A translation and a rotation for each seed, in any direction."""
    randoms = [np.random.RandomState([seed, 2]) for seed in seeds]
    return {
        "translate": np.array([random.uniform(-0.3, 0.3, 2) for random in randoms], np.float32),
        "rotate": np.array([random.uniform(-180, 180) for random in randoms], np.float32),
    }


def _batches(precision: str) -> tuple[int, ...]:
    return BATCHES if precision == "fp32" else BATCHES[-1:]


def _chunks(seeds: Sequence[int], batch: int) -> list[Sequence[int]]:
    return [seeds[i : i + batch] for i in range(0, len(seeds), batch)]

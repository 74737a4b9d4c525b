"""The proof that a bundle draws what its checkpoint draws: every export runs it.

The reference is the PyTorch model in float32, see `drawing`. The candidate is the runtime,
used as an application uses it, from the seed to the picture. A picture that misses the first gate
of `runtime.parity` is drawn in float64, too, and has to pass the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stylert.export.checkpoints import Checkpoint
from stylert.export.parity.drawing import Draw, SceneDrawer, share_cores, split
from stylert.export.parity.float64 import Float64Pictures, Picture
from stylert.export.parity.reference import Reference
from stylert.export.parity.report import ParityReport, ParityRow
from stylert.export.parity.scenes import (
    Scene,
    count_pictures,
    list_image_scenes,
    list_mapping_psis,
)
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8
from stylert.runtime.latents import check_seeds
from stylert.runtime.proof.bundle_facts import list_proven
from stylert.runtime.proof.parity import (
    MAX_SHARE_OFF,
    STORED_WEIGHTS,
    TOLERANCES,
    Difference,
    RoundingError,
    Tolerance,
    compare,
    compare_each,
    find_worst,
    judge,
)

__all__ = ["BATCHES", "check_parity", "open_precisions"]

BATCHES = (1, 4)  # of float32; half precision is compared at the last
ALONE = 4  # pictures drawn at batch 1
# Beyond this share of gate 1, float64 is drawn in any case: it is near the bounds of the gate, and
# a machine that rounds in another way may be beyond them without PyTorch at hand.
NEAR = 0.5

Progress = Callable[[int, int], None]  # images done, images in all


def check_parity(
    checkpoint: Checkpoint,
    *generators: Generator,
    seeds: Sequence[int] | None = None,
    original: Checkpoint | None = None,
    weights_floor: float | None = None,
    allow_chaotic: bool = False,
    progress: Progress = lambda done, total: None,
) -> ParityReport:
    """Compare a runtime's styles and pictures with the reference's, in all scenes and batches.

    Args:
        checkpoint: what the bundle was made of, its weights rounded as the bundle stores them.
        generators: the bundle, opened in every precision that is to be compared.
        seeds: the pictures of each scene, None = 32, 16 or 8, by the network's multiply-adds.
        original: the same with the weights as they were, None = they were not rounded.
        weights_floor: PSNR in dB that pictures of rounded weights have to reach, None = it is told
            alone.
        allow_chaotic: a network whose float32 is far from float64 in PyTorch itself may pass.
        progress: called as images get done.

    Raises:
        InvalidInput: no seeds.
    """
    chosen = check_seeds(range(count_pictures(checkpoint.config)) if seeds is None else seeds)
    floor = Tolerance() if weights_floor is None else Tolerance(psnr_db=weights_floor)
    check = _Check(checkpoint, original or checkpoint, floor, generators, tuple(chosen), progress)
    rows, errors, notes = check.run()
    return ParityReport(rows, errors, notes, allow_chaotic)


def open_precisions(path: Path, precision: str = "auto", **options: Any) -> Iterator[Generator]:
    """Open a bundle in the precisions that are proven, see `list_proven`; files are checked once.

    Args:
        path: the bundle's directory.
        precision: one of them, or 'auto': all.
        options: of `Generator.open`.
    """
    bundle = Bundle.open(path, check_files=False)
    for i, name in enumerate(list_proven(bundle, precision)):
        yield Generator.open(path, precision=name, check_files=not i, **options)


@dataclass(frozen=True)
class _Comparison:
    """The pictures of a scene in one precision at one batch size, each with its difference."""

    output: str  # 'ws' or 'img'
    scene: Scene
    draw: Draw
    differences: tuple[Difference, ...]

    def find_chunk(self, seed: int) -> tuple[int, ...]:
        """The seeds that it was drawn with."""
        return next(chunk for chunk in self.draw.batches if seed in chunk)

    def measure_excess(self) -> dict[Picture, float]:
        """How close each picture comes to the bounds of gate 1: at 1 it is missed."""
        found = zip(self.draw.seeds, self.differences, strict=True)
        return {(self.scene, seed): d.excess(TOLERANCES[self.draw.precision]) for seed, d in found}


class _Check:
    def __init__(
        self,
        checkpoint: Checkpoint,
        original: Checkpoint,
        weights_floor: Tolerance,
        generators: tuple[Generator, ...],
        seeds: tuple[int, ...],
        progress: Progress,
    ) -> None:
        self.checkpoint = checkpoint
        self.original = original
        self.weights_floor = weights_floor
        self.config = checkpoint.config
        by_precision = {str(g.describe()["precision"]): g for g in generators}
        self.precisions = tuple(by_precision)
        self.threads = max(int(g.describe().get("threads", 1)) for g in generators)
        self.drawer = SceneDrawer(checkpoint, by_precision, self.step)
        self.seeds = seeds
        self.progress = progress
        offsets = self.drawer.reference.style_space is not None
        self.scenes = list_image_scenes(self.config, offsets=offsets)
        self.done = 0
        compared = sum(len(draw.seeds) for scene in self.scenes for draw in self.list_draws(scene))
        of_weights = 0 if original is checkpoint else len(seeds)
        self.total = len(self.scenes) * len(seeds) + compared + of_weights

    def run(self) -> tuple[tuple[ParityRow, ...], dict[str, RoundingError], tuple[str, ...]]:
        """The rows, what float64 says of the reference, and what a user should know."""
        exact = Float64Pictures(self.checkpoint, self.drawer.reference)
        styles: list[_Comparison] = []
        for scene in map(Scene, list_mapping_psis(self.config)):
            expected = self.drawer.map_reference(self.seeds, scene.psi)
            for batch in BATCHES:
                draw = Draw("fp32", batch, self.seeds)
                got = [self.drawer.draw("ws", scene, "fp32", chunk) for chunk in draw.batches]
                styles.append(_compare("ws", scene, draw, expected, got))
        rows, errors = self.judge_all("ws", styles, exact)
        if not all(row.difference.finite for row in rows):
            return tuple(rows), errors, exact.notes  # the runtime refuses to draw such styles
        pictures: list[_Comparison] = []
        more: list[ParityRow] = []
        with share_cores(self.config, self.threads) as run:
            for scene in self.scenes:
                draws = tuple(self.list_draws(scene))
                expected, drawn = self.drawer.draw_scene(scene, self.seeds, draws, run)
                for draw, got in zip(draws, drawn, strict=True):
                    pictures.append(_compare("img", scene, draw, expected, got))
                    if scene == self.scenes[0] and draw.batch == BATCHES[-1]:
                        more += self.check_more(scene, draw.precision, expected, got)
        judged, found = self.judge_all("img", pictures, exact)
        return (*rows, *judged, *more), errors | found, exact.notes

    def list_draws(self, scene: Scene) -> Iterator[Draw]:
        """The precisions, batch sizes and seeds that a scene is compared in.

        What the second scene has of its own is the cutoff, which is of the mapping network, and
        no noise, or motion by seeds. Float32 shows both, so half precision is left out there, and
        so are pictures drawn alone.
        """
        outer = scene in (self.scenes[0], self.scenes[-1])
        for precision in self.precisions:
            if precision == "fp32" and outer:
                yield Draw(precision, BATCHES[0], self.seeds[:ALONE])
            if precision == "fp32" or outer:
                yield Draw(precision, BATCHES[-1], self.seeds)

    # ---- comparing ----

    def check_more(
        self, scene: Scene, precision: str, expected: np.ndarray, drawn: Sequence[np.ndarray]
    ) -> Iterator[ParityRow]:
        """What is the same in all scenes: how floats become bytes, and what rounding costs.

        Args:
            scene: the first.
            precision: of the runtime.
            expected: the reference's pictures.
            drawn: the runtime's, batch by batch.
        """
        if precision == "fp32" and self.original is not self.checkpoint:
            yield self.check_weights(scene, drawn)
        yield self.check_bytes(scene, precision, expected[: len(drawn[0])], drawn[0])

    def check_bytes(
        self, scene: Scene, precision: str, expected: np.ndarray, own: np.ndarray
    ) -> ParityRow:
        """The uint8 output holds the bytes of its own floats, which are compared themselves.

        One may be off by one where its float is at an edge. Where more are, it rounds another way.
        """
        seeds = self.seeds[: len(own)]
        got = self.drawer.draw("image", scene, precision, seeds)
        # What is not finite has failed the row of floats already.
        with np.errstate(invalid="ignore", over="ignore"):
            bytes_ = to_uint8(own)
            difference = compare(bytes_, got)
            off_own = np.abs(bytes_.astype(np.int16) - got)
            off = np.abs(to_uint8(expected).astype(np.int16) - got)
        difference = replace(difference, finite=bool(np.isfinite(own).all()))
        exact = difference.max_abs <= 1 and np.mean(off_own > 0) <= MAX_SHARE_OFF
        return ParityRow(
            output="image",
            scene=scene,
            batch=len(seeds),
            images=len(seeds),
            difference=difference,
            gate=int(difference.finite and exact),
            precision=precision,
            off_by_more_than_1=float(np.mean(off > 1)),
            off_by_more_than_4=float(np.mean(off > 4)),
        )

    def check_weights(self, scene: Scene, drawn: Sequence[np.ndarray]) -> ParityRow:
        """What rounding costs: the bundle's pictures beside those of the weights as they were."""
        reference = Reference(self.original)
        differences: list[Difference] = []
        steps: list[np.ndarray] = []
        for seeds, got in zip(split(self.seeds, BATCHES[-1]), drawn, strict=True):
            expected = reference.draw_seeds(seeds, scene)
            differences += compare_each(expected, got)
            with np.errstate(invalid="ignore", over="ignore"):  # fails by the floats
                steps.append(np.abs(to_uint8(expected).astype(np.int16) - to_uint8(got)))
            self.step(len(seeds))
        off = np.concatenate(steps)
        found = find_worst(differences)
        worst = min(range(len(differences)), key=lambda i: differences[i].psnr_db)
        return ParityRow(
            output="img",
            scene=scene,
            batch=BATCHES[-1],
            images=len(self.seeds),
            difference=found,
            gate=int(found.within(self.weights_floor)),
            precision=STORED_WEIGHTS,
            tolerance=self.weights_floor,
            off_by_more_than_1=float(np.mean(off > 1)),
            off_by_more_than_4=float(np.mean(off > 4)),
            worst_seed=self.seeds[worst],
        )

    # ---- judging ----

    def judge_all(
        self, output: str, comparisons: Sequence[_Comparison], exact: Float64Pictures
    ) -> tuple[list[ParityRow], dict[str, RoundingError]]:
        """The rows of one output; float64 is drawn of pictures that come too close to gate 1."""
        closest: dict[Picture, float] = {}
        for one in comparisons:
            if one.draw.precision == "fp32":
                for picture, excess in one.measure_excess().items():
                    closest[picture] = max(excess, closest.get(picture, 0))
        error = None
        if max(closest.values(), default=0) > NEAR:
            exact.draw(output, closest)
            error = exact.errors.get(output)
        rows = [self.judge_one(one, exact, error) for one in comparisons]
        return rows, {} if error is None else {output: error}

    def judge_one(
        self, one: _Comparison, exact: Float64Pictures, error: RoundingError | None
    ) -> ParityRow:
        """A picture passes gate 1 as it is, or gate 2; against float64 if that was drawn of it."""
        precision = one.draw.precision
        gates, found = [], []
        for seed, difference in zip(one.draw.seeds, one.differences, strict=True):
            gate = judge(difference, precision)
            truth = exact.find(one.output, one.scene, seed)
            if not gate and precision == "fp32" and truth is not None:
                chunk = one.find_chunk(seed)
                got = self.drawer.draw(one.output, one.scene, precision, chunk)
                difference = compare_each(truth[None], got[chunk.index(seed)][None])[0]
                found.append(difference)
            second = 2 * bool(judge(difference, precision, error))
            gates.append(gate or second)
        return ParityRow(
            output=one.output,
            scene=one.scene,
            batch=one.draw.batch,
            images=len(one.draw.seeds),
            difference=find_worst(one.differences),
            gate=0 if 0 in gates else max(gates),
            precision=precision,
            exact=find_worst(found) if found else None,
        )

    def step(self, images: int) -> None:
        self.done += images
        self.progress(self.done, self.total)


def _compare(
    output: str, scene: Scene, draw: Draw, expected: np.ndarray, drawn: Sequence[np.ndarray]
) -> _Comparison:
    """Compare what the runtime drew, batch by batch, with the reference's styles or pictures."""
    differences: list[Difference] = []
    for few, got in zip(split(expected[: len(draw.seeds)], draw.batch), drawn, strict=True):
        differences += compare_each(few, got)
    return _Comparison(output, scene, draw, tuple(differences))

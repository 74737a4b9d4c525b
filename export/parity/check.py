"""The proof that a bundle draws what its checkpoint draws: every export runs it.

The reference is the PyTorch model in float32, one picture at a time. The candidate is the runtime,
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
from stylert.export.parity.float64 import Float64Pictures, Picture
from stylert.export.parity.reference import Reference
from stylert.export.parity.report import ParityReport, ParityRow
from stylert.export.parity.scenes import (
    Scene,
    count_pictures,
    list_image_scenes,
    list_mapping_psis,
    make_labels,
    make_motions,
    make_psis,
    make_transforms,
)
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8
from stylert.runtime.latents import make_z
from stylert.runtime.proof.parity import (
    MAX_SHARE_OFF,
    STORED_WEIGHTS,
    TOLERANCES,
    Difference,
    RoundingError,
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
    allow_chaotic: bool = False,
    progress: Progress = lambda done, total: None,
) -> ParityReport:
    """Compare a runtime's styles and pictures with the reference's, in all scenes and batches.

    Args:
        checkpoint: what the bundle was made of, its weights rounded as the bundle stores them.
        generators: the bundle, opened in every precision that is to be compared.
        seeds: the pictures of each scene, None = 32, 16 or 8, by the network's multiply-adds.
        original: the same with the weights as they were, None = they were not rounded.
        allow_chaotic: a network whose float32 is far from float64 in PyTorch itself may pass.
        progress: called as images get done.
    """
    if seeds is None:
        seeds = range(count_pictures(checkpoint.config))
    check = _Check(checkpoint, original or checkpoint, generators, tuple(seeds), progress)
    rows, errors, notes = check.run()
    return ParityReport(rows, errors, notes, allow_chaotic)


def open_precisions(path: Path, **options: Any) -> Iterator[Generator]:
    """Open a bundle in the precisions that are proven; the files are checked once.

    INT8 is not: what it costs is measured, see `export.int8`.
    """
    there = Bundle.open(path, check_files=False).precisions
    for i, precision in enumerate(name for name in there if name in TOLERANCES):
        yield Generator.open(path, precision=precision, check_files=not i, **options)


@dataclass(frozen=True)
class _Comparison:
    """The pictures of a scene in one precision at one batch size, each with its difference."""

    output: str  # 'ws' or 'img'
    scene: Scene
    precision: str
    batch: int
    seeds: tuple[int, ...]
    differences: tuple[Difference, ...]

    def find_chunk(self, seed: int) -> tuple[int, ...]:
        """The seeds that it was drawn with."""
        start = self.seeds.index(seed) // self.batch * self.batch
        return self.seeds[start : start + self.batch]

    def measure_excess(self) -> dict[Picture, float]:
        """How close each picture comes to the bounds of gate 1: at 1 it is missed."""
        found = zip(self.seeds, self.differences, strict=True)
        return {(self.scene, seed): d.excess(TOLERANCES[self.precision]) for seed, d in found}


class _Check:
    def __init__(
        self,
        checkpoint: Checkpoint,
        original: Checkpoint,
        generators: tuple[Generator, ...],
        seeds: tuple[int, ...],
        progress: Progress,
    ) -> None:
        self.checkpoint = checkpoint
        self.original = original
        self.config = checkpoint.config
        self.reference = Reference(checkpoint)
        self.generators = {str(g.describe()["precision"]): g for g in generators}
        self.seeds = seeds
        self.progress = progress
        self.scenes = list_image_scenes(self.config)
        self.done = 0
        compared = sum(
            len(chosen) for scene in self.scenes for *_, chosen in self.list_draws(scene)
        )
        of_weights = 0 if original is checkpoint else len(seeds)
        self.total = len(self.scenes) * len(seeds) + compared + of_weights

    def run(self) -> tuple[tuple[ParityRow, ...], dict[str, RoundingError], tuple[str, ...]]:
        """The rows, what float64 says of the reference, and what a user should know."""
        exact = Float64Pictures(self.checkpoint, self.reference)
        styles: list[_Comparison] = []
        for scene in map(Scene, list_mapping_psis(self.config)):
            expected = self.draw_reference("ws", scene)
            for batch in BATCHES:
                styles.append(self.compare("ws", scene, "fp32", batch, expected, self.seeds))
        rows, errors = self.judge_all("ws", styles, exact)
        if not all(row.difference.finite for row in rows):
            return tuple(rows), errors, exact.notes  # the runtime refuses to draw such styles
        pictures: list[_Comparison] = []
        bytes_: list[ParityRow] = []
        for scene in self.scenes:
            expected = self.draw_reference("img", scene)
            for precision, batch, seeds in self.list_draws(scene):
                pictures.append(self.compare("img", scene, precision, batch, expected, seeds))
            if scene == self.scenes[0]:  # how floats become bytes is the same in all
                for precision in self.generators:
                    bytes_.append(self.check_bytes(scene, precision, expected[: BATCHES[-1]]))
        drawn, more = self.judge_all("img", pictures, exact)
        stored = [] if self.original is self.checkpoint else [self.check_weights()]
        return (*rows, *drawn, *stored, *bytes_), errors | more, exact.notes

    def list_draws(self, scene: Scene) -> Iterator[tuple[str, int, tuple[int, ...]]]:
        """The precisions, batch sizes and seeds that a scene is compared in.

        What the second scene has of its own is the cutoff, which is of the mapping network, and
        no noise, or motion by seeds. Float32 shows both, so half precision is left out there, and
        so are pictures drawn alone.
        """
        outer = scene in (self.scenes[0], self.scenes[-1])
        for precision in self.generators:
            if precision == "fp32" and outer:
                yield precision, BATCHES[0], self.seeds[:ALONE]
            if precision == "fp32" or outer:
                yield precision, BATCHES[-1], self.seeds

    # ---- drawing ----

    def draw_reference(self, output: str, scene: Scene) -> np.ndarray:
        """The reference's styles or pictures of all seeds."""
        if output == "ws":
            return self.reference.map_seeds(self.seeds, scene.psi)
        given = self.reference.mix_seeds(self.seeds) if scene.ws == "own" else None
        images = []
        for i, seed in enumerate(self.seeds):
            images.append(self.reference.draw(seed, scene, None if given is None else given[i]))
            self.step(1)
        return np.stack(images)

    def draw_candidate(
        self, output: str, scene: Scene, precision: str, seeds: Sequence[int]
    ) -> np.ndarray:
        """The runtime's styles, pictures or bytes of some seeds, drawn together."""
        generator = self.generators[precision] if output != "ws" else self.mapper
        options: dict[str, Any] = {"truncation_psi": scene.psi.psi}
        if scene.psi.psi is None:
            options["truncation_psi"] = make_psis(scene.psi, seeds, self.config.num_ws)
        if scene.psi.cutoff is not None:
            options["truncation_cutoff"] = scene.psi.cutoff
        labels = make_labels(seeds, self.config)
        if output == "ws":
            return generator.map(make_z(seeds, self.config.z_dim), labels, **options)
        controls: dict[str, Any] = {"output": output, **_make_controls(scene, seeds)}
        if scene.ws == "own":
            if scene.noise_mode == "seeded":
                controls["noise_seed"] = list(seeds)
            own: np.ndarray = generator.synthesize(self.reference.mix_seeds(seeds), **controls)
            return own
        images: np.ndarray = generator.generate(seeds, labels=labels, **options, **controls)
        return images

    @property
    def mapper(self) -> Generator:
        """Any of the generators: the mapping network is float32 in every precision."""
        return next(iter(self.generators.values()))

    # ---- comparing ----

    def compare(
        self,
        output: str,
        scene: Scene,
        precision: str,
        batch: int,
        expected: np.ndarray,
        seeds: tuple[int, ...],
    ) -> _Comparison:
        """Compare a scene, drawn `batch` at a time."""
        differences: list[Difference] = []
        for start in range(0, len(seeds), batch):
            chunk = seeds[start : start + batch]
            got = self.draw_candidate(output, scene, precision, chunk)
            differences += compare_each(expected[start : start + len(chunk)], got)
            self.step(len(chunk) if output == "img" else 0)
        return _Comparison(output, scene, precision, batch, seeds, tuple(differences))

    def check_bytes(self, scene: Scene, precision: str, expected: np.ndarray) -> ParityRow:
        """The uint8 output holds the bytes of its own floats, which are compared themselves.

        One may be off by one where its float is at an edge. Where more are, it rounds another way.
        """
        seeds = self.seeds[: BATCHES[-1]]
        own = self.draw_candidate("img", scene, precision, seeds)
        got = self.draw_candidate("image", scene, precision, seeds)
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

    def check_weights(self) -> ParityRow:
        """What rounding costs: the bundle's pictures beside those of the weights as they were.

        One scene is enough: that the graph holds the rounded weights is seen in all of them.
        """
        scene, batch = self.scenes[0], BATCHES[-1]
        reference = Reference(self.original)
        differences: list[Difference] = []
        steps: list[np.ndarray] = []
        for start in range(0, len(self.seeds), batch):
            seeds = self.seeds[start : start + batch]
            expected = np.stack([reference.draw(seed, scene) for seed in seeds])
            got = self.draw_candidate("img", scene, "fp32", seeds)
            differences += compare_each(expected, got)
            with np.errstate(invalid="ignore", over="ignore"):  # fails by the floats
                steps.append(np.abs(to_uint8(expected).astype(np.int16) - to_uint8(got)))
            self.step(len(seeds))
        off = np.concatenate(steps)
        return ParityRow(
            output="img",
            scene=scene,
            batch=batch,
            images=len(self.seeds),
            difference=find_worst(differences),
            gate=judge(find_worst(differences), STORED_WEIGHTS),
            precision=STORED_WEIGHTS,
            off_by_more_than_1=float(np.mean(off > 1)),
            off_by_more_than_4=float(np.mean(off > 4)),
        )

    # ---- judging ----

    def judge_all(
        self, output: str, comparisons: Sequence[_Comparison], exact: Float64Pictures
    ) -> tuple[list[ParityRow], dict[str, RoundingError]]:
        """The rows of one output; float64 is drawn of pictures that come too close to gate 1."""
        closest: dict[Picture, float] = {}
        for one in comparisons:
            if one.precision == "fp32":
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
        gates, found = [], []
        for seed, difference in zip(one.seeds, one.differences, strict=True):
            gate = judge(difference, one.precision)
            truth = exact.find(one.output, one.scene, seed)
            if not gate and one.precision == "fp32" and truth is not None:
                chunk = one.find_chunk(seed)
                got = self.draw_candidate(one.output, one.scene, one.precision, chunk)
                difference = compare_each(truth[None], got[chunk.index(seed)][None])[0]
                found.append(difference)
            second = 2 * bool(judge(difference, one.precision, error))
            gates.append(gate or second)
        return ParityRow(
            output=one.output,
            scene=one.scene,
            batch=one.batch,
            images=len(one.seeds),
            difference=find_worst(one.differences),
            gate=0 if 0 in gates else max(gates),
            precision=one.precision,
            exact=find_worst(found) if found else None,
        )

    def step(self, images: int) -> None:
        if images:
            self.done += images
            self.progress(self.done, self.total)


def _make_controls(scene: Scene, seeds: Sequence[int]) -> dict[str, Any]:
    """What the runtime is asked for besides seeds and truncation."""
    if scene.motion == "matrix":
        return {"transform": make_transforms(seeds)}
    if scene.motion == "seeded":
        return make_motions(seeds)
    if scene.motion == "none":
        return {}
    return {"noise_mode": "const" if scene.noise_mode == "-" else scene.noise_mode}

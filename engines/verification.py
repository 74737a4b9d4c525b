"""What an engine draws, compared with the graph that was proven: `verify --engine`.

The export compared the float32 graph with PyTorch, so ONNX Runtime on the processor is the
reference here, and nothing of PyTorch is needed on the machine with the GPU. The rule is that of
every proof, and so are the scenes: a cutoff, and pictures that have the w of another seed in every
layer. Every batch size that the engine was built for draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.engines.scenes import list_scenes, make_encoder_feeds
from stylert.runtime.backends.tensorrt.plan_choice import find_named
from stylert.runtime.backends.tensorrt.plans import list_plans
from stylert.runtime.backends.tensorrt.session import TensorRTSession
from stylert.runtime.bundle import ENCODER, Bundle
from stylert.runtime.errors import EngineError, ParityError
from stylert.runtime.feeds import Feeds
from stylert.runtime.files.json_files import keep_finite
from stylert.runtime.generator import Generator
from stylert.runtime.machine import visible_gpus
from stylert.runtime.proof.bundle_facts import int8_error, reference_error
from stylert.runtime.proof.parity import (
    CODES,
    LEAST_RANGE,
    MAX_SHARE_OFF,
    TOLERANCES,
    Difference,
    RoundingError,
    Tolerance,
    compare_each,
    measure_excess,
)

__all__ = ["EngineCheck", "EngineRow", "check_engine", "open_engine"]

PICTURES = 8  # of each scene
STEPS = 127.5  # of a byte in 1 of a float


@dataclass(frozen=True)
class EngineRow:
    """All pictures of one scene at one batch size."""

    output: str  # 'ws', 'img', or 'image': the bytes; 'codes' of an encoder, or its 'pictures'
    scene: str
    batch: int
    images: int
    difference: str  # of the worst picture, for people
    excess: float  # how many times too far that is; beyond 1 it fails

    @property
    def passed(self) -> bool:
        """Whether it is within its bounds."""
        return self.excess <= 1

    def make_cells(self) -> dict[str, str]:
        """The row as texts for people, by heading."""
        return {
            "output": self.output,
            "scene": self.scene,
            "batch": str(self.batch),
            "images": str(self.images),
            "worst picture": self.difference,
            "times its bound": f"{self.excess:.2g}",
            "": "ok" if self.passed else "FAILED",
        }


@dataclass(frozen=True)
class EngineCheck:
    """What was found of an engine."""

    plans: tuple[str, ...]  # of mapping and synthesis
    where: str  # the package, its version and the GPU
    precision: str
    rows: tuple[EngineRow, ...]

    @property
    def passed(self) -> bool:
        """Whether every row passed."""
        return all(row.passed for row in self.rows)

    def make_table(self) -> list[dict[str, str]]:
        """The rows as texts for people, by heading."""
        return [row.make_cells() for row in self.rows]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        rows = [
            {**vars(row), "passed": row.passed, "excess": keep_finite(row.excess)}
            for row in self.rows
        ]
        return {**vars(self), "passed": self.passed, "rows": rows}

    def make_error(self) -> ParityError:
        """The error of an engine that failed."""
        worst = max(self.rows, key=lambda row: row.excess)
        failed = [row for row in self.rows if not row.passed]
        return ParityError(
            f"The engine {self.plans[-1]} does not draw what its graph draws, in {len(failed)} of "
            f"{len(self.rows)} rows. Worst: {worst.output} with {worst.scene}, batch "
            f"{worst.batch}: {worst.difference}."
        )


def open_engine(
    bundle: Bundle, *, plan: str | None = None, trust_engines: bool = False
) -> Generator:
    """A generator on an engine of a bundle.

    Args:
        bundle: opened.
        plan: name of the synthesis plan, None = the best that runs here.
        trust_engines: take those of others, too.

    Raises:
        InvalidInput: the bundle has no plan of this name.
        EngineError: it has no engine, or none that runs here; or there is no GPU.
        MissingExtra: the package that runs it is not installed.
    """
    find_named(list_plans(bundle), plan)  # a wrong name is told everywhere
    if not visible_gpus():
        raise EngineError(
            "Only an NVIDIA GPU shows what an engine draws, and this machine has none. Verify it "
            "on the machine that will run it."
        )
    session = TensorRTSession(bundle, plan=plan, trust_engines=trust_engines)
    return Generator(bundle, session, max_batch=session.max_batch)


def check_engine(
    path: str | Path,
    *,
    plan: str | None = None,
    seeds: Sequence[int] = range(PICTURES),
    trust_engines: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EngineCheck:
    """Compare what an engine draws with the float32 graph in ONNX Runtime on the processor.

    Args:
        path: the bundle's directory.
        plan: name of the synthesis plan, None = the best that runs here.
        seeds: of the pictures.
        trust_engines: run those of others, too.
        threads: CPU threads of ONNX Runtime, None = all.
        progress: called with the rows done, and those in all.

    Raises:
        BundleError: the bundle is damaged.
        InvalidInput, EngineError, MissingExtra: see `open_engine`.
    """
    bundle = Bundle.open(path)
    graph = Generator.open(
        bundle.path,
        backend="onnxruntime",
        provider="cpu",
        precision="fp32",
        threads=threads,
        check_files=False,
    )
    with graph, open_engine(bundle, plan=plan, trust_engines=trust_engines) as engine:
        facts = engine.describe()
        (outputs,) = (p.outputs for p in list_plans(bundle) if p.name == facts["plans"][-1])
        judge = _Judge(str(facts["precision"]), reference_error(bundle), int8_error(bundle))
        batches = sorted({best for _, best, _ in facts["batches"]})
        scenes = list_scenes(graph, seeds)
        rows: list[EngineRow] = []
        for i, scene in enumerate(scenes):
            for output in ("ws",) if scene.of_styles else outputs:
                expected = scene.draw(graph, 1, output)
                for batch in batches:
                    found = judge.compare(output, expected, scene.draw(engine, batch, output))
                    rows.append(EngineRow(output, scene.name, batch, len(seeds), *found))
            progress(i + 1, len(scenes))
        encoder = facts.get("encoder")
        for precision in [p.precision for p in list_plans(bundle) if p.name == encoder]:
            rows += _check_encoder(graph, engine, precision, seeds, batches)
    where = f"{facts['package']} {facts['version']} on {facts['gpu']}"
    return EngineCheck(tuple(facts["plans"]), where, str(facts["precision"]), tuple(rows))


def _check_encoder(
    graph: Generator, engine: Generator, precision: str, seeds: Sequence[int], batches: list[int]
) -> Iterator[EngineRow]:
    """The encoder's engine against its float32 graph, on pictures of the generator's own.

    Float32 by its codes, half precision by what the float32 generator draws of them, as when the
    encoder was added to the bundle.
    """
    feeds = make_encoder_feeds(graph, seeds)
    expected = _encode(graph, feeds, 1)
    drawn = None if precision == "fp32" else graph.synthesize(expected, output="img")
    scene = "the encoder, of its generator's pictures"
    for batch in batches:
        got = _encode(engine, feeds, batch)
        if drawn is None:
            off = float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-6))
            excess = off / CODES if np.isfinite(off) else math.inf
            told = f"max |d| {off:.1e} of their range"
            yield EngineRow("codes", scene, batch, len(seeds), told, excess)
        elif not np.isfinite(got).all():
            yield EngineRow("pictures", scene, batch, len(seeds), "not finite", math.inf)
        else:
            found = _Judge(precision, None).compare(
                "img", drawn, graph.synthesize(got, output="img")
            )
            yield EngineRow("pictures", scene, batch, len(seeds), *found)


def _encode(generator: Generator, feeds: Feeds, batch: int) -> np.ndarray:
    with generator.lifetime.in_use() as session:
        parts = [session.run((ENCODER,), part, ["ws"])[0] for part in feeds.split(batch)]
    return np.concatenate([np.asarray(part) for part in parts])


@dataclass(frozen=True)
class _Judge:
    precision: str
    error: RoundingError | None  # of PyTorch's float32, where the export has drawn it
    int8: float = 0.0  # root of the mean square that INT8 pictures may be off

    def compare(self, output: str, expected: np.ndarray, got: np.ndarray) -> tuple[str, float]:
        """The worst picture in words, and how many times too far it is."""
        if output == "image":
            return self._compare_bytes(expected, got)
        precision = "fp32" if output == "ws" else self.precision
        error = None if output == "ws" else self.error
        each = compare_each(expected, got)

        def measure(one: Difference) -> float:
            if precision == "int8":
                return one.excess(Tolerance(rms=self.int8))
            return measure_excess(one, precision, error)

        worst = max(each, key=measure)
        excess = measure(worst)
        if not worst.finite:
            return "not finite", excess
        words = f"rms {worst.rms:.2g}, max |d| {worst.max_abs:.2g}, PSNR {worst.psnr_db:.1f} dB"
        return words, excess

    def _compare_bytes(self, expected: np.ndarray, got: np.ndarray) -> tuple[str, float]:
        """The same of bytes, whose mean difference is that of the floats behind them.

        Float32 may round a byte in fifty to the other side. In half precision a mean difference
        cannot be beyond the root mean square that the PSNR allows the floats.
        """
        if expected.shape != got.shape:
            raise ValueError(f"shapes differ: {expected.shape} and {got.shape}")
        found = []
        for a, b in zip(expected.astype(np.int16), got, strict=True):
            off = np.abs(a - b)
            mean, most = float(off.mean()), int(off.max())
            reach = max(int(a.max() - a.min()), LEAST_RANGE * STEPS)
            allowed = reach * 10 ** (-TOLERANCES["fp16"].psnr_db / 20)
            if self.precision == "int8":
                allowed = self.int8 * STEPS
            excess = max(mean / MAX_SHARE_OFF, most) if self.precision == "fp32" else mean / allowed
            found.append((excess, f"mean |d| {mean:.2g} LSB, max |d| {most} LSB"))
        excess, words = max(found)
        return words, excess

"""From the float32 graph of a bundle to the INT8 graph in it: calibrate, search, prove, publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from stylert.export.graph_check import check_graph
from stylert.export.graph_session import choose_threads
from stylert.export.int8.calibration import calibrate
from stylert.export.int8.graph_runs import Feeds, choose_pictures, make_pictures
from stylert.export.int8.quality import Drawn, Quality, draw
from stylert.export.int8.ranges import Quantised, Seen, quantise
from stylert.export.int8.rewriting import rewrite
from stylert.export.int8.search import Found, find_float32_layers
from stylert.export.int8.source_graph import SourceGraph
from stylert.runtime.arguments import shown_number
from stylert.runtime.bundle import INT8, Bundle, GraphSpec
from stylert.runtime.control.truncation import as_number
from stylert.runtime.errors import InvalidInput, ParityError
from stylert.runtime.files.listed import make_entry
from stylert.runtime.files.manifest import extend_manifest
from stylert.runtime.files.publishing import publish_file
from stylert.runtime.generator import Generator
from stylert.runtime.proof.bundle_facts import multiply_adds

__all__ = ["FLOOR_DB", "Int8Report", "check_floor", "quantise_bundle"]

FLOOR_DB = 40.0  # what `--int8-floor` is by default
FLOORS = (10.0, 80.0)  # what may be asked for: 8 bits cannot give more
_TOLD = 4  # layers that cost most, in a message

Progress = Callable[[str, int, int], None]  # what is going on, steps done, steps in all


@dataclass(frozen=True)
class Int8Report:
    """What INT8 costs in a network's pictures.

    Attributes:
        quality: of the graph as it is published.
        all_int8: with no layer left in float32.
        floor_db: what was asked for.
        float32: convolutions that stay in float32, in their order.
        convolutions: how many there are.
        by_image: each image has a range of its own.
    """

    quality: Quality
    all_int8: Quality
    floor_db: float
    float32: tuple[str, ...]
    convolutions: int
    by_image: bool

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        facts = {**vars(self), "float32": list(self.float32)}
        return {
            **facts,
            "quality": self.quality.to_json(),
            "all_int8": self.all_int8.to_json(),
        }


def check_floor(floor_db: float) -> None:
    """Refuse a floor that means nothing.

    Raises:
        InvalidInput: it is not a number from 10 to 80.
    """
    least, most = FLOORS
    if not least <= as_number(floor_db) <= most:  # nan is not, either
        got = shown_number(floor_db)
        raise InvalidInput(f"int8_floor: got {got}, expected a PSNR from {least:g} to {most:g} dB.")


def quantise_bundle(
    path: str | Path,
    *,
    int8_floor: float = FLOOR_DB,
    force: bool = False,
    threads: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Int8Report:
    """Add the synthesis graph in 8 bits to a bundle; it needs no checkpoint.

    The pictures that ranges are calibrated on are the bundle's own, of seeds at a truncation of
    0.7 and 1. ONNX Runtime measures the result against the float32 graph. Layers stay in float32
    until the floor holds: those that do it with the fewest multiply-adds.

    Args:
        path: the bundle's directory.
        int8_floor: least PSNR in dB of all pictures, clipped to [-1, 1], with a peak of 2.
        force: replace an INT8 graph that is there.
        threads: CPU threads, None = all.
        progress: called as the work goes on.

    Returns:
        The report. It is in the manifest, too.

    Raises:
        InvalidInput: the floor is out of range, or there is an INT8 graph and no `force`.
        BundleError: the bundle is damaged.
        ParityError: the floor cannot be reached; nothing is written. The message says how far it
            got, and which layers cost most.
        OSError: the disk is full, or the bundle cannot be written.
    """
    check_floor(int8_floor)
    bundle = Bundle.open(path)
    if INT8 in bundle.graphs and not force:
        raise InvalidInput(
            f"Bundle {bundle.path} has an INT8 graph already. Pass force=True to replace it."
        )
    with Generator.open(
        bundle.path, backend="onnxruntime", provider="cpu", precision="fp32", check_files=False
    ) as generator:
        model, report = _Quantisation(generator, int8_floor, threads, progress).run()
    _publish(bundle, model, report)
    return report


class _Quantisation:
    def __init__(
        self, generator: Generator, floor_db: float, threads: int | None, progress: Progress
    ) -> None:
        self.floor_db, self.progress = floor_db, progress
        self.source = SourceGraph(generator.bundle)
        usual = choose_threads(multiply_adds(generator.bundle))
        self.threads = usual if threads is None else threads
        calibrating, measured = choose_pictures(generator.bundle)
        self.total = len(calibrating)
        self.calibrating = make_pictures(generator, calibrating)
        self.pictures = list(make_pictures(generator, measured))
        self.work = {c.name: c.multiply_adds for c in self.source.convolutions}
        self.seen: Mapping[str, Seen] = {}
        self.measured = 0

    def run(self) -> tuple[ir.Model, Int8Report]:
        """The graph, and what it costs."""
        if not self.work:
            raise ParityError("This network has no convolution that INT8 can compute.")
        self.seen = calibrate(self.source, self.count(self.calibrating), threads=self.threads)
        self.reference = self.draw(self.source.open())
        variants = {by_image: self.measure(by_image, frozenset()) for by_image in self.list_ways()}
        by_image = max(variants, key=lambda way: variants[way].psnr_db)
        found = find_float32_layers(
            self.work,
            lambda left: self.measure(by_image, left),
            self.floor_db,
            variants[by_image],
        )
        if found.quality.psnr_db < self.floor_db:
            raise self.make_error(found)
        report = Int8Report(
            quality=found.quality,
            all_int8=variants[by_image],
            floor_db=self.floor_db,
            float32=tuple(name for name in self.work if name in found.float32),
            convolutions=len(self.work),
            by_image=by_image,
        )
        return rewrite(self.source, self.choose(by_image, found.float32)), report

    def list_ways(self) -> tuple[bool, ...]:
        """Whether images may have ranges of their own: both, where any can."""
        can = any(convolution.per_image for convolution in self.source.convolutions)
        return (False, True) if can else (False,)

    def choose(self, by_image: bool, float32: frozenset[str]) -> dict[str, Quantised]:
        """The convolutions in 8 bits."""
        return {
            c.name: quantise(
                c.weight,
                c.output_axis,
                self.seen[c.name],
                by_channel=c.scales is not None,
                by_image=by_image and c.per_image,
            )
            for c in self.source.convolutions
            if c.name not in float32
        }

    def measure(self, by_image: bool, float32: frozenset[str]) -> Quality:
        """The pictures with some layers in float32."""
        self.measured += 1
        self.progress("measuring INT8", self.measured % len(self.work), len(self.work))
        drawn = self.draw(rewrite(self.source, self.choose(by_image, float32)))
        return Quality.measure(self.reference, drawn)

    def draw(self, model: ir.Model) -> Drawn:
        return draw(model, self.pictures, threads=self.threads)

    def count(self, pictures: Iterator[Feeds]) -> Iterator[Feeds]:
        """The same pictures, with their progress."""
        for done, feeds in enumerate(pictures):
            self.progress("calibrating INT8", done, self.total)
            yield feeds

    def make_error(self, found: Found) -> ParityError:
        """How far it got, and what costs most."""
        worst = sorted(found.costs, key=lambda name: -found.costs[name])[:_TOLD]
        total = sum(max(cost, 0) for cost in found.costs.values()) or 1
        most = ", ".join(f"{name} ({max(found.costs[name], 0) / total:.0%})" for name in worst)
        left = len(found.float32)
        return ParityError(
            f"INT8 pictures reach {found.quality.psnr_db:.1f} dB with {left} of {len(self.work)} "
            f"convolutions in float32, expected {self.floor_db:g} dB"
            f"{f'; most of the error comes from {most}' if most else ''}. Pass a lower int8_floor, "
            "or stay with float32."
        )


def _publish(bundle: Bundle, model: ir.Model, report: Int8Report) -> None:
    """Write the graph, and the manifest that lists it."""
    spec = bundle.graphs["synthesis"]
    file = bundle.path / f"{INT8}.onnx"
    with publish_file(file) as partial:
        ir.save(model, partial)
        check_graph(partial, file.name)
        files = {file.name: make_entry(partial)}
    graphs = {INT8: asdict(GraphSpec(file.name, spec.inputs, spec.outputs))}
    told = report.to_json()
    extend_manifest(bundle.path, bundle.manifest, files=files, graphs=graphs, int8=told)

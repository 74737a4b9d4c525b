"""What the INT8 graph of a bundle costs in pictures, measured again: for `verify`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from stylert.export.graph_session import choose_threads
from stylert.export.int8.graph_runs import choose_pictures, make_pictures
from stylert.export.int8.quality import Quality, draw
from stylert.export.int8.source_graph import SourceGraph
from stylert.runtime.bundle import INT8
from stylert.runtime.errors import ParityError
from stylert.runtime.generator import Generator
from stylert.runtime.proof.bundle_facts import multiply_adds, reading_manifest, tell_int8

__all__ = ["Int8Check", "check_int8"]

ROUNDING_DB = 0.5  # processors round otherwise, and roundings flip integers


@dataclass(frozen=True)
class Int8Check:
    """The INT8 graph of a bundle against its float32 graph.

    Attributes:
        quality: of its pictures.
        facts: what the manifest says of it.
    """

    quality: Quality
    facts: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether it holds the floor that it was made for, but for rounding."""
        return self.quality.psnr_db >= float(self.facts["floor_db"]) - ROUNDING_DB

    def make_table(self) -> list[dict[str, str]]:
        """What was found, as texts for people."""
        told = tell_int8({**self.facts, "quality": self.quality.to_json()})
        return [{"what": what, "value": value} for what, value in told]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**self.facts, "quality": self.quality.to_json(), "passed": self.passed}

    def make_error(self) -> ParityError:
        """The error of a graph that failed."""
        return ParityError(
            f"INT8 pictures are at {self.quality.psnr_db:.1f} dB, expected "
            f"{self.facts['floor_db']:g} dB, as when the graph was made. Make it again: stylert "
            "quantize BUNDLE --force"
        )


def check_int8(
    path: str | Path,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Int8Check | None:
    """Draw the pictures that `quantise_bundle` measured again; None = there is no INT8 graph.

    Args:
        path: the bundle's directory.
        threads: CPU threads, None = all.
        progress: called as the work goes on.

    Raises:
        BundleError: the bundle is damaged.
    """
    options: dict[str, Any] = {"backend": "onnxruntime", "provider": "cpu", "precision": "fp32"}
    with Generator.open(path, check_files=False, **options) as generator:
        bundle = generator.bundle
        if INT8 not in bundle.graphs:
            return None
        with reading_manifest(path):
            facts = dict(bundle.manifest["int8"])
            floor_db = float(facts["floor_db"])
        pictures = list(make_pictures(generator, choose_pictures(bundle)[1]))
    progress(0, 2)
    threads = choose_threads(multiply_adds(bundle)) if threads is None else threads
    expected = draw(SourceGraph(bundle).open(), pictures, threads=threads)
    progress(1, 2)
    int8 = draw(ir.from_proto(onnx.load(bundle.file(INT8))), pictures, threads=threads)
    return Int8Check(Quality.measure(expected, int8), {**facts, "floor_db": floor_db})

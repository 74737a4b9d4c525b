"""A bundle before it is published: its graphs, arrays and manifest in a folder of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from stylert.export.checkpoints import Checkpoint
from stylert.export.families import synthesis_graph
from stylert.export.graphs.emitter import noise_inputs
from stylert.export.graphs.mapping import mapping_graph
from stylert.export.onnx_graph import GraphBuilder
from stylert.export.precision import HalfPlan
from stylert.export.sefa import sefa_directions
from stylert.runtime.bundle import (
    HALF,
    MANIFEST,
    SCHEMA,
    GeneratorSpec,
    GraphSpec,
    sealed,
    sha256_of,
)
from stylert.runtime.directions import arrays_of

__all__ = ["BundleDraft", "naming"]


class BundleDraft:
    """The files of a bundle as they come to be.

    Args:
        checkpoint: the generator.
        folder: where the files are written.
        out: where the bundle will be published; errors name it.
        half: the blocks that compute in half precision.
        graph_options: choices of the family's graph.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        folder: Path,
        out: Path,
        half: HalfPlan,
        graph_options: Mapping[str, Any],
    ) -> None:
        self.checkpoint = checkpoint
        self.folder = folder
        self.half = half
        self.graph_options = graph_options
        self._out = out
        self._files: dict[str, list[Path]] = {}  # by graph, or what else they hold
        self._graphs: dict[str, GraphSpec] = {}

    def write(self, progress: Callable[[str, int, int], None]) -> None:
        """Write everything but the manifest."""
        writers: list[Callable[[], None]] = [
            lambda: self._write_graph("mapping", mapping_graph(self.checkpoint)),
            lambda: self._write_graph(
                "synthesis", synthesis_graph(self.checkpoint, **self.graph_options)
            ),
            self._write_half,
        ]
        for done, write in enumerate(writers):
            progress("writing the graphs", done, len(writers))
            with naming(self._out):
                write()
        progress("writing the graphs", len(writers), len(writers))
        with naming(self._out):
            if self.checkpoint.config.use_noise:
                self._write_arrays("noise", noise_inputs(self.checkpoint))
            self._write_arrays("directions", arrays_of(sefa_directions(self.checkpoint)))

    def replace_half(self, half: HalfPlan) -> None:
        """Write the half-precision graph again, for another plan; none where it has no block."""
        self.half = half
        with naming(self._out):
            for file in self._files.pop(HALF, []):
                file.unlink()
            self._graphs.pop(HALF, None)
            self._write_half()

    def write_manifest(self, parity: Mapping[str, Any] | None) -> None:
        """Write the manifest, with the report of the proof; None = without one."""
        with naming(self._out):
            manifest = self._manifest() | {"parity": parity}
            text = json.dumps(sealed(manifest), indent=1, allow_nan=False) + "\n"
            with (self.folder / MANIFEST).open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())

    def _write_half(self) -> None:
        if blocks := self.half.half_blocks:
            options = {"half_blocks": blocks, "compact": self.half.compact, **self.graph_options}
            self._write_graph(HALF, synthesis_graph(self.checkpoint, **options))

    def _write_graph(self, name: str, graph: GraphBuilder) -> None:
        file = f"{name}.onnx"
        self._files[name] = graph.save(self.folder / file)
        self._graphs[name] = GraphSpec(file, graph.inputs, graph.outputs)

    def _write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        file = self.folder / f"{name}.npz"
        np.savez(file, **arrays)  # type: ignore[arg-type]
        self._files[name] = [file]

    def _manifest(self) -> dict[str, Any]:
        checkpoint, config = self.checkpoint, self.checkpoint.config
        files = [file for written in self._files.values() for file in written]
        return {
            "schema": SCHEMA,
            "family": checkpoint.family,
            "config": config.to_json(),
            "generator": _spec_of(checkpoint).to_json(),
            "w_avg": checkpoint.tensors["mapping.w_avg"].tolist(),
            "statistics": {
                "parameters": checkpoint.num_parameters,
                "multiply_adds": config.multiply_adds(),
                "noise_strength": checkpoint.noise_strength,
            },
            "provenance": {
                "source": vars(checkpoint.source),
                "notes": list(checkpoint.notes),
                "exported": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "tools": {name: _version(name) for name in ("stylert", "numpy", "onnx", "torch")},
            },
            "files": {
                file.name: {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
                for file in files
            },
            "graphs": {name: graph.to_json() for name, graph in self._graphs.items()},
            "half": self.half.to_json(),
        }


def _spec_of(checkpoint: Checkpoint) -> GeneratorSpec:
    config = checkpoint.config
    height, width = config.img_shape
    cutoff = config.truncation_cutoff
    return GeneratorSpec(
        z_dim=config.z_dim,
        c_dim=config.c_dim,
        w_dim=config.w_dim,
        num_ws=config.num_ws,
        img_channels=config.img_channels,
        img_height=height,
        img_width=width,
        truncation_psi=config.truncation_psi,
        truncation_cutoff=cutoff if cutoff is None else min(cutoff, config.num_ws),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextmanager
def naming(out: Path) -> Iterator[None]:
    """Errors of the system name the bundle: no file at all, or one that is gone, helps nobody."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(out)) from error

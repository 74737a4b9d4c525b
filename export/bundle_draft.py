"""A bundle before it is published: its graphs, arrays and manifest in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from stylert.export.adjoint.gradient import write_gradient
from stylert.export.adjoint.shared_weights import share_weights
from stylert.export.checkpoints import Checkpoint, Config, StyleGAN3Config
from stylert.export.families import build_synthesis_graph
from stylert.export.gpu_shape import check_gpu_shape
from stylert.export.graph_session import open_session
from stylert.export.graphs.emitter import list_noise_inputs
from stylert.export.graphs.mapping import build_mapping_graph
from stylert.export.onnx_graph import GraphBuilder
from stylert.export.precision import HalfPrecision
from stylert.export.sefa import find_sefa_directions
from stylert.export.style_space import list_style_layers, make_style_arrays
from stylert.export.weight_rounding import list_forms
from stylert.runtime.bundle import (
    GPU,
    GRADIENT,
    HALF,
    SCHEMA,
    GeneratorSpec,
    GraphSpec,
)
from stylert.runtime.control.style_space import StyleLayer
from stylert.runtime.files.directions import make_direction_arrays
from stylert.runtime.files.listed import make_entry
from stylert.runtime.files.manifest import publish_manifest
from stylert.runtime.packages import installed_version
from stylert.runtime.proof.parity import WEIGHT_FLOORS, RoundingError

__all__ = ["BundleDraft"]

TOOLS = ("stylert", "numpy", "onnx", "torch")  # whose versions the manifest tells


class BundleDraft:
    """The files of a bundle as they come to be.

    Args:
        checkpoint: the generator.
        folder: where the files are written.
        half: the blocks that compute in half precision.
        graph_options: options of the family's graph.
        weights: what they are stored as, such as 'int16'; the checkpoint is rounded already.
        weights_floor: PSNR in dB that the pictures of rounded weights have to reach.
        gradient: write the adjoint of the synthesis graph, too.
        style_space: the synthesis graphs take offsets of their styles.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        folder: Path,
        half: HalfPrecision,
        graph_options: Mapping[str, Any],
        weights: str = "fp32",
        *,
        gradient: bool = False,
        style_space: bool = False,
        weights_floor: float | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.folder = folder
        self.half = half
        self.graph_options = graph_options
        self.weights = weights
        self.gradient = gradient
        self.style_space = style_space
        self._style_layers: list[StyleLayer] = []
        self.weights_floor = weights_floor
        self._files: dict[str, list[Path]] = {}  # by graph, or what else they hold
        self._graphs: dict[str, GraphSpec] = {}

    def write(self, progress: Callable[[str, int, int], None]) -> None:
        """Write everything but the manifest."""
        writers: list[Callable[[], None]] = [
            lambda: self._write_graph("mapping", build_mapping_graph(self.checkpoint)),
            self._write_synthesis,
            self._write_half,
        ]
        if isinstance(self.checkpoint.config, StyleGAN3Config):
            writers.append(self._write_for_gpus)
        if self.gradient:
            writers.append(self._write_gradient)
        for done, write in enumerate(writers):
            progress("writing the graphs", done, len(writers))
            write()
        progress("writing the graphs", len(writers), len(writers))
        if self.checkpoint.config.use_noise:
            self._write_arrays("noise", list_noise_inputs(self.checkpoint))
        self._write_arrays(
            "directions", make_direction_arrays(find_sefa_directions(self.checkpoint))
        )

    def prove_gpu_shape(self, error: RoundingError | None) -> None:
        """Compare the graph in the shape for GPUs, if there is one, with the one that was proven.

        Args:
            error: of float32, where the proof measured it.

        Raises:
            ParityError: they draw different pictures.
        """
        if GPU in self._graphs:
            proven, for_gpus = (self.folder / f"{name}.onnx" for name in ("synthesis", GPU))
            styles = sum(layer.count for layer in self._style_layers)
            check_gpu_shape(proven, for_gpus, self.checkpoint, error, styles=styles)

    def replace_half(self, half: HalfPrecision) -> None:
        """Write the half-precision graph again, with other blocks; none where there is no block."""
        self.half = half
        for file in self._files.pop(HALF, []):
            file.unlink()
        self._graphs.pop(HALF, None)
        self._write_half()

    def write_manifest(self, parity: Mapping[str, Any] | None) -> None:
        """Write the manifest, with the report of the proof; None = without one."""
        publish_manifest(self.folder, self._make_manifest() | {"parity": parity})

    def _write_synthesis(self) -> None:
        graph = self._build()
        self._write_graph("synthesis", graph)
        if self.style_space:
            self._style_layers = list_style_layers(graph)
            session = open_session(self.folder / "mapping.onnx")
            self._write_arrays("style_space", make_style_arrays(graph, self.checkpoint, session))

    def _write_half(self) -> None:
        if blocks := self.half.half_blocks:
            options = {"half_blocks": blocks, "compact": self.half.compact}
            self._write_graph(HALF, self._build(**options))

    def _build(self, **options: Any) -> GraphBuilder:
        options = {**self.graph_options, "style_space": self.style_space, **options}
        return build_synthesis_graph(self.checkpoint, **options)

    def _write_graph(self, name: str, graph: GraphBuilder) -> None:
        file = f"{name}.onnx"
        forms = list_forms(self.weights) if name in ("synthesis", GPU) else ()
        self._files[name] = graph.save(self.folder / file, pack=forms)
        self._graphs[name] = GraphSpec(file, graph.inputs, graph.outputs)

    def _write_for_gpus(self) -> None:
        self._write_graph(GPU, self._build(filters="frames"))
        share_weights(self.folder / f"{GPU}.onnx", self.folder / "synthesis.onnx")

    def _write_gradient(self) -> None:
        file = self.folder / f"{GRADIENT}.onnx"
        self._files[GRADIENT] = [file]
        self._graphs[GRADIENT] = write_gradient(self.folder / "synthesis.onnx", file)

    def _write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        file = self.folder / f"{name}.npz"
        np.savez(file, **arrays)  # type: ignore[arg-type]
        self._files[name] = [file]

    def _make_manifest(self) -> dict[str, Any]:
        facts = self.checkpoint.describe()
        files = [file for written in self._files.values() for file in written]
        usual = WEIGHT_FLOORS.get(self.weights)
        return {
            "schema": SCHEMA,
            **facts,
            "generator": vars(_make_spec(self.checkpoint.config)),
            "w_avg": self.checkpoint.tensors["mapping.w_avg"].tolist(),
            "provenance": {
                **facts["provenance"],
                "exported": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "tools": {name: installed_version(name) for name in TOOLS},
            },
            "files": {file.name: make_entry(file) for file in files},
            "graphs": {name: asdict(graph) for name, graph in self._graphs.items()},
            "weights": self.weights,
            **({"weights_floor": self.weights_floor} if self.weights_floor != usual else {}),
            "half": self.half.to_json(),
            **(
                {"style_space": {"layers": [layer.to_json() for layer in self._style_layers]}}
                if self.style_space
                else {}
            ),
        }


def _make_spec(config: Config) -> GeneratorSpec:
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

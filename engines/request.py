"""What is asked of a compiler: which graphs of a bundle, in which precision, for which batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylert.runtime.bundle import HALF, Bundle, graph_key
from stylert.runtime.errors import InvalidInput

__all__ = ["GRAPHS", "LARGEST_BATCH", "OUTPUTS", "PRECISIONS", "BuildRequest", "parse_batches"]

GRAPHS = ("mapping", "synthesis")
OUTPUTS = {"image": ("image",), "img": ("img",), "both": ("image", "img")}
PRECISIONS = ("fp16", "fp32")
LARGEST_BATCH = 1024


@dataclass(frozen=True)
class BuildRequest:
    """What to build, checked as far as that needs no compiler.

    Raises:
        InvalidInput: a value that is not one of those expected, or a bundle without the graph.
    """

    bundle: Bundle
    precision: str = "fp16"  # of the synthesis; the mapping is float32
    graphs: tuple[str, ...] = GRAPHS
    output: str = "image"  # a key of OUTPUTS
    batches: tuple[tuple[int, int, int], ...] = ((1, 1, 1),)  # see `parse_batches`
    sms: tuple[str, ...] = ()  # '89' is compute capability 8.9; empty = the GPU of this machine
    optimization_level: int | None = None  # 0 (fast build) to 5 (fast engine), None = compiler's
    workspace: int | None = None  # bytes that a kernel may use as scratch, None = compiler's
    version_compatible: bool = False
    hardware_compatible: bool = False
    refittable: bool = False

    def __post_init__(self) -> None:
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("output", self.output, OUTPUTS)
        for graph in self.graphs or ("",):
            _one_of("graphs", graph, GRAPHS)
        level, workspace = self.optimization_level, self.workspace
        if level is not None and level not in range(6):
            raise InvalidInput(f"optimization_level: got {level}, expected 0 to 5.")
        if workspace is not None and workspace < 1:
            raise InvalidInput(f"workspace: got {workspace} bytes, expected at least 1.")
        if "synthesis" in self.graphs and self.precision == "fp16":
            self._need_half()

    def precision_of(self, graph: str) -> str:
        """Precision of a graph's file."""
        return "fp32" if graph == "mapping" else self.precision

    def outputs_of(self, graph: str) -> tuple[str, ...]:
        """The outputs that a graph's plan keeps."""
        return ("ws",) if graph == "mapping" else OUTPUTS[self.output]

    def onnx(self, graph: str) -> Path:
        """The file that a graph's plan is built from."""
        return self.bundle.file(graph_key(graph, self.precision_of(graph)))

    def onnx_sha256(self, graph: str) -> str:
        """SHA-256 of that graph, weights beside it included, from the manifest."""
        return self.bundle.graph_sha256(graph_key(graph, self.precision_of(graph)))

    @property
    def half_blocks(self) -> tuple[str, ...]:
        """The blocks that the export put into half precision; empty if it does not say."""
        half = self.bundle.manifest.get("half")
        blocks = half.get("half_blocks") if isinstance(half, Mapping) else None
        return tuple(block for block in blocks or () if isinstance(block, str))

    @property
    def profile(self) -> str:
        """The batches as part of a file's name: 'b1_4_8' or 'b1to4to8'."""
        if any(low != high for low, _, high in self.batches):
            return "b" + "_".join("to".join(map(str, batch)) for batch in self.batches)
        return "b" + "_".join(str(best) for _, best, _ in self.batches)

    @property
    def options(self) -> dict[str, Any]:
        """What a plan depends on besides its graph, target and batches."""
        return {
            "optimization_level": self.optimization_level,
            "workspace": self.workspace,
            "version_compatible": self.version_compatible,
            "hardware_compatible": self.hardware_compatible,
            "refittable": self.refittable,
        }

    def _need_half(self) -> None:
        if HALF not in self.bundle.graphs:
            raise InvalidInput(
                f"Bundle {self.bundle.path} has no {HALF}.onnx. Make one: stylert export "
                "CHECKPOINT --out BUNDLE --half native. Or build with precision='fp32'."
            )


def parse_batches(text: str) -> tuple[tuple[int, int, int], ...]:
    """Read batch sizes: (least, best, largest) of each optimization profile.

    Args:
        text: '1,4,8' makes a profile for each of these sizes, and the runtime fills a batch up to
            the next; '1:4:8' makes one for all sizes from 1 to 8 that is best at 4.

    Raises:
        InvalidInput: neither of the two, or not rising from 1 to 1024.
    """
    parts = text.split(":" if ":" in text else ",")
    sizes = [int(part) if part.strip().isdecimal() else 0 for part in parts]
    in_range = all(1 <= size <= LARGEST_BATCH for size in sizes)
    if ":" in text:
        if len(sizes) == 3 and in_range and sizes == sorted(sizes):
            return ((sizes[0], sizes[1], sizes[2]),)
    elif in_range and sizes == sorted(set(sizes)):
        return tuple((size, size, size) for size in sizes)
    raise InvalidInput(
        f"batch: got {text!r:.40}, expected rising sizes from 1 to {LARGEST_BATCH}: '1,4,8' "
        "(a profile for each) or '1:4:8' (least:best:largest)."
    )


def _one_of(what: str, got: str, expected: Any) -> None:
    if got not in expected:
        raise InvalidInput(f"{what}: got {got!r:.40}, expected one of {', '.join(expected)}.")

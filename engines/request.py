"""What is asked of a compiler: which graphs of a bundle, in which precision, for which batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylert.runtime.arguments import check_choice, check_integer
from stylert.runtime.backends.graph_forms import find_engine_graph, hash_engine_graph
from stylert.runtime.bundle import ENCODER, HALF, HALF_ENCODER, INT8, Bundle
from stylert.runtime.control.encoder_facts import read_encoder_facts
from stylert.runtime.errors import InvalidInput

__all__ = [
    "GRAPHS",
    "LARGEST_BATCH",
    "OUTPUTS",
    "PRECISIONS",
    "BuildRequest",
    "list_graphs",
    "need_half_graph",
    "parse_batches",
]

GRAPHS = ("mapping", "synthesis", ENCODER)
OUTPUTS = {"image": ("image",), "img": ("img",), "both": ("image", "img")}
PRECISIONS = ("fp16", "fp32", "int8")
LARGEST_BATCH = 1024


@dataclass(frozen=True)
class BuildRequest:
    """What to build, checked as far as that needs no compiler.

    Raises:
        InvalidInput: a value that is not one of those expected, or a bundle without the graph.
    """

    bundle: Bundle
    # Of the synthesis: that of the graph's file. The mapping is float32, and so is an encoder that
    # has no graph in half precision.
    precision: str = "fp16"
    graphs: tuple[str, ...] = GRAPHS[:2]
    output: str = "image"  # of the synthesis: 'image' (uint8), 'img' (float32) or 'both'
    batches: tuple[tuple[int, int, int], ...] = ((1, 1, 1),)  # see `parse_batches`
    sms: tuple[str, ...] = ()  # '89' is compute capability 8.9; empty = the GPU of this machine
    optimization_level: int | None = None  # 0 (fast build) to 5 (fast engine), None = compiler's
    workspace: int | None = None  # bytes that a kernel may use as scratch, None = compiler's
    version_compatible: bool = False  # later versions of TensorRT run the engine, too
    hardware_compatible: bool = False  # all GPUs from Ampere on run it, at a price in speed
    refittable: bool = False  # its weights can be replaced by those of another checkpoint

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("output", self.output, tuple(OUTPUTS))
        for graph in self.graphs or ("",):
            check_choice("graphs", graph, GRAPHS)
        if self.optimization_level is not None:
            check_integer("optimization_level", self.optimization_level, 0, 5)
        if self.workspace is not None:
            check_integer("workspace", self.workspace, 1)
        if ENCODER in self.graphs:
            read_encoder_facts(self.bundle)  # refuses a bundle without
        if "synthesis" in self.graphs and self.precision == "fp16":
            need_half_graph(self.bundle)
        if "synthesis" in self.graphs and self.precision == "int8":
            if INT8 not in self.bundle.graphs:
                raise InvalidInput(
                    f"Bundle {self.bundle.path} has no {INT8}.onnx. Make one: stylert quantize "
                    "BUNDLE. Or pass precision='fp16'."
                )
            if self.refittable:
                raise InvalidInput(
                    "refittable: got True with precision='int8', whose ranges are of one "
                    "checkpoint, expected False."
                )

    def find_precision(self, graph: str) -> str:
        """Precision of a graph's file."""
        if graph == ENCODER:
            half = find_engine_graph(self.bundle, ENCODER, self.precision) == HALF_ENCODER
            return "fp16" if half else "fp32"
        return "fp32" if graph == "mapping" else self.precision

    def list_outputs(self, graph: str) -> tuple[str, ...]:
        """The outputs that a graph's engine keeps."""
        return OUTPUTS[self.output] if graph == "synthesis" else ("ws",)

    @property
    def lacks_img(self) -> bool:
        """Whether an encoder is built that sees img, which the synthesis was not to give."""
        if self.output != "image" or not {ENCODER, "synthesis"} <= set(self.graphs):
            return False
        return read_encoder_facts(self.bundle).start is not None

    def find_onnx(self, graph: str) -> Path:
        """The file that a graph's engine is built from."""
        return self.bundle.file(find_engine_graph(self.bundle, graph, self.find_precision(graph)))

    def find_onnx_sha256(self, graph: str) -> str:
        """SHA-256 of that graph, weights beside it included, from the manifest."""
        return hash_engine_graph(self.bundle, graph, self.find_precision(graph))

    def list_half_blocks(self, graph: str) -> tuple[str, ...]:
        """The blocks that the export put into half precision; empty if it does not say."""
        manifest = self.bundle.manifest
        if graph == ENCODER:
            manifest = manifest[ENCODER]
        half = manifest.get("half")
        listed = half.get("half_blocks") if isinstance(half, Mapping) else None
        blocks = tuple(block for block in listed or () if isinstance(block, str))
        if graph == ENCODER and "head" in blocks:  # whose nodes have names of their own
            codes = (f"styles{i}" for i in range(self.bundle.spec.num_ws))
            return (*blocks, "pyramid1", "pyramid2", *codes)
        return blocks

    @property
    def profile(self) -> str:
        """The batches as part of a file's name: 'b1_4_8' or 'b1to4to8'."""
        if any(low != high for low, _, high in self.batches):
            return "b" + "_".join("to".join(map(str, batch)) for batch in self.batches)
        return "b" + "_".join(str(best) for _, best, _ in self.batches)

    @property
    def options(self) -> dict[str, Any]:
        """What an engine depends on besides its graph, target and batches."""
        return {
            "optimization_level": self.optimization_level,
            "workspace": self.workspace,
            "version_compatible": self.version_compatible,
            "hardware_compatible": self.hardware_compatible,
            "refittable": self.refittable,
        }


def list_graphs(bundle: Bundle) -> tuple[str, ...]:
    """The graphs of a bundle that engines are built of: all of `GRAPHS` that it has."""
    return tuple(graph for graph in GRAPHS if graph in bundle.graphs)


def need_half_graph(bundle: Bundle) -> None:
    """Refuse a bundle without the synthesis graph in half precision.

    Raises:
        InvalidInput: it has none.
    """
    if HALF not in bundle.graphs:
        raise InvalidInput(
            f"Bundle {bundle.path} has no {HALF}.onnx. Make one: stylert export CHECKPOINT "
            "--out BUNDLE --half native. Or pass precision='fp32'."
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

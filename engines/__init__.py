"""Engines: TensorRT compiles the graphs of a bundle, and their plans are kept in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from stylert.engines.building import Progress
from stylert.engines.choice import COMPILERS, CompilerStatus, choose_compiler, list_compilers
from stylert.engines.compiler import build_engines
from stylert.engines.request import (
    GRAPHS,
    OUTPUTS,
    PRECISIONS,
    BuildRequest,
    list_graphs,
    parse_batches,
)
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.bundle import ENCODER, Bundle

__all__ = [
    "COMPILERS",
    "GRAPHS",
    "OUTPUTS",
    "PRECISIONS",
    "CompilerStatus",
    "build_engine",
    "list_compilers",
]


def build_engine(
    bundle: str | Path,
    *,
    compiler: str = "auto",
    precision: str = "fp16",
    batch: str = "1,4,8",
    output: str = "image",
    graphs: Sequence[str] | None = None,
    sm: str = "",
    gpu: int | None = None,
    optimization_level: int | None = None,
    workspace: int | None = None,
    version_compatible: bool = False,
    hardware_compatible: bool = False,
    refittable: bool = False,
    force: bool = False,
    progress: Progress = lambda stage, done, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Plan]:
    """Build engines of a bundle, and put their plans into its `engines/` folder: all, or nothing.

    A KeyboardInterrupt cancels the compiler and leaves the folder as it was.

    Args:
        bundle: the bundle's directory.
        compiler: 'tensorrt', 'tensorrt-rtx', or 'auto' (`say` tells which, and why).
        precision: of the synthesis: 'fp16', 'fp32' or 'int8'. It is a property of the graph's file.
        batch: '1,4,8' for a profile for each of these sizes, '1:4:8' for one from 1 to 8 that is
            best at 4.
        output: what the synthesis gives: 'image' (uint8), 'img' (float32), or 'both'. With an
            encoder that sees what was drawn (ReStyle), 'image' becomes 'both'.
        graphs: some of 'mapping', 'synthesis' and 'encoder', None = all that the bundle has. The
            encoder is in half precision where the bundle has such a graph of it.
        sm: for TensorRT-RTX: what to build for, e.g. '86,89,120'; '' = this machine's GPUs.
        gpu: index of the GPU that TensorRT builds on, None = the first. TensorRT-RTX builds for it.
        optimization_level: 0 (fast build) to 5 (fast engine), None = the compiler's own default.
        workspace: bytes that a kernel may use as scratch, None = all.
        version_compatible: later versions of TensorRT run the engine, too.
        hardware_compatible: all GPUs from Ampere on run the engine, at a price in speed.
        refittable: the weights can be replaced by those of another checkpoint.
        force: build again what is up to date.
        progress: called with what is going on, the percentage done, and 100.
        say: called with a line on each decision.

    Returns:
        The plans, those that were up to date included, in the order of `graphs`.

    Raises:
        InvalidInput: an argument is wrong, or the bundle has no graph of this precision.
        MissingExtra: the compiler is not installed.
        EngineError: there is no GPU for it, or it refuses a graph.
        OSError: the disk is full, or the bundle cannot be written.
    """
    sms = tuple(part.strip() for part in sm.split(",")) if sm else ()
    batches = parse_batches(batch)
    opened = Bundle.open(bundle)
    request = BuildRequest(
        bundle=opened,
        precision=precision,
        graphs=list_graphs(opened) if graphs is None else tuple(graphs),
        output=output,
        batches=batches,
        sms=sms,
        optimization_level=optimization_level,
        workspace=workspace,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
        refittable=refittable,
    )
    chosen, why = choose_compiler(compiler, sms=sms, gpu=gpu)
    say(f"Compiler {why}.")
    if request.lacks_img:
        say("The synthesis gives img, too: the bundle's encoder sees what was drawn.")
        request = replace(request, output="both")
    single = ENCODER in request.graphs and request.find_precision(ENCODER) == "fp32"
    if single and precision != "fp32":
        say("The encoder computes in float32: the bundle has no encoder.fp16.onnx.")
    return build_engines(chosen, request, force=force, progress=progress, say=say)

"""`stylert build-engine` and `triton`: TensorRT engines, and repositories for a Triton server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from stylert.commands import console, options
from stylert.commands.idle import refuse_idle
from stylert.commands.options import AsJson, BundleFolder, Force, in_output, in_panel, in_where

__all__ = ["build_engine", "triton"]

in_engine = in_panel("Engine")
in_models = in_panel("Models")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What `stylert.engines.build_engine` takes."""

    compiler: Annotated[
        str, in_where("Compiler: tensorrt, tensorrt-rtx, or auto: what this machine can use.")
    ] = "auto"
    sm: Annotated[str, in_where("GPUs for TensorRT-RTX, as 86,89,120; by default those here.")] = ""
    gpu: Annotated[
        int | None, in_where("GPU to build on, counted from 0; by default the first.", min=0)
    ] = None
    precision: Annotated[str, in_engine("Precision of the synthesis: fp16, fp32 or int8.")] = "fp16"
    batch: Annotated[
        str, in_engine("Batch sizes: 1,4,8 for an engine for each, or 1:4:8 for one for a range.")
    ] = "1,4,8"
    output: Annotated[str, in_engine("Output: image (uint8), img (float32), or both.")] = "image"
    optimization_level: Annotated[
        int | None,
        in_engine("Effort: 0 = a fast build, 5 = a fast engine.", "--opt-level", min=0, max=5),
    ] = None
    version_compatible: Annotated[
        bool, in_engine("Let later TensorRT versions run it, too.", "--version-compatible")
    ] = False
    hardware_compatible: Annotated[
        bool, in_engine("Let all GPUs from Ampere on run it.", "--hardware-compatible")
    ] = False
    refittable: Annotated[
        bool, in_engine("Let the weights of another checkpoint be loaded.", "--refittable")
    ] = False


def build_engine(
    bundle: BundleFolder,
    *,
    engine: Engine,
    workspace: Annotated[
        int | None, in_engine("Scratch memory of a kernel, in MiB; no limit by default.", min=1)
    ] = None,
    force: Annotated[bool, in_output("Build what is up to date, too.", "--force")] = False,
    as_json: AsJson = False,
) -> None:
    """Compile a bundle's graphs with TensorRT or TensorRT-RTX, and prove their precision.

    Example: stylert build-engine ffhq-bundle --compiler tensorrt-rtx --sm 89 --batch 1,4,8
    """
    from stylert import engines

    with console.show_progress() as progress:
        plans = engines.build_engine(
            bundle,
            **vars(engine),
            workspace=None if workspace is None else workspace * 2**20,
            force=force,
            progress=progress,
            say=console.note,
        )
    if as_json:
        return console.print_json([plan.to_json() for plan in plans])
    return console.print_table([plan.row() for plan in plans])


@dataclass(frozen=True, kw_only=True)
class Server:
    """What `stylert.engines.triton.write_repository` takes."""

    backend: Annotated[
        str, in_where("Backend: tensorrt, onnxruntime, python (StyleRT on the CPU), or auto.")
    ] = "auto"
    device: Annotated[str, in_where("Device: gpu, cpu, or auto: the GPU, but for python.")] = "auto"
    precision: options.Precision = "auto"
    tensorrt: Annotated[
        str, in_where("TensorRT of the server, such as 10.13; by default the newest with engines.")
    ] = ""
    max_batch: Annotated[
        int | None,
        in_where("Images of one launch; by default what the engines hold, or 8.", "--batch", min=1),
    ] = None
    threads: options.Threads = None
    trust_engines: options.TrustEngines = False
    instances: Annotated[int, in_models("Copies of both graphs on each GPU.", min=1)] = 1
    fronts: Annotated[int, in_models("Processes that make latents and noise.", min=1)] = 2
    queue_delay: Annotated[
        float, in_models("Longest time a request waits for others, in milliseconds.", min=0)
    ] = 2.0
    max_inflight: Annotated[
        int, in_models("Requests between two models, 0 = any; servers from 25.11 on.", min=0)
    ] = 0
    version: Annotated[int, in_models("Version of the models.", min=1)] = 1
    prefix: Annotated[str, in_models("Prefix of the models' names.")] = ""


def triton(
    bundle: BundleFolder,
    *,
    out: Annotated[Path, in_output("Model repository to write.", metavar="REPOSITORY")],
    check: Annotated[
        bool, in_output("Write nothing: check that a repository is as it should be.", "--check")
    ] = False,
    server: Server,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a model repository for Triton Inference Server, or check one.

    Example: stylert triton ffhq-bundle --out models
    """
    from stylert.engines.triton import check_repository, write_repository

    if server.backend in ("onnxruntime", "python"):
        refuse_idle(f"with --backend {server.backend}", tensorrt=server.tensorrt or None)
    if check:
        made = check_repository(bundle, out)
    else:
        made = write_repository(bundle, out, **vars(server), force=force, say=console.note)
    lines = [f"{out} is what {bundle} gives, and fits this machine."]
    if not check:
        serve = f"tritonserver --model-repository {out} --disable-auto-complete-config"
        lines = [f"Wrote {out}: the models {', '.join(made.models)}.", f"Serve with: {serve}"]
    return console.tell_result(made.to_json(), *lines, as_json=as_json)

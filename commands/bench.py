"""`stylert bench`: backends timed side by side, and what follows for many images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylert.commands import console
from stylert.commands.export import ReadAs, need_export
from stylert.commands.options import (
    AsJson,
    Force,
    Threads,
    TrustEngines,
    argue_bundle,
    in_output,
    in_panel,
)
from stylert.commands.target_files import check_new
from stylert.commands.text.numbers import parse_counts
from stylert.commands.text.seeds import parse_class
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, InvalidInput, ParityError
from stylert.runtime.files.publishing import publish_bytes
from stylert.runtime.packages import need
from stylert.runtime.proof.bundle_facts import tell_half

if TYPE_CHECKING:
    from stylert.apps.bench import BenchResult
    from stylert.apps.bench.sizing import Sizing

__all__ = ["bench"]

in_timing = in_panel("What is timed")
in_plan = in_panel("Plan")


def bench(
    bundle: Annotated[Path | None, argue_bundle("Folder of a bundle; or --untrained.")] = None,
    *,
    untrained: Annotated[
        str | None, in_timing("Network of random weights: stylegan2-256, -512 or -1024.")
    ] = None,
    encoder: Annotated[
        bool,
        in_timing("Time the bundle's encoder, one pass; --checkpoint is its file.", "--encoder"),
    ] = False,
    checkpoint: Annotated[str | None, in_timing("Checkpoint of the bundle, for PyTorch.")] = None,
    read_as: ReadAs,
    backends: Annotated[
        str | None,
        in_timing(
            "Backends: onnxruntime, torch-eager and torch-compile, each also with -cuda or -fp16 "
            "for a GPU in float32 or half, openvino, int8 (OpenVINO in 8 bits), tensorrt and "
            "tensorrt-int8; by default those of the CPU.",
        ),
    ] = None,
    class_idx: Annotated[
        Any,
        in_timing("Class of all images, or its name; else by seed.", "--class", read=parse_class),
    ] = None,
    batches: Annotated[Any, in_timing("Batch sizes.", "--batch", read=parse_counts)] = "1,4,8",
    rounds: Annotated[int, in_timing("Turns of each candidate.", min=1)] = 10,
    max_seconds: Annotated[
        float, in_timing("Longest time for the turns of a batch size, in seconds.", min=1)
    ] = 120.0,
    threads: Threads = None,
    trust_engines: TrustEngines = False,
    plan: Annotated[
        int | None, in_plan("Images to tell machines, hours and cost for, as timed.", min=1)
    ] = None,
    price: Annotated[
        float | None, in_plan("Price of a machine for an hour, for --plan.", min=0)
    ] = None,
    hours: Annotated[
        float | None, in_plan("Hours in which they are to be done, for --plan.", min=0.01)
    ] = None,
    out: Annotated[Path | None, in_output("File for all samples, as JSON.")] = None,
    plot: Annotated[Path | None, in_output("Chart to draw: .png, .svg or .pdf.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Time backends side by side, and check the pictures of the very sessions timed.

    Example: stylert bench ffhq-bundle --checkpoint ffhq.pkl --batch 1,4 --plot bench.png

    Example: stylert bench ffhq-bundle --plan 1000000 --price 1.20 --hours 8

    Example: stylert bench ffhq-bundle --encoder --batch 1,8
    """
    if plan is None and (price is not None or hours is not None):
        raise typer.BadParameter("--price and --hours go with --plan IMAGES")
    if (bundle is None) == (untrained is None):
        raise typer.BadParameter("pass a BUNDLE or --untrained NAME, one of them")
    if encoder:
        wrong_with = {"--untrained": untrained, "--class": class_idx, "--plan": plan}
        for option, value in wrong_with.items():
            if value is not None:
                raise typer.BadParameter(f"{option} does not go with --encoder")
        read_as.refuse_any("it is of a generator, and --encoder of an encoder")
    if plot is not None:
        need("matplotlib", extra="plot")
        if plot.suffix not in (".png", ".svg", ".pdf"):
            raise InvalidInput(f"plot: got {plot.name!r}, expected .png, .svg or .pdf")
    for file in filter(None, (out, plot)):
        check_new(file, force=force)
    if untrained is not None:
        checkpoint = f"untrained:{untrained}"
    if checkpoint is None:
        read_as.refuse_any("it goes with --checkpoint")
    else:
        need_export()
    if encoder:
        assert bundle is not None
        return _bench_encoder(
            bundle,
            checkpoint,
            backends,
            Output(out, plot, as_json),
            batches=batches,
            threads=threads,
            rounds=rounds,
            max_seconds=max_seconds,
            trust_engines=trust_engines,
        )
    from stylert.apps.bench.bundle_bench import MAY_FAIL, bench_bundle, bundle_of, parse_backends
    from stylert.apps.bench.sizing import size_job

    names = parse_backends(backends, with_checkpoint=checkpoint is not None)
    with ExitStack() as stack:
        if checkpoint is not None:
            model = read_as.read(checkpoint)
            bundle = stack.enter_context(bundle_of(model, bundle, say=console.warn))
        assert bundle is not None
        progress = stack.enter_context(console.show_progress())
        result = bench_bundle(
            bundle,
            names,
            checkpoint=checkpoint,
            network=read_as.network,
            assume=read_as.assume,
            class_idx=class_idx,
            batches=batches,
            threads=threads,
            rounds=rounds,
            max_seconds=max_seconds,
            trust_engines=trust_engines,
            progress=lambda message, share: progress(message, round(share * 100), 100),
        )
        sizing = None
        if plan is not None:
            sizing = size_job(bundle, result, plan, price=price, hours=hours, class_idx=class_idx)
        half_note = tell_half(Bundle.open(bundle, check_files=False).manifest.get("half", {}))
    _tell(result, sizing, Output(out, plot, as_json), notes=[half_note] if half_note else [])
    _check(result, may_fail=() if backends is not None else MAY_FAIL)
    return None


@dataclass(frozen=True)
class Output:
    """Where the result goes."""

    file: Path | None
    plot: Path | None
    as_json: bool


def _bench_encoder(
    bundle: Path, file: str | None, backends: str | None, output: Output, **timing: Any
) -> None:
    from stylert.apps.bench.encoder_bench import bench_encoder, parse_encoder_backends

    names = parse_encoder_backends(backends, with_file=file is not None)
    with console.show_progress() as progress:
        result = bench_encoder(
            bundle,
            names,
            file=file,
            progress=lambda message, share: progress(message, round(share * 100), 100),
            **timing,
        )
    _tell(result, None, output, notes=[])
    _check(result, may_fail=())


def _tell(result: BenchResult, sizing: Sizing | None, output: Output, *, notes: list[str]) -> None:
    """Print and write what was found; first what cannot fail."""
    if output.as_json and sizing is not None:
        console.print_json({**json.loads(result.to_json()), "plan": sizing.to_json()})
    elif output.as_json:
        typer.echo(result.to_json())
    else:
        _print(result, sizing, notes=notes)
    if output.file is not None:
        publish_bytes(output.file, result.to_json().encode(), overwrite=True)
    if output.plot is not None:
        from stylert.apps.bench.plot import plot as draw

        draw(result, output.plot)


def _check(result: BenchResult, *, may_fail: Sequence[str]) -> None:
    """Fail where pictures differ, or a candidate was not timed to the end."""
    if wrong := result.parity_failures():
        raise ParityError(f"Parity of what was timed: {wrong[0]}")
    failures = result.failures()
    if needed := [name for name in failures if name not in may_fail]:
        raise EngineError(f"{needed[0]} was not timed to the end: {failures[needed[0]]}")


def _print(result: BenchResult, sizing: Sizing | None, *, notes: list[str]) -> None:
    from stylert.apps.bench.report import make_table

    title = f"{result.subject}, {result.settings['threads']} threads"
    console.print_table(make_table(result), title=title, numbers=True)
    for line in (*notes, *result.warnings()):
        console.warn(line)
    if sizing is not None:
        console.print_table(sizing.texts(), title=f"{sizing.images:,} images", numbers=True)
        for line in sizing.told():
            console.say(line)

"""The command line: it parses, calls, and prints. Nothing else."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from stylert.runtime.errors import (
    BundleError,
    EngineError,
    InvalidInput,
    ParityError,
    StylertError,
)

if TYPE_CHECKING:
    from stylert.export.checkpoints import Checkpoint
    from stylert.export.parity import ParityReport
    from stylert.runtime.bench import BenchResult
    from stylert.runtime.generator import Generator

__all__ = ["app", "main"]

app = typer.Typer(
    name="stylert",
    help="Deploy StyleGAN generators: verified ONNX bundles, and a runtime without torch.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
# Tables that go to a file or a pipe are not squeezed into 80 columns.
# Without markup: what is printed holds names of files, in which [brackets] are no colours.
out = Console(markup=False, width=None if sys.stdout.isatty() else 140)
err = Console(markup=False, stderr=True, width=None if sys.stderr.isatty() else 140)

CheckpointArgument = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A StyleGAN .pkl, .pt or .safetensors file, or untrained:stylegan2-256.",
    ),
]
BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's directory.")]
NetworkOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Network of the file: G instead of G_ema.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is already there.")]
BackendOption = Annotated[str, typer.Option(help="onnxruntime, tensorrt, or auto.")]
ProviderOption = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
PrecisionOption = Annotated[str, typer.Option(help="fp32, fp16, or auto: half on a GPU.")]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="CPU threads, by default all that are usable.")
]


def _version(value: bool) -> None:
    if value:
        import stylert

        typer.echo(f"stylert {stylert.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Deploy StyleGAN generators: verified ONNX bundles, and a runtime without torch."""


@app.command()
def export(
    checkpoint: CheckpointArgument,
    out_: Annotated[Path, typer.Option("--out", metavar="BUNDLE", help="Directory to write.")],
    network: NetworkOption = None,
    force: ForceOption = False,
    seeds: Annotated[
        int, typer.Option("--verify-seeds", min=1, help="Images compared at each setting.")
    ] = 32,
    half: Annotated[
        str,
        typer.Option(
            metavar="POLICY",
            help="Blocks of the half-precision graph: native, all, none, or a list: b64,b128.",
        ),
    ] = "native",
    verify: Annotated[
        bool, typer.Option(help="Compare with PyTorch before the bundle is published.")
    ] = True,
    json_: JsonOption = False,
) -> None:
    """Turn a checkpoint into a bundle, and prove that it draws the same pictures.

    Example: stylert export ffhq.pkl --out ffhq-bundle
    """
    _need_export()
    from stylert.export.bundle_writer import check_target, export_bundle

    check_target(out_, force=force)
    model = _read(checkpoint, network)
    with _progress() as progress:
        report = export_bundle(
            model,
            out_,
            force=force,
            verify_seeds=seeds if verify else 0,
            half=half,
            progress=progress,
        )
    if report is None:
        err.print("warning: not compared with PyTorch (--no-verify)", style="yellow")
    if json_:
        _print_json({"bundle": str(out_), "parity": report and report.to_json()})
        return
    if report is not None:
        out.print(_parity_table(report))
    size = sum(file.stat().st_size for file in out_.rglob("*") if file.is_file())
    _say(f"Wrote {out_} ({_bytes(size)}).")
    _say(f"Draw with: stylert generate {out_} --seeds 0-15 --out images")


@app.command()
def convert(
    checkpoint: CheckpointArgument,
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="File to write: .safetensors, or .npy of latents.")
    ],
    network: NetworkOption = None,
    force: ForceOption = False,
) -> None:
    """Rewrite a checkpoint as one .safetensors file that holds weights only, no code.

    The latents of a projector or an encoder in a .pt file become a .npy file.

    Example: stylert convert ffhq.pkl ffhq.safetensors
    """
    if target.suffix not in (".safetensors", ".npy"):
        raise _usage(f"{target}: the file's name must end in .safetensors, or .npy for latents")
    if target.exists() and not force:
        raise InvalidInput(f"{target} exists. Pass --force to replace it, or choose another name.")
    if target.suffix == ".npy":
        from stylert.export.latent_file import read_latents, write_latents

        if network is not None:
            raise _usage("--network: latents have no networks")
        write_latents(read_latents(checkpoint), target)
    else:
        _need("safetensors", extra="export")
        from stylert.export.checkpoints import write_native

        write_native(_read(checkpoint, network), target, overwrite=force)
    _say(f"Wrote {target} ({_bytes(target.stat().st_size)}).")


@app.command()
def verify(
    bundle: BundleArgument,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="FILE", help="Compare with this checkpoint in PyTorch.")
    ] = None,
    network: NetworkOption = None,
    seeds: Annotated[int, typer.Option(min=1, help="Images compared at each setting.")] = 32,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
    json_: JsonOption = False,
) -> None:
    """Check a bundle's files; with its checkpoint, compare the pictures with PyTorch again.

    Example: stylert verify ffhq-bundle --checkpoint ffhq.pkl
    """
    if checkpoint is not None:
        _need_export()
        model = _read(checkpoint, network)
        return _verify_against(bundle, model, seeds, json_, provider=provider, threads=threads)
    generator = _open(bundle, provider=provider, threads=threads)
    from stylert.runtime.parity import TOLERANCES, batch_difference

    recorded = generator.bundle.manifest.get("parity")
    when = "It was not compared with PyTorch at export."
    if recorded:
        with _reading(bundle):
            images = [
                row
                for row in recorded["rows"]
                if row["output"] == "img" and row["precision"] == "fp32"
            ]
            worst = max(float(row["difference"]["max_abs"]) for row in images)
        when = f"Compared with PyTorch at export: max |d| {worst:.1g}."
    differences = {}
    for precision in generator.bundle.precisions:
        options = {"precision": precision, "provider": provider, "threads": threads}
        with _open(bundle, check_files=False, **options) as one:
            differences[precision] = batch_difference(one)
    if json_:
        found = {precision: d.to_json() for precision, d in differences.items()}
        _print_json({"batch_difference": found, "parity_at_export": recorded})
    else:
        _say(f"{bundle}: the files are as they were exported. {generator.choice}.")
        for precision, d in differences.items():
            _say(
                f"Images drawn together and alone differ by {d.max_abs:.1g} at most ({precision})."
            )
        _say(f"{when} Compare again: add --checkpoint FILE")
    for precision, d in differences.items():
        if not d.within(TOLERANCES[precision]):
            raise ParityError(f"{bundle}: {precision} images depend on the batch: {d.max_abs:.3g}.")
    return None


def _verify_against(
    path: Path, checkpoint: Checkpoint, seeds: int, as_json: bool, **options: Any
) -> None:
    from stylert.export.bundle_writer import parity_error
    from stylert.export.parity import check_parity, open_precisions
    from stylert.export.verification import check_graphs, check_provenance

    generators = list(open_precisions(path, **options))
    bundle = generators[0].bundle
    check_graphs(bundle)
    for note in check_provenance(bundle, checkpoint):
        err.print(f"warning: {note}", style="yellow", soft_wrap=True)
    with _progress() as progress:
        report = check_parity(
            checkpoint,
            *generators,
            seeds=range(seeds),
            progress=lambda done, total: progress("comparing with PyTorch", done, total),
        )
    if as_json:
        _print_json({"parity": report.to_json()})
    elif report.passed:  # else the table is told with the error
        out.print(_parity_table(report))
    if not report.passed:
        raise parity_error(report)


@app.command()
def generate(
    bundle: BundleArgument,
    out_: Annotated[
        Path,
        typer.Option("--out", metavar="PATH", help="Folder of images, or one file."),
    ],
    seeds: Annotated[str, typer.Option(metavar="LIST", help="For instance 0-31,40.")] = "0-15",
    truncation_psi: Annotated[
        float | None, typer.Option(help="1 = as trained, 0 = the mean image.")
    ] = None,
    truncation_cutoff: Annotated[
        int | None, typer.Option(min=0, help="Layers from this one on are not truncated.")
    ] = None,
    class_idx: Annotated[
        int | None, typer.Option("--class", min=0, help="Class of a conditional generator.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="LIST", help="Soft labels instead: 0.5,0.5,0")
    ] = None,
    noise: Annotated[str, typer.Option(help="const, none, or seeded.")] = "const",
    noise_seed: Annotated[
        int | None, typer.Option(help="One noise for all images; by default each image's seed.")
    ] = None,
    translate: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y", help="Move to the right and down, in sides of the image; StyleGAN3."
        ),
    ] = None,
    rotate: Annotated[
        float | None,
        typer.Option(metavar="DEG", help="Turn counter-clockwise, before moving; StyleGAN3."),
    ] = None,
    grid: Annotated[
        str | None, typer.Option(metavar="COLSxROWS", help="One picture of a grid; or 'auto'.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images drawn at a time.")] = 8,
    backend: BackendOption = "auto",
    provider: ProviderOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    force: ForceOption = False,
    json_: JsonOption = False,
) -> None:
    """Draw pictures: a PNG for every seed, or one grid.

    Example: stylert generate ffhq-bundle --seeds 0-31,40 --truncation-psi 0.7 --out images
    """
    from stylert.runtime.images import grid_of, image_format, save_image

    numbers = _seeds(seeds)
    columns = rows = None
    if grid is not None:
        columns, rows = _columns_and_rows(grid, len(numbers))
        image_format(out_)
    one_file = grid is not None or (_names_an_image(out_) and not out_.is_dir())
    if one_file and grid is None and len(numbers) > 1:
        raise _usage(
            f"{out_} is one file for {len(numbers)} images; pass a folder, or --grid for one "
            "picture"
        )
    soft = _floats("--labels", labels) if labels else None
    shift = None if translate is None else _floats("--translate", translate)
    generator = _open(
        bundle,
        backend=backend,
        provider=provider,
        precision=precision,
        threads=threads,
        max_batch=batch,
    )
    if not one_file and out_.exists() and not out_.is_dir():
        raise _usage(f"{out_} is a file; --out names a folder, or pass --grid for one picture")
    files = [out_] if one_file else [out_ / f"seed{seed:04d}.png" for seed in numbers]
    taken = [file for file in files if file.exists()]
    if taken and not force:
        raise InvalidInput(
            f"{taken[0]} exists. Pass --force to replace it, or choose another --out."
        )
    tiles: list[Any] = []
    options: dict[str, Any] = {
        "truncation_psi": truncation_psi,
        "truncation_cutoff": truncation_cutoff,
        "class_idx": class_idx,
        "labels": soft,
        "noise_mode": noise,
        "noise_seed": noise_seed,
        "translate": shift,
        "rotate": rotate,
    }
    with generator, _progress() as progress:
        for start in range(0, len(numbers), batch):
            images = generator.generate(numbers[start : start + batch], **options)
            if grid is not None:
                tiles.append(images)
            else:
                files[0].parent.mkdir(parents=True, exist_ok=True)
                for file, image in zip(files[start:], images, strict=False):
                    save_image(image, file)
            progress("drawing", start + len(images), len(numbers))
    if grid is not None:
        import numpy as np

        out_.parent.mkdir(parents=True, exist_ok=True)
        save_image(grid_of(np.concatenate(tiles), columns, rows), out_)
    if json_:
        return _print_json({"backend": generator.choice, "files": [str(file) for file in files]})
    _say(f"{generator.choice}")
    _say(f"Wrote {files[0] if len(files) == 1 else f'{len(files)} images to {out_}'}.")
    return None


@app.command()
def bench(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="Or --untrained instead.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="FILE", help="The bundle's checkpoint, for PyTorch.")
    ] = None,
    untrained: Annotated[
        str | None, typer.Option(metavar="NAME", help="Random weights: stylegan2-256, -512, -1024.")
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="onnxruntime, torch-eager, torch-compile, each also with -cuda or -fp16 for a GPU "
            "in float32 or half, and tensorrt.",
        ),
    ] = None,
    batch: Annotated[str, typer.Option(metavar="LIST", help="Batch sizes.")] = "1,4,8",
    threads: ThreadsOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each candidate.")] = 10,
    max_seconds: Annotated[
        float, typer.Option(min=1, help="Time for the turns of a batch size.")
    ] = 120.0,
    network: NetworkOption = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the result.")] = None,
    save: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write JSON with all samples.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Time backends side by side, and check the pictures of the very sessions timed.

    Example: stylert bench ffhq-bundle --checkpoint ffhq.pkl --batch 1,4 --plot bench.png
    """
    batches = _integers("--batch", batch)
    if (bundle is None) == (untrained is None):
        raise _usage("pass a BUNDLE or --untrained NAME, one of them")
    if plot is not None:
        _need("matplotlib", extra="plot")
        if plot.suffix not in (".png", ".svg", ".pdf"):
            raise _usage(f"--plot: got {plot.name!r}, expected .png, .svg or .pdf")
    with tempfile.TemporaryDirectory(prefix="stylert-bench-") as folder:
        if untrained is not None:
            _need_export()
            from stylert.export.bundle_writer import export_bundle

            checkpoint = f"untrained:{untrained}"
            bundle = Path(folder) / untrained
            export_bundle(_read(checkpoint), bundle, verify_seeds=0)
        elif checkpoint is not None:
            assert bundle is not None
            _check_checkpoint(bundle, checkpoint, network)
        assert bundle is not None
        result = _bench(
            bundle, checkpoint, network, backends, batches, threads, rounds, max_seconds
        )
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(result.to_json(), encoding="utf-8")
    failures = result.failures()
    if json_:
        typer.echo(result.to_json())
    else:
        out.print(_bench_table(result))
        failed = [f"{name}: {reason}" for name, reason in failures.items()]
        if result.device_gemm is not None and result.device_gemm.failure:
            failed.append(f"no roofline of the GPU: {result.device_gemm.failure}")
        for line in (*failed, *result.disturbances()):
            err.print(f"warning: {line}", style="yellow", soft_wrap=True)
    if plot is not None:
        plot.parent.mkdir(parents=True, exist_ok=True)
        from stylert.runtime.bench import plot as draw

        draw(result, plot)
    if wrong := result.parity_failures():
        raise ParityError(f"Parity of what was timed: {wrong[0]}")
    # torch.compile needs a C++ compiler, so it may fail where nobody asked for it by name.
    needed = [name for name in failures if backends is not None or name != "torch-compile"]
    if needed:
        raise EngineError(f"{needed[0]} was not timed to the end: {failures[needed[0]]}")


def _check_checkpoint(bundle: Path, checkpoint: str, network: str | None) -> None:
    """Refuse the checkpoint of another architecture before anything is timed."""
    _need_export()
    from stylert.export.verification import check_provenance
    from stylert.runtime.bundle import Bundle

    opened = Bundle.open(bundle, check_files=False)  # the benchmark checks them
    for note in check_provenance(opened, _read(checkpoint, network)):
        err.print(f"warning: {note}", style="yellow", soft_wrap=True)


@app.command()
def info(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A bundle or a checkpoint.")],
    network: NetworkOption = None,
    json_: JsonOption = False,
) -> None:
    """Show what a bundle or a checkpoint holds: architecture, parameters, multiply-adds, sizes.

    Example: stylert info ffhq.pkl
    """
    if Path(path).is_dir():
        from stylert.runtime.bundle import Bundle

        facts = dict(Bundle.open(path).manifest)
    else:
        model = _read(path, network)
        facts = {
            "family": model.family,
            "config": model.config.to_json(),
            "statistics": {
                "parameters": model.num_parameters,
                "multiply_adds": model.config.multiply_adds(),
            },
            "provenance": {"source": dict(vars(model.source)), "notes": list(model.notes)},
        }
    if json_:
        return _print_json(facts)
    table = Table(title=path, show_header=False, title_justify="left")
    with _reading(path):
        for key, value in [*_network_rows(facts), *_file_rows(facts)]:
            table.add_row(key, value)
    out.print(table)
    return None


@app.command()
def doctor(json_: JsonOption = False) -> None:
    """Show what is installed, what works on this machine, and what to install for the rest.

    Example: stylert doctor
    """
    from stylert.runtime.doctor import diagnose

    findings = diagnose()
    if json_:
        return _print_json([vars(finding) for finding in findings])
    table = Table("", "status", "detail", "what to do")
    colours = {"ok": "green", "missing": "dim", "broken": "red", "conflict": "red"}
    for finding in findings:
        status = Text(finding.status, colours[finding.status])
        table.add_row(finding.name, status, finding.detail, finding.remedy)
    out.print(table)
    return None


@app.command("build-engine")
def build_engine(
    bundle: BundleArgument,
    compiler: Annotated[
        str, typer.Option(help="tensorrt, tensorrt-rtx, or auto: what this machine can use.")
    ] = "auto",
    precision: Annotated[str, typer.Option(help="Of the synthesis: fp16 or fp32.")] = "fp16",
    batch: Annotated[
        str, typer.Option(metavar="LIST", help="1,4,8: an engine for each; 1:4:8: for a range.")
    ] = "1,4,8",
    output: Annotated[str, typer.Option(help="image (uint8), img (float32), or both.")] = "image",
    sm: Annotated[
        str, typer.Option(metavar="LIST", help="TensorRT-RTX: GPUs to build for, as 86,89,120.")
    ] = "",
    optimization_level: Annotated[
        int | None, typer.Option("--opt-level", min=0, max=5, help="0: fast build, 5: fast engine.")
    ] = None,
    workspace: Annotated[
        int | None, typer.Option(metavar="MB", min=1, help="Scratch memory that kernels may use.")
    ] = None,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="Later TensorRT versions run it, too.")
    ] = False,
    hardware_compatible: Annotated[
        bool, typer.Option("--hardware-compatible", help="All GPUs from Ampere on run it.")
    ] = False,
    refittable: Annotated[
        bool, typer.Option("--refittable", help="Another checkpoint's weights can be loaded.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Build what is up to date, too.")] = False,
    json_: JsonOption = False,
) -> None:
    """Compile a bundle's graphs with TensorRT or TensorRT-RTX, and prove their precision.

    Example: stylert build-engine ffhq-bundle --compiler tensorrt-rtx --sm 89 --batch 1,4,8
    """
    from stylert import engines

    with _progress() as progress:
        plans = engines.build_engine(
            bundle,
            compiler=compiler,
            precision=precision,
            batch=batch,
            output=output,
            sm=sm,
            optimization_level=optimization_level,
            workspace=None if workspace is None else workspace * 2**20,
            version_compatible=version_compatible,
            hardware_compatible=hardware_compatible,
            refittable=refittable,
            force=force,
            progress=progress,
            say=lambda line: err.print(f"note: {line}", style="dim", soft_wrap=True),
        )
    if json_:
        return _print_json([plan.to_json() for plan in plans])
    table = Table("plan", "precision", "runs on", "convolutions", "size", "built in")
    for plan in plans:
        table.add_row(
            plan.name,
            plan.precision,
            plan.gpu or ", ".join(plan.compute_capabilities),
            ", ".join(f"{n} {kind}" for kind, n in plan.census.get("convolutions", {}).items()),
            _bytes(plan.size),
            f"{plan.build_seconds:.1f} s",
        )
    out.print(table)
    return None


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line. Exits 0, 1 (the job failed), 2 (wrong usage) or 130 (interrupted)."""
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = lambda message, *_: err.print(
        f"warning: {message}", style="yellow", soft_wrap=True
    )
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="stylert", standalone_mode=False)
        if code == 130:  # what typer makes of a KeyboardInterrupt, by its version
            return _complain("interrupted", code)
        return code if isinstance(code, int) else 0
    except StylertError as error:
        if isinstance(error, ParityError) and error.report is not None:
            err.print(_parity_table(error.report))
        return _complain(str(error), 2 if type(error) is InvalidInput else 1)
    except BrokenPipeError:  # the reader of our output has gone, as in `stylert info x | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", 1)
    except MemoryError:
        return _complain("out of memory", 1)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", 130)
    except Exception as error:
        # Wrong usage: an exception of typer's or of click's, by typer's version.
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            raise
        message = error.format_message()
        context = getattr(error, "ctx", None)
        command_path = context.command_path if context is not None else "stylert"
        return _complain(f"{message} (see '{command_path} --help')", 2) if message else 2


def _say(line: str) -> None:
    """A line on stdout, never broken in two."""
    out.print(line, soft_wrap=True)


def _complain(message: str, code: int) -> int:
    """One line on stderr, and the exit code."""
    err.print(f"error: {' '.join(message.split())}", style="red", soft_wrap=True)
    return code


def _terminate(*_: object) -> NoReturn:
    raise KeyboardInterrupt  # so that what is half written is removed on SIGTERM, too


def _usage(message: str) -> Exception:
    return typer.BadParameter(message)


def _need(*modules: str, extra: str) -> None:
    """Raise MissingExtra unless the packages of an extra are installed."""
    from importlib.util import find_spec

    from stylert.runtime.errors import MissingExtra

    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtra(
            f"{', '.join(missing)}: not installed. Install: pip install 'stylert[{extra}]'"
        )


def _need_export() -> None:
    _need("torch", "onnx", "onnx_ir", extra="export")


def _read(checkpoint: str, network: str | None = None) -> Checkpoint:
    from stylert.export.checkpoints import read_checkpoint

    with err.status("reading the checkpoint"):
        model = read_checkpoint(checkpoint, network=network)
    for note in model.notes:
        err.print(f"note: {note}", style="dim", soft_wrap=True)
    return model


def _open(bundle: Path, **options: Any) -> Generator:
    from stylert.runtime.generator import Generator

    return Generator.open(bundle, **options)


@contextmanager
def _reading(bundle: str | Path) -> Iterator[None]:
    """What a manifest tells people alone is not checked when a bundle is opened, but here."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BundleError(
            f"Bundle {bundle}: manifest.json is damaged ({type(error).__name__}: {error}). "
            "Export the checkpoint again."
        ) from None


def _bench(
    bundle: Path,
    checkpoint: str | None,
    network: str | None,
    backends: str | None,
    batches: list[int],
    threads: int | None,
    rounds: int,
    max_seconds: float,
) -> BenchResult:
    from stylert.export.bench_backends import HALF_GEMM, NAMES, candidates_of, is_torch, on_gpu
    from stylert.runtime.bench import run_bench
    from stylert.runtime.bundle import Bundle

    names = backends.split(",") if backends else _default_backends(checkpoint)
    opened = Bundle.open(bundle)
    for name in names:
        if name not in NAMES:
            raise _usage(f"--backends: got {name!r}, expected {', '.join(NAMES)}")
        if is_torch(name):
            if checkpoint is None:
                raise _usage(f"--backends {name} needs --checkpoint FILE")
            _need("torch", extra="export")
    known = candidates_of(bundle, checkpoint=checkpoint, network=network, max_batch=max(batches))
    spec = opened.spec
    with _reading(bundle):
        macs = sum(int(count) for count in opened.manifest["statistics"]["multiply_adds"].values())
    with _progress() as progress:
        return run_bench(
            [known[name] for name in names],
            batches=batches,
            macs_per_image=macs,
            threads=threads,
            rounds=rounds,
            max_seconds=max_seconds,
            device_gemm=HALF_GEMM if any(map(on_gpu, names)) else None,
            subject=f"{opened.family} {spec.img_height}x{spec.img_width}",
            progress=lambda message, share: progress(message, round(share * 100), 100),
        )


def _default_backends(checkpoint: str | None) -> list[str]:
    """All that the files at hand allow on the CPU."""
    return (
        ["onnxruntime"] if checkpoint is None else ["torch-eager", "torch-compile", "onnxruntime"]
    )


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr for the callbacks of the library; gone when the work is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield update


def _parity_table(report: ParityReport) -> Table:
    moving = any(row.motion != "-" for row in report.rows)
    table = Table(
        "precision",
        "output",
        "psi",
        "motion" if moving else "noise",
        "batch",
        "images",
        "max |d|",
        "PSNR dB",
        "",
        title="Against PyTorch in float32",
        title_justify="left",
    )
    for row in report.rows:
        psnr = row.difference.psnr_db
        table.add_row(
            row.precision,
            row.output,
            f"{row.truncation_psi:g}",
            row.motion if moving else row.noise_mode,
            str(row.batch),
            str(row.images),
            f"{row.difference.max_abs:.2g}" + (" LSB" if row.output == "image" else ""),
            "equal" if psnr == float("inf") else f"{psnr:.1f}",
            Text("ok", "green") if row.passed else Text("FAILED", "red"),
        )
    return table


def _bench_table(result: BenchResult) -> Table:
    table = Table(
        title=f"{result.subject}, {result.settings['threads']} threads", title_justify="left"
    )
    for heading in (
        "candidate",
        "batch",
        "median",
        "p95",
        "on the GPU",
        "images/s",
        "speed",
        "GFLOP/s",
        "of GEMM",
        "peak MB",
        "start-up",
        "max |d|",
    ):
        table.add_column(heading, justify="left" if heading == "candidate" else "right")
    for row in result.rows():
        table.add_row(
            row.candidate,
            str(row.batch),
            f"{row.median * 1e3:.1f} ms",
            f"{row.p95 * 1e3:.1f} ms",
            _or_dash(row.device_median and row.device_median * 1e3, "{:.2f} ms"),
            f"{row.images_per_second:.2f}",
            _or_dash(row.speedup, "{:.2f}x"),
            f"{row.gflops:.0f}",
            _or_dash(row.roofline_percent, "{:.0f} %"),
            _or_dash(row.peak_mb, "{:.0f}"),
            _or_dash(row.startup_seconds, "{:.1f} s"),
            _or_dash(row.difference.max_abs if row.difference else None, "{:.1g}"),
        )
    return table


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _network_rows(facts: Any) -> Iterator[tuple[str, str]]:
    """What the network is."""
    from stylert.export.checkpoints.configs import config_from_json

    yield from config_from_json(facts["family"], facts["config"]).summary().items()
    if "half" in facts:
        halves = ", ".join(facts["half"]["half_blocks"])
        yield "half-precision graph", halves or "none"
        if kept := facts["half"]["kept_fp32"]:
            yield "kept in float32", ", ".join(kept) + " (could overflow)"
    yield "parameters", f"{facts['statistics']['parameters']:,}"
    for name, count in facts["statistics"]["multiply_adds"].items():
        yield f"multiply-adds, {name}", f"{count:,} per image"


def _file_rows(facts: Any) -> Iterator[tuple[str, str]]:
    """Where it came from, and what is on the disk."""
    source = facts["provenance"]["source"]
    yield "source", f"{source['file']} ({_bytes(source['bytes'])}), {source['format']}"
    yield "network of the file", source["network"]
    yield "SHA-256", source["sha256"]
    for note in facts["provenance"]["notes"]:
        yield "note", note
    for name, file in facts.get("files", {}).items():
        yield name, _bytes(file["bytes"])
    if "schema" in facts:
        parity = facts.get("parity")
        yield "exported", facts["provenance"]["exported"]
        yield "parity at export", "passed" if parity and parity["passed"] else "not compared"


def _seeds(text: str) -> list[int]:
    """'0-3,7,2' to [0, 1, 2, 3, 7]: each once."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            start, end = int(first), int(last) if dash else int(first)
        except ValueError:
            raise _usage(f"--seeds: got {part!r}, expected a list such as 0-31,40") from None
        if end < start or end > 2**32 - 1:
            raise _usage(f"--seeds: got {part!r}, expected a range of 0 to {2**32 - 1}, going up")
        if end - start >= 10_000_000:
            raise _usage(f"--seeds: {part!r} are {end - start + 1} images; draw them in parts")
        numbers += range(start, end + 1)
    return list(dict.fromkeys(numbers))


def _integers(option: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise _usage(f"{option}: got {text!r}, expected numbers of at least 1, such as 1,4,8")
    return numbers


def _floats(option: str, text: str) -> Any:
    import numpy as np

    try:
        return np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError:
        raise _usage(f"{option}: got {text!r}, expected numbers such as 0.5,0.5") from None


def _columns_and_rows(grid: str, images: int) -> tuple[int | None, int | None]:
    """'4x2' to 4 and 2, after checking that the images fit; 'auto' to None and None."""
    if grid == "auto":
        return None, None
    columns, _, rows = grid.partition("x")
    if not (columns.isdecimal() and rows.isdecimal() and int(columns) * int(rows) >= images):
        raise _usage(f"--grid: got {grid!r}, expected COLSxROWS for {images} images, or auto")
    return int(columns), int(rows)


def _names_an_image(path: Path) -> bool:
    from stylert.runtime.images import image_format

    try:
        image_format(path)
    except InvalidInput:
        return False
    return True


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=1))


if __name__ == "__main__":
    main()

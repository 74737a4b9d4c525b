"""The command line: it parses, calls, and prints. Nothing else."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
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
    from stylert.runtime.datasets import DatasetJob, Seeds
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

LOG_SECONDS = 30.0  # between two lines of progress where stderr is no terminal
MOST_TILES = 100_000  # images of a grid, which is in memory as a whole
MOST_CLASSES = 1_000_000
MOST_STRENGTHS = 1000
MOST_SECONDS = 86_400  # of a video, from one keyframe to the next
MOST_WAITING = 64  # pictures of the walks of a grid that wait in memory

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
PictureOption = Annotated[Path, typer.Option("--out", metavar="FILE", help=".png, .jpg or .webp.")]
PsiOption = Annotated[
    str | None,
    typer.Option(
        metavar="PSI", help="1 = as trained, 0 = the mean image; by layers: coarse=0.5,fine=1."
    ),
]
CutoffOption = Annotated[
    int | None, typer.Option(min=0, help="Layers from this one on are not truncated.")
]
ClassOption = Annotated[
    int | None, typer.Option("--class", min=0, help="Class of a conditional generator.")
]
NoiseOption = Annotated[str, typer.Option(help="const, none, or seeded.")]
NoiseSeedOption = Annotated[int | None, typer.Option(help="Of seeded noise, one for all pictures.")]
QualityOption = Annotated[
    int | None, typer.Option(min=1, max=100, help="Of JPEG and WebP, by default Pillow's.")
]
BatchOption = Annotated[int, typer.Option(min=1, help="Images drawn at a time.")]


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
        typer.Option("--out", metavar="PATH", help="Folder of images, a .zip file, or one image."),
    ],
    seeds: Annotated[str, typer.Option(metavar="LIST", help="For instance 0-31,40.")] = "0-15",
    truncation_psi: Annotated[
        float | None, typer.Option(help="1 = as trained, 0 = the mean image.")
    ] = None,
    truncation_cutoff: Annotated[
        int | None, typer.Option(min=0, help="Layers from this one on are not truncated.")
    ] = None,
    class_idx: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="LIST",
            help="Class of a conditional generator; of several, as 0-9, the images take turns.",
        ),
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
    container: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="folder, zip, or webdataset (tar shards); by default as --out."
        ),
    ] = None,
    shard_size: Annotated[
        int | None, typer.Option(min=1, help="Images of a WebDataset shard, by default 1000.")
    ] = None,
    image_format: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="png, jpeg, or webp.")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="Of JPEG and WebP, by default 95.")
    ] = None,
    compression: Annotated[
        int | None, typer.Option(min=0, max=9, help="Of PNG, by default 1: fast.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images drawn at a time.")] = 8,
    backend: BackendOption = "auto",
    provider: ProviderOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Start over: replace what is there.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Draw pictures: a file for every seed, in a folder, a zip file or tar shards; or one grid.

    A folder or zip file comes with a manifest, a line per image. Run the same command again to go
    on after an interrupt or a crash.

    Example: stylert generate ffhq-bundle --seeds 0-31,40 --truncation-psi 0.7 --out images

    Example: stylert generate ffhq-bundle --seeds 0-49999 --shard-size 1000 --out shards
    """
    from stylert.runtime.datasets import DatasetJob

    chosen: dict[str, Any] = {
        "container": container,
        "shard_size": shard_size,
        "image_format": image_format,
        "compression": compression,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    numbers = _seeds(seeds)
    one_file = grid is not None or (_names_an_image(out_) and not out_.is_dir())
    if one_file:
        _check_one_file(out_, grid, len(numbers), quality, given)
    job = DatasetJob(
        seeds=numbers,
        truncation_psi=truncation_psi,
        truncation_cutoff=truncation_cutoff,
        class_idx=_classes(class_idx),
        labels=_floats("--labels", labels),
        noise_mode=noise,
        noise_seed=noise_seed,
        translate=_floats("--translate", translate),
        rotate=rotate,
        **({} if one_file else _storage(out_, quality=quality, **given)),
    )
    with _open(
        bundle,
        backend=backend,
        provider=provider,
        precision=precision,
        threads=threads,
        max_batch=batch,
    ) as generator:
        if one_file:
            _draw_one_file(generator, job, out_, grid=grid, quality=quality, force=force)
            files, told = [out_], f"Wrote {out_}."
        else:
            files, told = _draw_dataset(generator, job, out_, force=force, list_files=json_)
    if json_:
        return _print_json({"backend": generator.choice, "files": [str(file) for file in files]})
    _say(f"{generator.choice}")
    _say(told)
    return None


def _check_one_file(
    path: Path, grid: str | None, images: int, quality: int | None, given: Mapping[str, Any]
) -> None:
    """Refuse what does not go together where one picture is drawn."""
    from stylert.runtime.images import image_format

    if grid is not None:
        _columns_and_rows(grid, images)
        if images > MOST_TILES:
            raise _usage(f"--grid: got {images} images, expected up to {MOST_TILES}")
    elif images > 1:
        raise _usage(
            f"{path} is one file for {images} images; pass a folder, or --grid for one picture"
        )
    if image_format(path) not in ("JPEG", "WEBP") and quality is not None:
        raise _usage(f"--quality: got one for {path}, expected a .jpg or .webp file")
    for name in given:
        option = {"image_format": "format"}.get(name, name).replace("_", "-")
        raise _usage(f"--{option}: got one for {path}, which is one picture; expected a folder")


def _storage(path: Path, **given: Any) -> dict[str, Any]:
    """How images are stored, as `DatasetJob` calls it: as asked for, or as the path looks."""
    if path.suffix == ".tar":
        raise _usage(f"{path}: shards are written into a folder; pass --out FOLDER --shard-size N")
    fitting = "zip" if path.suffix == ".zip" and not path.is_dir() else "folder"
    storage = {"container": "webdataset" if "shard_size" in given else fitting, **given}
    if "shard_size" in given and storage["container"] != "webdataset":
        raise _usage(f"--shard-size: got one for a {storage['container']}, expected webdataset")
    if storage["container"] != "zip" and path.exists() and not path.is_dir():
        raise _usage(f"{path} is a file; --out names a folder, or pass --grid for one picture")
    return storage


def _draw_one_file(
    generator: Generator,
    job: DatasetJob,
    path: Path,
    *,
    grid: str | None,
    quality: int | None,
    force: bool,
) -> None:
    """Draw the picture of one seed, or a grid."""
    from stylert.runtime.images import grid_of, save_image

    if path.exists() and not force:
        raise InvalidInput(f"{path} exists. Pass --force to replace it, or choose another --out.")
    tiles: list[Any] = []
    with _progress() as progress:
        for places in job.batches(0, generator.max_batch):
            tiles.append(job.draw(generator, places))
            progress("drawing", places.stop, len(job.seeds))
    import numpy as np

    images = np.concatenate(tiles)
    picture = images[0]
    if grid is not None:
        picture = grid_of(images, *_columns_and_rows(grid, len(images)))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(picture, path, quality=quality)


def _draw_dataset(
    generator: Generator, job: DatasetJob, path: Path, *, force: bool, list_files: bool
) -> tuple[list[Path], str]:
    """Draw all that is missing; its files, if they are asked for, and what to tell of them."""
    from stylert.runtime.datasets import write_dataset

    there = [0]
    try:
        with _image_progress() as progress:

            def update(done: int, total: int) -> None:
                there[0] = done
                progress(done, total)

            result = write_dataset(generator, job, path, force=force, progress=update)
    except (KeyboardInterrupt, StylertError, OSError):
        if there[0]:
            again = "the same command again" + (", without --force" if force else "")
            err.print(
                f"note: {there[0]} of {len(job.seeds)} images are there. To go on, run {again}.",
                style="dim",
                soft_wrap=True,
            )
        raise
    files = list(result.files) if list_files or result.images == 1 else []
    if not result.drawn:
        return files, f"{path} is complete: {result.images} images, none were missing."
    if result.drawn < result.images:
        return (
            files,
            f"Wrote {result.drawn} images to {path}, beside the others of {result.images}.",
        )
    wrote = str(files[0]) if result.images == 1 else f"{result.images} images to {path}"
    return files, f"Wrote {wrote}."


@app.command()
def mix(
    bundle: BundleArgument,
    rows: Annotated[
        str, typer.Option(metavar="LIST", help="Seeds, as 0-3, or ws in a .npy or .npz file.")
    ],
    columns: Annotated[
        str, typer.Option(metavar="LIST", help="The same: what the layers come from.")
    ],
    layers: Annotated[str, typer.Option(metavar="NAMES", help="coarse, middle, fine, or 0-6,8.")],
    out_: PictureOption,
    truncation_psi: PsiOption = None,
    truncation_cutoff: CutoffOption = None,
    class_idx: ClassOption = None,
    noise: NoiseOption = "const",
    noise_seed: NoiseSeedOption = None,
    framed: Annotated[
        bool, typer.Option(help="Show the sources along the left side and the top, too.")
    ] = True,
    quality: QualityOption = None,
    batch: BatchOption = 8,
    backend: BackendOption = "auto",
    provider: ProviderOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    force: ForceOption = False,
    json_: JsonOption = False,
) -> None:
    """Draw a grid of pictures, every row with some layers of every column: style mixing.

    Example: stylert mix ffhq-bundle --rows 0-3 --columns 10-15 --layers coarse --out mix.png
    """
    from stylert.runtime.figures import mix_figure

    _check_picture(out_, quality, force)
    sources = [_source("--rows", rows), _source("--columns", columns)]
    options = {
        "truncation_psi": _psi(truncation_psi),
        "truncation_cutoff": truncation_cutoff,
        "class_idx": class_idx,
    }
    with _open(
        bundle,
        backend=backend,
        provider=provider,
        precision=precision,
        threads=threads,
        max_batch=batch,
    ) as generator:
        left, top = _styles(generator, sources, options)
        with _progress() as progress:
            picture = mix_figure(
                generator,
                left,
                top,
                layers=layers,
                frame=framed,
                progress=partial(progress, "drawing"),
                noise_mode=noise,
                noise_seed=noise_seed,
            )
    _save_picture(generator, picture, out_, quality=quality, as_json=json_)


@app.command()
def edit(
    bundle: BundleArgument,
    seeds: Annotated[
        str | None,
        typer.Option("--seed", "--seeds", metavar="LIST", help="What to edit; a row for each."),
    ] = None,
    ws: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Or ws in a .npy or .npz file.")
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="As --list-directions shows, a .npy or .npz file, or pca:0 for the first "
            "principal component, in standard deviations.",
        ),
    ] = None,
    strengths: Annotated[
        str,
        typer.Option(metavar="LIST", help="FIRST:LAST:COUNT, or a list; write --strengths=-6:6:5."),
    ] = "-6:6:5",
    layers: Annotated[
        str, typer.Option(metavar="NAMES", help="Those that move: coarse, middle, fine, or 0-6,8.")
    ] = "all",
    out_: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help=".png, .jpg or .webp.")
    ] = None,
    list_directions: Annotated[
        bool, typer.Option("--list-directions", help="Show the directions in the bundle.")
    ] = False,
    truncation_psi: PsiOption = None,
    truncation_cutoff: CutoffOption = None,
    class_idx: ClassOption = None,
    noise: NoiseOption = "const",
    noise_seed: NoiseSeedOption = None,
    quality: QualityOption = None,
    batch: BatchOption = 8,
    backend: BackendOption = "auto",
    provider: ProviderOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    force: ForceOption = False,
    json_: JsonOption = False,
) -> None:
    """Draw a strip of pictures along a direction in w, weak to strong.

    Example: stylert edit ffhq-bundle --seed 7 --direction sefa_coarse_0 --out strip.png
    """
    from stylert.runtime.figures import strip_figure

    if list_directions:
        return _list_directions(bundle, json_)
    if (seeds is None) == (ws is None):
        raise _usage("pass --seed N or --ws FILE, one of them")
    if direction is None or out_ is None:
        raise _usage(f"pass --{'direction NAME' if direction is None else 'out FILE'}, too")
    _check_picture(out_, quality, force)
    amounts = _strengths(strengths)
    source = ws if seeds is None else _seed_list("--seed", seeds)
    options = {
        "truncation_psi": _psi(truncation_psi),
        "truncation_cutoff": truncation_cutoff,
        "class_idx": class_idx,
    }
    with _open(
        bundle,
        backend=backend,
        provider=provider,
        precision=precision,
        threads=threads,
        max_batch=batch,
    ) as generator:
        (styles,) = _styles(generator, [source], options)
        with _progress() as progress:
            picture = strip_figure(
                generator,
                styles,
                _direction(generator, direction, class_idx),
                amounts,
                layers=layers,
                progress=partial(progress, "drawing"),
                noise_mode=noise,
                noise_seed=noise_seed,
            )
    return _save_picture(generator, picture, out_, quality=quality, as_json=json_)


@app.command()
def video(
    bundle: BundleArgument,
    out_: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="PATH",
            help=".mp4, .mov, .mkv, .webm, .gif or .webp; or a folder of PNG frames.",
        ),
    ],
    seeds: Annotated[
        str | None, typer.Option(metavar="LIST", help="Keyframes, such as 1,2,3 or 0-11.")
    ] = None,
    ws: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Or keyframes of a .npy or .npz file.")
    ] = None,
    curve: Annotated[
        str, typer.Option(help="cubic (smooth) or linear, both through w, or slerp through z.")
    ] = "cubic",
    seconds: Annotated[float, typer.Option(help="From one keyframe to the next.")] = 2.0,
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 30.0,
    loop: Annotated[bool, typer.Option(help="Go back to the first keyframe.")] = False,
    grid: Annotated[
        str,
        typer.Option(metavar="COLSxROWS", help="Walks side by side; they share the keyframes out."),
    ] = "1x1",
    truncation_psi: Annotated[
        str | None,
        typer.Option(metavar="PSI", help="0.7; from 0:1; or by layers: coarse=0.5,fine=1."),
    ] = None,
    truncation_cutoff: CutoffOption = None,
    class_idx: Annotated[
        str | None,
        typer.Option("--class", metavar="LIST", help="One for all keyframes, or one for each."),
    ] = None,
    noise: Annotated[str, typer.Option(help="const, none, seeded, or animated.")] = "const",
    noise_seed: NoiseSeedOption = None,
    noise_turns: Annotated[
        float, typer.Option(help="How often animated noise goes around; a loop needs whole ones.")
    ] = 1.0,
    translate: Annotated[
        str | None,
        typer.Option(metavar="X,Y", help="Move right and down; X,Y:X,Y from to. StyleGAN3."),
    ] = None,
    rotate: Annotated[
        str | None,
        typer.Option(metavar="DEG", help="Turn counter-clockwise; 0:360 from to. StyleGAN3."),
    ] = None,
    crf: Annotated[
        int | None, typer.Option(min=0, help="Of a video: 0 (no loss) to 51, by default 18.")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="Of .webp, by default 90.")
    ] = None,
    batch: BatchOption = 8,
    backend: BackendOption = "auto",
    provider: ProviderOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    force: ForceOption = False,
    json_: JsonOption = False,
) -> None:
    """Draw a video that walks from keyframe to keyframe.

    What changes from A to B does so over the whole video; on a loop, there and back again.

    Example: stylert video ffhq-bundle --seeds 1,2,3 --seconds 2 --loop --out walk.mp4
    """
    from stylert.runtime.control.walks import walk_grid, walk_length
    from stylert.runtime.video import VideoFile

    if (seeds is None) == (ws is None):
        raise _usage("pass --seeds LIST or --ws FILE, one of them")
    file = VideoFile(out_, fps=fps, crf=crf, quality=quality, repeat=loop, force=force)
    frames = _frames(seconds, fps)
    columns, rows = _cells(grid)
    source: Any = ws if seeds is None else _seed_list("--seeds", seeds)
    with _open(
        bundle,
        backend=backend,
        provider=provider,
        precision=precision,
        threads=threads,
        max_batch=max(1, min(batch, MOST_WAITING // (columns * rows))),
    ) as generator:
        keyframes = generator.load_ws(source) if seeds is None else source
        total = walk_length(len(keyframes), frames, walks=columns * rows, loop=loop)
        walks = walk_grid(
            generator,
            keyframes,
            columns=columns,
            rows=rows,
            frames=frames,
            curve=curve,
            loop=loop,
            truncation_psi=_changing_psi(truncation_psi, total, loop),
            truncation_cutoff=truncation_cutoff,
            class_idx=_classes(class_idx),
            noise_mode=noise,
            noise_seed=noise_seed,
            noise_turns=noise_turns,
            translate=_changing("--translate", translate, 2, total, loop),
            rotate=_changing("--rotate", rotate, 1, total, loop, turn=360),
        )
        with _image_progress() as progress:
            written = file.write(walks, total=total, progress=progress)
    if json_:
        facts = {**vars(written), "path": str(written.path)}
        return _print_json({"backend": generator.choice, **facts})
    _say(generator.choice)
    _say(
        f"Wrote {written.path}: {written.frames} frames of {written.width}x{written.height}, "
        f"{written.seconds:.1f} s, {written.codec}."
    )
    return None


def _check_picture(path: Path, quality: int | None, force: bool) -> None:
    """Refuse a picture that could not be written, before anything is drawn."""
    _check_one_file(path, None, 1, quality, {})
    if path.is_dir():
        raise _usage(f"{path} is a folder; --out names one picture")
    if path.exists() and not force:
        raise InvalidInput(f"{path} exists. Pass --force to replace it, or choose another --out.")


def _save_picture(
    generator: Generator, picture: Any, path: Path, *, quality: int | None, as_json: bool
) -> None:
    from stylert.runtime.images import save_image

    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(picture, path, quality=quality)
    height, width = picture.shape[:2]
    if as_json:
        facts = {"file": str(path), "width": width, "height": height}
        return _print_json({"backend": generator.choice, **facts})
    _say(generator.choice)
    _say(f"Wrote {path}: {width}x{height} pixels.")
    return None


def _styles(generator: Generator, sources: list[Any], options: Mapping[str, Any]) -> Iterator[Any]:
    """The ws of sources, which are files or lists of seeds; the options are of seeds."""
    files = [isinstance(source, Path) for source in sources]
    for name, value in options.items():
        if all(files) and value is not None:
            option = "class" if name == "class_idx" else name.replace("_", "-")
            raise _usage(f"--{option}: got one for ws of a file, expected seeds")
    for source, is_file in zip(sources, files, strict=True):
        yield generator.load_ws(source) if is_file else generator.styles(source, **options)


def _direction(generator: Generator, text: str, class_idx: int | None) -> Any:
    """A direction of a file, a principal component, or the name of one in the bundle."""
    if text.startswith("pca:"):
        number = text.removeprefix("pca:")
        most = generator.spec.w_dim - 1
        if not (number.isdecimal() and len(number) < 6 and int(number) <= most):
            raise _usage(f"--direction: got {text!r:.80}, expected pca:0 to pca:{most}")
        return generator.pca(k=int(number) + 1, class_idx=class_idx).direction(int(number))
    if Path(text).suffix in (".npy", ".npz"):
        return generator.load_direction(text)
    return text


def _list_directions(path: Path, as_json: bool) -> None:
    """Show the directions of a bundle: the sets, and the names in them."""
    from stylert.runtime.bundle import Bundle

    sets = Bundle.open(path).read_directions()
    if as_json:
        return _print_json(
            {f"{s.name}_{i}": s.layers.tolist() for s in sets for i in range(len(s.vectors))}
        )
    if not sets:
        _say(f"{path} has no directions. Export again, or use pca:0 or a file.")
        return None
    table = Table("directions", "layers", title=f"{path}", title_justify="left")
    for s in sets:
        names = f"{s.name}_0 to {s.name}_{len(s.vectors) - 1}"
        table.add_row(names, ",".join(map(str, s.layers)))
    out.print(table)
    _say("And pca:0, pca:1, ...: what varies most in w. Or a .npy or .npz file.")
    return None


@app.command()
def serve(
    bundle: BundleArgument,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 is reached by other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(envvar="STYLERT_TOKEN", help="Ask for it: 'Authorization: Bearer TOKEN'."),
    ] = None,
    max_queue: Annotated[
        int, typer.Option(min=1, help="Images that may wait; more are refused with 429.")
    ] = 256,
    max_images: Annotated[int, typer.Option(min=1, help="Images of one request.")] = 64,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="That a request may take; then it ends with 504.")
    ] = 60.0,
    batch: Annotated[int, typer.Option(min=1, help="Images drawn at a time.")] = 8,
    backend: BackendOption = "auto",
    provider: ProviderOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Serve pictures over HTTP, and a page to play with. Ctrl-C ends it.

    Example: stylert serve ffhq-bundle --port 8000
    """
    _need("fastapi", "uvicorn", "prometheus_client", extra="serve")
    from stylert.runtime.serving.server import serve as serve_http
    from stylert.runtime.serving.settings import Settings

    settings = Settings(
        max_queue=max_queue,
        max_images=min(max_images, max_queue),
        draw_seconds=seconds,
        token=token,
    )
    with _open(
        bundle,
        backend=backend,
        provider=provider,
        precision=precision,
        threads=threads,
        max_batch=batch,
    ) as generator:
        _say(f"{generator.choice}")
        serve_http(
            generator,
            host=host,
            port=port,
            settings=settings,
            ready=lambda address: _say(f"Serving {bundle} at {address} (Ctrl-C ends it)"),
        )


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


@contextmanager
def _image_progress() -> Iterator[Callable[[int, int], None]]:
    """Progress of many images: a bar with rate and time left, or a line now and then in a log."""
    if not err.is_terminal:
        yield _log_progress()
        return
    columns = (
        TextColumn("drawing"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        tasks: list[Any] = []

        def update(done: int, total: int) -> None:
            if not tasks:  # what was there before says nothing of the rate
                tasks.append(bar.add_task("drawing", total=total, completed=done))
            bar.update(tasks[0], completed=done)

        yield update


class _Rate(ProgressColumn):
    """Images per second, over the last half minute."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} images/s")


def _log_progress() -> Callable[[int, int], None]:
    """A line on stderr every half minute: how many images are there, the rate, the time left."""
    start = told = time.monotonic()
    there: int | None = None  # when it started

    def update(done: int, total: int) -> None:
        nonlocal there, told
        there = done if there is None else there
        now = time.monotonic()
        if now - told >= LOG_SECONDS and done > there:
            told = now
            rate = (done - there) / (now - start)
            left = timedelta(seconds=round((total - done) / rate))
            err.print(f"note: {done} of {total} images, {rate:.1f} images/s, {left} left")

    return update


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
    from stylert.export.checkpoints.families.configs import config_from_json

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


def _seeds(text: str) -> Seeds:
    """'0-3,7,2' as its seeds, each once."""
    from stylert.runtime.datasets import Seeds

    try:
        return Seeds.parse(text)
    except InvalidInput as error:
        raise _usage(f"--{error}") from None


def _classes(text: str | None) -> int | tuple[int, ...] | None:
    """'3' to 3, '0-2,7' to (0, 1, 2, 7)."""
    if text is None:
        return None
    from stylert.runtime.datasets import Seeds

    try:
        parts = [Seeds.parse(part).ranges[0] for part in text.split(",")]
    except InvalidInput:
        parts = []
    if not 0 < sum(map(len, parts)) <= MOST_CLASSES:
        raise _usage(f"--class: got {text!r:.80}, expected a class such as 3, or several: 0-9")
    classes = tuple(number for part in parts for number in part)
    return classes if len(classes) > 1 else classes[0]


def _integers(option: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise _usage(f"{option}: got {text!r}, expected numbers of at least 1, such as 1,4,8")
    return numbers


def _floats(option: str, text: str | None) -> tuple[float, ...] | None:
    if not text:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise _usage(f"{option}: got {text!r}, expected numbers such as 0.5,0.5") from None


def _seed_list(option: str, text: str) -> list[int]:
    """'0-2,7,0' as its numbers, in their order and with repetitions."""
    from stylert.runtime.datasets import Seeds

    try:
        parts = [Seeds.parse(part).ranges[0] for part in text.split(",")]
    except InvalidInput as error:
        raise _usage(f"{option}: {str(error).removeprefix('seeds: ')}") from None
    if sum(map(len, parts)) > MOST_TILES:
        raise _usage(f"{option}: got {text!r:.80}, expected up to {MOST_TILES} seeds")
    return [number for part in parts for number in part]


def _source(option: str, text: str) -> Path | list[int]:
    """A file of ws, or seeds."""
    path = Path(text)
    if path.suffix in (".npy", ".npz", ".pt", ".pth") or path.is_file():
        return path
    return _seed_list(option, text)


def _psi(text: str | None) -> float | dict[str, float] | None:
    """'0.7' as a number, 'coarse=0.5,8-17=1' by layers."""
    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        pairs = [part.partition("=") for part in text.split(",")]
        return {layers.strip(): float(value) for layers, _, value in pairs}
    except ValueError:
        raise _usage(
            f"--truncation-psi: got {text!r:.80}, expected a number, or coarse=0.5,fine=1"
        ) from None


def _changing_psi(text: str | None, frames: int, loop: bool) -> Any:
    """A psi for all frames, or from one to another: '0.3:1'."""
    if text is None or ":" not in text:
        return _psi(text)
    return _changing("--truncation-psi", text, 1, frames, loop)


def _changing(
    option: str, text: str | None, size: int, frames: int, loop: bool, turn: float | None = None
) -> Any:
    """Numbers for all frames, or of every frame where they change: '0,0:0.5,0'."""
    from stylert.runtime.control.walks import ramp

    if text is None:
        return None
    ends = [_floats(option, part) or () for part in text.split(":")]
    finite = all(math.isfinite(number) for end in ends for number in end)
    if not finite or len(ends) > 2 or any(len(end) != size for end in ends):
        one = ",".join(["0.5"] * size)
        raise _usage(f"{option}: got {text!r:.80}, expected such as {one}, or {one}:{one} from to")
    values = [end[0] if size == 1 else end for end in ends]
    if len(values) == 1:
        return values[0]
    return ramp(values[0], values[1], frames, loop=loop, turn=turn)


def _strengths(text: str) -> list[float]:
    """'-6:6:5' as five numbers from -6 to 6; or a list of numbers."""
    try:
        first, *others = text.split(":")
        numbers = [float(part) for part in first.split(",")]
        if others:
            last, count = float(others[0]), min(int(others[1]), MOST_STRENGTHS + 1)
            steps = max(1, count - 1)
            numbers = [numbers[0] + (last - numbers[0]) * i / steps for i in range(count)]
    except (ValueError, IndexError):
        numbers = []
    if not 0 < len(numbers) <= MOST_STRENGTHS or not all(map(math.isfinite, numbers)):
        raise _usage(
            f"--strengths: got {text!r:.80}, expected FIRST:LAST:COUNT, such as -6:6:5, or -3,0,3"
        )
    return numbers


def _frames(seconds: float, fps: float) -> int:
    """Frames from one keyframe to the next."""
    if not (math.isfinite(seconds) and 0 < seconds <= MOST_SECONDS):
        raise _usage(f"--seconds: got {seconds:g}, expected above 0 and up to {MOST_SECONDS}")
    return max(1, round(seconds * fps))


def _cells(grid: str) -> tuple[int, int]:
    """'4x2' to 4 columns and 2 rows of walks."""
    columns, _, rows = grid.partition("x")
    if not all(part.isdecimal() and 0 < len(part) < 4 and int(part) for part in (columns, rows)):
        raise _usage(f"--grid: got {grid!r:.80}, expected COLSxROWS, such as 3x2")
    return int(columns), int(rows)


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

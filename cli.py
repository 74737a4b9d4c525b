"""The command line: it parses, calls, and prints. Nothing else."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich import progress as bars
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from stylert.apps.checks.bundle_check import check_bundle
from stylert.apps.video.walks import frames_between, walk_batch, walk_grid, walk_length
from stylert.commands.figures import grid_figure, mix_figure, strip_figure
from stylert.commands.picture_file import PictureFile
from stylert.commands.progress_log import ProgressLog
from stylert.commands.text.directions import parse_direction
from stylert.commands.text.grids import parse_cells
from stylert.commands.text.number_lists import parse_counts, parse_numbers, parse_range
from stylert.commands.text.ramps import parse_psi_ramp, parse_ramp
from stylert.commands.text.seed_lists import parse_classes, parse_seed_list, parse_seeds
from stylert.commands.text.sources import check_options_of_seeds, parse_source, styles_of
from stylert.commands.text.strengths import parse_strengths
from stylert.commands.text.truncation import parse_psi
from stylert.runtime.bundle import Bundle
from stylert.runtime.bundle_facts import tell_half
from stylert.runtime.errors import EngineError, InvalidInput, ParityError, StylertError
from stylert.runtime.generator import Generator
from stylert.runtime.packages import need

if TYPE_CHECKING:
    from stylert.apps.bench import BenchResult
    from stylert.apps.bench.sizing import Sizing
    from stylert.apps.datasets import DatasetJob
    from stylert.export.checkpoints import Checkpoint

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
# What is printed holds names of files, in which [brackets] are no colours and :colons: no emoji.
out = Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else 140)
err = Console(markup=False, emoji=False, stderr=True, width=None if sys.stderr.isatty() else 140)

EXPORT_PACKAGES = ("torch", "onnx", "onnx_ir")  # of the extra 'export'
PARITY = "Against PyTorch in float32"  # the title of its table
LINES = {"note": "dim", "warning": "yellow", "error": "red"}
CELLS = {"ok": "green", "missing": "dim", "broken": "red", "conflict": "red", "FAILED": "red"}
LOG_SECONDS = 30.0  # between two lines of progress where stderr is no terminal


def option(default: Any, help_text: str, *names: str, **settings: Any) -> Any:
    """An option of a command; of the default ... it has to be given."""
    return typer.Option(default, *names, help=help_text, **settings)


def argument(default: Any, help_text: str, **settings: Any) -> Any:
    """An argument of a command; of the default ... it has to be given."""
    return typer.Argument(default, help=help_text, **settings)


CHECKPOINT = argument(
    ...,
    "A StyleGAN .pkl, .pt or .safetensors file, or untrained:stylegan2-256.",
    metavar="CHECKPOINT",
)
BUNDLE = argument(..., "A bundle's directory.", metavar="BUNDLE")
NETWORK = option(None, "Network of the file: G instead of G_ema.", metavar="NAME")
JSON = option(False, "Print JSON for machines.", "--json")
ALLOW_CHAOTIC = option(
    False,
    "Accept a network whose float32 pictures are far from float64 in PyTorch itself.",
    "--allow-chaotic",
)
FORCE = option(False, "Replace what is already there.", "--force")
BACKEND = option("auto", "onnxruntime, tensorrt, or auto.")
PROVIDER = option("auto", "cpu, cuda, or auto.")
PRECISION = option("auto", "fp32, fp16, or auto: half on a GPU.")
THREADS = option(None, "CPU threads, by default all that are usable.", min=1)
PICTURE = option(..., ".png, .jpg or .webp.", "--out", metavar="FILE")
PSI = option(
    None, "1 = as trained, 0 = the mean image; by layers: coarse=0.5,fine=1.", metavar="PSI"
)
CUTOFF = option(None, "Layers from this one on are not truncated.", min=0)
CLASS = option(None, "Class of a conditional generator.", "--class", min=0)
NOISE = option("const", "const, none, or seeded.")
NOISE_SEED = option(None, "Of seeded noise, one for all pictures.")
QUALITY = option(None, "Of JPEG and WebP, by default Pillow's.", min=1, max=100)
BATCH = option(8, "Images drawn at a time.", min=1)


def _version(value: bool) -> None:
    if value:
        import stylert

        typer.echo(f"stylert {stylert.__version__}")
        raise typer.Exit


@app.callback()
def _stylert(
    version: bool = option(
        False, "Show the version.", "--version", callback=_version, is_eager=True
    ),
) -> None:
    """Deploy StyleGAN generators: verified ONNX bundles, and a runtime without torch."""


@app.command()
def export(
    checkpoint: str = CHECKPOINT,
    out_: Path = option(..., "Directory to write.", "--out", metavar="BUNDLE"),
    network: str | None = NETWORK,
    force: bool = FORCE,
    seeds: int | None = option(
        None,
        "Pictures compared in each scene, by default 32, 16 or 8, by the size of the network.",
        "--verify-seeds",
        min=1,
    ),
    half: str = option(
        "native",
        "Blocks of the half-precision graph: native, all, none, or a list: b64,b128.",
        metavar="POLICY",
    ),
    half_strict: bool = option(
        False,
        "Fail where half precision is too far off; by default the blocks that cost most are moved "
        "to float32.",
        "--half-strict",
    ),
    allow_chaotic: bool = ALLOW_CHAOTIC,
    verify: bool = option(True, "Compare with PyTorch before the bundle is published."),
    json_: bool = JSON,
) -> None:
    """Turn a checkpoint into a bundle, and prove that it draws the same pictures.

    Example: stylert export ffhq.pkl --out ffhq-bundle
    """
    need(*EXPORT_PACKAGES, extra="export")
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
            half_strict=half_strict,
            allow_chaotic=allow_chaotic,
            progress=progress,
        )
    if report is None:
        _warn("not compared with PyTorch (--no-verify)")
    for line in report.notes if report else ():
        _warn(line)
    if json_:
        return _print_json({"bundle": str(out_), "parity": report and report.to_json()})
    if report is not None:
        _print_table(report.make_table(), title=PARITY)
    size = sum(file.stat().st_size for file in out_.rglob("*") if file.is_file())
    _say(f"Wrote {out_} ({decimal(size)}).")
    return _say(f"Draw with: stylert generate {out_} --seeds 0-15 --out images")


@app.command()
def convert(
    checkpoint: str = CHECKPOINT,
    target: Path = argument(..., "File to write: .safetensors, or .npy of latents.", metavar="OUT"),
    network: str | None = NETWORK,
    force: bool = FORCE,
) -> None:
    """Rewrite a checkpoint as one .safetensors file that holds weights only, no code.

    The latents of a projector or an encoder in a .pt file become a .npy file.

    Example: stylert convert ffhq.pkl ffhq.safetensors
    """
    if target.suffix not in (".safetensors", ".npy"):
        raise typer.BadParameter(
            f"{target}: the file's name must end in .safetensors, or .npy for latents"
        )
    if target.exists() and not force:
        raise InvalidInput(f"{target} exists. Pass --force to replace it, or choose another name.")
    if target.suffix == ".npy":
        from stylert.export.latent_file import read_latents, write_latents

        if network is not None:
            raise typer.BadParameter("--network: latents have no networks")
        write_latents(read_latents(checkpoint), target)
    else:
        need("safetensors", extra="export")
        from stylert.export.checkpoints import write_native

        write_native(_read(checkpoint, network), target, overwrite=force)
    _say(f"Wrote {target} ({decimal(target.stat().st_size)}).")


@app.command()
def verify(
    bundle: Path = BUNDLE,
    checkpoint: str | None = option(
        None, "Compare with this checkpoint in PyTorch.", metavar="FILE"
    ),
    network: str | None = NETWORK,
    seeds: int | None = option(
        None,
        "Pictures compared in each scene, by default 32, 16 or 8, by the size of the network.",
        min=1,
    ),
    allow_chaotic: bool = ALLOW_CHAOTIC,
    provider: str = option("cpu", "cpu, cuda, or auto."),
    threads: int | None = THREADS,
    json_: bool = JSON,
) -> None:
    """Check a bundle's files; with its checkpoint, compare the pictures with PyTorch again.

    Example: stylert verify ffhq-bundle --checkpoint ffhq.pkl
    """
    if checkpoint is not None:
        need(*EXPORT_PACKAGES, extra="export")
        model = _read(checkpoint, network)
        options = {"allow_chaotic": allow_chaotic, "provider": provider, "threads": threads}
        return _compare(bundle, model, seeds, json_, **options)
    check = check_bundle(bundle, provider=provider, threads=threads)
    if json_:
        _print_json(check.to_json())
    else:
        _say(f"{bundle}: the files are as they were exported. {check.choice}.")
        for precision, d in check.batch_differences.items():
            how_far = f"{d.max_abs:.1g} at most ({precision})"
            _say(f"Images drawn together and alone differ by {how_far}.")
        when = "It was not compared with PyTorch at export."
        if check.difference_at_export is not None:
            when = f"Compared with PyTorch at export: max |d| {check.difference_at_export:.1g}."
        _say(f"{when} Compare again: add --checkpoint FILE")
    if failures := check.failures():
        raise ParityError(failures[0])
    return None


def _compare(
    bundle: Path, checkpoint: Checkpoint, seeds: int | None, as_json: bool, **options: Any
) -> None:
    """Compare a bundle with its checkpoint in PyTorch."""
    from stylert.export.parity import make_parity_error
    from stylert.export.verification import verify_bundle

    with _progress() as progress:
        options |= {"progress": partial(progress, "comparing with PyTorch"), "say": _warn}
        chosen = None if seeds is None else range(seeds)
        report = verify_bundle(bundle, checkpoint, seeds=chosen, **options)
    for line in report.notes:
        _warn(line)
    if as_json:
        _print_json({"parity": report.to_json()})
    if not report.passed:
        raise make_parity_error(report)  # the table is told with it
    if not as_json:
        _print_table(report.make_table(), title=PARITY)


@app.command()
def generate(
    bundle: Path = BUNDLE,
    out_: Path = option(
        ..., "Folder of images, a .zip file, or one image.", "--out", metavar="PATH"
    ),
    seeds: str = option("0-15", "For instance 0-31,40.", metavar="LIST"),
    truncation_psi: str | None = PSI,
    truncation_cutoff: int | None = CUTOFF,
    class_idx: str | None = option(
        None,
        "Class of a conditional generator; of several, as 0-9, the images take turns.",
        "--class",
        metavar="LIST",
    ),
    labels: str | None = option(None, "Soft labels instead: 0.5,0.5,0", metavar="LIST"),
    noise: str = option("const", "const, none, or seeded."),
    noise_seed: int | None = option(
        None, "One noise for all images; by default each image's seed."
    ),
    translate: str | None = option(
        None, "Move to the right and down, in sides of the image; StyleGAN3.", metavar="X,Y"
    ),
    rotate: float | None = option(
        None, "Turn counter-clockwise, before moving; StyleGAN3.", metavar="DEG"
    ),
    grid: str | None = option(None, "One picture of a grid; or 'auto'.", metavar="COLSxROWS"),
    container: str | None = option(
        None, "folder, zip, or webdataset (tar shards); by default as --out.", metavar="NAME"
    ),
    shard_size: int | None = option(None, "Images of a WebDataset shard, by default 1000.", min=1),
    image_format: str | None = option(None, "png, jpeg, or webp.", "--format", metavar="NAME"),
    quality: int | None = option(None, "Of JPEG and WebP, by default 95.", min=1, max=100),
    compression: int | None = option(None, "Of PNG, by default 1: fast.", min=0, max=9),
    batch: int = BATCH,
    backend: str = BACKEND,
    provider: str = PROVIDER,
    precision: str = PRECISION,
    threads: int | None = THREADS,
    ray_address: str | None = option(
        None,
        "Draw tar shards on a Ray cluster: auto (this machine's), HOST:PORT, or local: start Ray.",
        "--ray",
        metavar="ADDRESS",
    ),
    force: bool = option(False, "Start over: replace what is there.", "--force"),
    json_: bool = JSON,
) -> None:
    """Draw pictures: a file for every seed, in a folder, a zip file or tar shards; or one grid.

    A folder or zip file comes with a manifest, a line per image. Run the same command again to go
    on after an interrupt or a crash.

    Example: stylert generate ffhq-bundle --seeds 0-31,40 --truncation-psi 0.7 --out images

    Example: stylert generate ffhq-bundle --seeds 0-49999 --shard-size 1000 --out shards
    """
    from stylert.apps.cluster.dataset_writing import write_dataset_on_ray
    from stylert.apps.datasets import DatasetJob, write_dataset
    from stylert.commands import destination

    one_picture = grid is not None or destination.is_picture(out_)
    if one_picture and ray_address is not None:
        raise typer.BadParameter(f"--ray: got one for {out_}, which is one picture")
    storage: dict[str, Any] = {"container": container, "shard_size": shard_size}
    storage |= {"image_format": image_format, "compression": compression}
    with _wrong_usage():
        numbers = parse_seeds("--seeds", seeds)
        if one_picture:
            columns, rows = destination.cells_of_picture(out_, images=len(numbers), grid=grid)
            file = PictureFile(out_, quality)
            destination.refuse_storage(out_, **storage)
        options: dict[str, Any] = {
            "truncation_psi": parse_psi("--truncation-psi", truncation_psi),
            "class_idx": parse_classes("--class", class_idx),
            "labels": parse_numbers("--labels", labels),
            "translate": parse_numbers("--translate", translate),
        }
        stored: dict[str, Any] = {}
        if not one_picture:
            stored = destination.storage_of(out_, quality=quality, **storage)
    options |= {"noise_mode": noise, "noise_seed": noise_seed, "rotate": rotate}
    options |= {"truncation_cutoff": truncation_cutoff}
    job = DatasetJob(seeds=numbers, options=options, **stored)  # type: ignore[arg-type]
    write: Callable[..., Any]
    if ray_address is not None:
        opening: dict[str, Any] = {"backend": backend, "provider": provider}
        opening |= {"precision": precision, "threads": threads, "max_batch": batch}
        write = partial(write_dataset_on_ray, bundle, job, out_, address=ray_address, **opening)
        return _write_dataset(write, None, job, out_, force=force, as_json=json_)
    with _open(bundle, backend, provider, precision, threads, batch) as generator:
        if not one_picture:
            write = partial(write_dataset, generator, job, out_)
            return _write_dataset(write, generator, job, out_, force=force, as_json=json_)
        file.check_new(force=force)
        with _progress() as progress:
            told = partial(progress, "drawing")
            file.write(grid_figure(generator, job, columns=columns, rows=rows, progress=told))
    return _tell_picture(generator, out_, as_json=json_)


def _tell_picture(generator: Generator, path: Path, *, as_json: bool) -> None:
    if as_json:
        return _print_json({"backend": generator.choice, "files": [str(path)]})
    _say(generator.choice)
    return _say(f"Wrote {path}.")


def _write_dataset(
    write: Callable[..., Any],
    generator: Generator | None,
    job: DatasetJob,
    path: Path,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Write all that is missing, and tell what that was."""
    there = 0
    try:
        with _image_progress() as progress:

            def update(done: int, total: int) -> None:
                nonlocal there
                there = done
                progress(done, total)

            result = write(force=force, progress=update)
    except (KeyboardInterrupt, StylertError, OSError):
        if there:
            again = "the same command again" + (", without --force" if force else "")
            _note(f"{there} of {len(job.seeds)} images are there. To go on, run {again}.")
        raise
    choice = result.choice if generator is None else generator.choice
    if as_json:
        return _print_json({"backend": choice, "files": [str(file) for file in result.files]})
    _say(choice)
    if not result.drawn:
        return _say(f"{path} is complete: {result.images} images, none were missing.")
    if result.drawn < result.images:
        others = f"beside the others of {result.images}"
        return _say(f"Wrote {result.drawn} images to {path}, {others}.")
    one = result.images == 1
    return _say(f"Wrote {next(result.files) if one else f'{result.images} images to {path}'}.")


@app.command()
def mix(
    bundle: Path = BUNDLE,
    rows: str = option(..., "Seeds, as 0-3, or ws in a .npy or .npz file.", metavar="LIST"),
    columns: str = option(..., "The same: what the layers come from.", metavar="LIST"),
    layers: str = option(..., "coarse, middle, fine, or 0-6,8.", metavar="NAMES"),
    out_: Path = PICTURE,
    truncation_psi: str | None = PSI,
    truncation_cutoff: int | None = CUTOFF,
    class_idx: str | None = option(
        None, "Class of a conditional generator, or one for each row.", "--class", metavar="LIST"
    ),
    column_class_idx: str | None = option(
        None, "Of the columns, if it is another; or one for each.", "--column-class", metavar="LIST"
    ),
    noise: str = NOISE,
    noise_seed: int | None = NOISE_SEED,
    framed: bool = option(True, "Show the sources along the left side and the top, too."),
    quality: int | None = QUALITY,
    batch: int = BATCH,
    backend: str = BACKEND,
    provider: str = PROVIDER,
    precision: str = PRECISION,
    threads: int | None = THREADS,
    force: bool = FORCE,
    json_: bool = JSON,
) -> None:
    """Draw a grid of pictures, every row with some layers of every column: style mixing.

    Example: stylert mix ffhq-bundle --rows 0-3 --columns 10-15 --layers coarse --out mix.png
    """
    with _wrong_usage():
        file = PictureFile(out_, quality)
        sources = [parse_source("--rows", rows), parse_source("--columns", columns)]
        classes = parse_classes("--class", class_idx)
        options = _seed_options(sources, truncation_psi, truncation_cutoff, classes)
        of_columns = dict(options)
        if column_class_idx is not None:
            check_options_of_seeds(sources[1:], {"--column-class": column_class_idx})
            of_columns["class_idx"] = parse_classes("--column-class", column_class_idx)
    file.check_new(force=force)
    with _open(bundle, backend, provider, precision, threads, batch) as generator:
        left = styles_of(generator, sources[0], **options)
        top = styles_of(generator, sources[1], **of_columns)
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
    _save_picture(generator, picture, file, as_json=json_)


@app.command()
def edit(
    bundle: Path = BUNDLE,
    seeds: str | None = option(
        None, "What to edit; a row for each.", "--seed", "--seeds", metavar="LIST"
    ),
    ws: Path | None = option(None, "Or ws in a .npy or .npz file.", metavar="FILE"),
    direction: str | None = option(
        None,
        "As --list-directions shows, a .npy or .npz file, or pca:0 for the first "
        "principal component, in standard deviations.",
        metavar="NAME",
    ),
    strengths: str = option(
        "-6:6:5", "FIRST:LAST:COUNT, or a list; write --strengths=-6:6:5.", metavar="LIST"
    ),
    layers: str = option(
        "all", "Those that move: coarse, middle, fine, or 0-6,8.", metavar="NAMES"
    ),
    out_: Path | None = option(None, ".png, .jpg or .webp.", "--out", metavar="FILE"),
    list_directions: bool = option(
        False, "Show the directions in the bundle.", "--list-directions"
    ),
    truncation_psi: str | None = PSI,
    truncation_cutoff: int | None = CUTOFF,
    class_idx: int | None = CLASS,
    noise: str = NOISE,
    noise_seed: int | None = NOISE_SEED,
    quality: int | None = QUALITY,
    batch: int = BATCH,
    backend: str = BACKEND,
    provider: str = PROVIDER,
    precision: str = PRECISION,
    threads: int | None = THREADS,
    force: bool = FORCE,
    json_: bool = JSON,
) -> None:
    """Draw a strip of pictures along a direction in w, weak to strong.

    Example: stylert edit ffhq-bundle --seed 7 --direction sefa_coarse_0 --out strip.png
    """
    if list_directions:
        return _list_directions(bundle, json_)
    if (seeds is None) == (ws is None):
        raise typer.BadParameter("pass --seed N or --ws FILE, one of them")
    if direction is None or out_ is None:
        raise typer.BadParameter(
            f"pass --{'direction NAME' if direction is None else 'out FILE'}, too"
        )
    with _wrong_usage():
        file = PictureFile(out_, quality)
        amounts = parse_strengths("--strengths", strengths)
        source = ws or parse_seed_list("--seed", seeds or "")
        options = _seed_options([source], truncation_psi, truncation_cutoff, class_idx)
    file.check_new(force=force)
    with _open(bundle, backend, provider, precision, threads, batch) as generator:
        styles = styles_of(generator, source, **options)
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
    return _save_picture(generator, picture, file, as_json=json_)


def _list_directions(path: Path, as_json: bool) -> None:
    """Show the directions of a bundle: the sets, and the names in them."""
    sets = Bundle.open(path).read_directions()
    if as_json:
        return _print_json({name: s.layers.tolist() for s in sets for name in s.names})
    if not sets:
        return _say(f"{path} has no directions. Export again, or use pca:0 or a file.")
    _print_table([s.row() for s in sets], title=str(path))
    return _say("And pca:0, pca:1, ...: what varies most in w. Or a .npy or .npz file.")


def _direction(generator: Generator, text: str, class_idx: int | None) -> Any:
    """A principal component, a direction of a file, or the name of one in the bundle."""
    with _wrong_usage():
        found = parse_direction("--direction", text, components=generator.spec.w_dim)
    if isinstance(found, int):
        return generator.pca(k=found + 1, class_idx=class_idx).direction(found)
    return generator.load_direction(found) if isinstance(found, Path) else found


@app.command()
def video(
    bundle: Path = BUNDLE,
    out_: Path = option(
        ...,
        ".mp4, .mov, .mkv, .webm, .gif or .webp; or a folder of PNG frames.",
        "--out",
        metavar="PATH",
    ),
    seeds: str | None = option(None, "Keyframes, such as 1,2,3 or 0-11.", metavar="LIST"),
    ws: Path | None = option(None, "Or keyframes of a .npy or .npz file.", metavar="FILE"),
    curve: str = option("cubic", "cubic (smooth) or linear, both through w, or slerp through z."),
    seconds: float = option(2.0, "From one keyframe to the next."),
    fps: float = option(30.0, "Frames a second."),
    loop: bool = option(False, "Go back to the first keyframe."),
    grid: str = option(
        "1x1", "Walks side by side; they share the keyframes out.", metavar="COLSxROWS"
    ),
    truncation_psi: str | None = option(
        None, "0.7; from 0:1; or by layers: coarse=0.5,fine=1.", metavar="PSI"
    ),
    truncation_cutoff: int | None = CUTOFF,
    class_idx: str | None = option(
        None,
        "One for all, one for each walk of a grid, or for each keyframe.",
        "--class",
        metavar="LIST",
    ),
    noise: str = option("const", "const, none, seeded, or animated."),
    noise_seed: int | None = NOISE_SEED,
    noise_turns: float = option(
        1.0, "How often animated noise goes around; a loop needs whole ones."
    ),
    translate: str | None = option(
        None, "Move right and down; X,Y:X,Y from to. StyleGAN3.", metavar="X,Y"
    ),
    rotate: str | None = option(
        None, "Turn counter-clockwise; 0:360 from to. StyleGAN3.", metavar="DEG"
    ),
    crf: int | None = option(None, "Of a video: 0 (no loss) to 51, by default 18.", min=0),
    quality: int | None = option(None, "Of .webp, by default 90.", min=1, max=100),
    batch: int = BATCH,
    backend: str = BACKEND,
    provider: str = PROVIDER,
    precision: str = PRECISION,
    threads: int | None = THREADS,
    force: bool = FORCE,
    json_: bool = JSON,
) -> None:
    """Draw a video that walks from keyframe to keyframe.

    What changes from A to B does so over the whole video; on a loop, there and back again.

    Example: stylert video ffhq-bundle --seeds 1,2,3 --seconds 2 --loop --out walk.mp4
    """
    from stylert.apps.video import VideoFile

    if (seeds is None) == (ws is None):
        raise typer.BadParameter("pass --seeds LIST or --ws FILE, one of them")
    file = VideoFile(out_, fps=fps, crf=crf, quality=quality, repeat=loop, force=force)
    with _wrong_usage():
        frames = frames_between(seconds, fps, name="--seconds")
        columns, rows = parse_cells("--grid", grid)
        source = ws or parse_seed_list("--seeds", seeds or "")
        options: dict[str, Any] = {
            "class_idx": parse_classes("--class", class_idx),
            "truncation_psi": parse_psi_ramp("--truncation-psi", truncation_psi),
            "translate": parse_ramp("--translate", translate, size=2),
            "rotate": parse_ramp("--rotate", rotate, size=1, turn=360),
        }
    batch = walk_batch(batch, columns * rows)
    with _open(bundle, backend, provider, precision, threads, batch) as generator:
        keyframes = generator.load_ws(source) if isinstance(source, Path) else source
        total = walk_length(len(keyframes), frames, walks=columns * rows, loop=loop)
        options |= {"noise_mode": noise, "noise_seed": noise_seed, "noise_turns": noise_turns}
        walks = walk_grid(
            generator,
            keyframes,
            columns=columns,
            rows=rows,
            frames=frames,
            curve=curve,
            loop=loop,
            truncation_cutoff=truncation_cutoff,
            **options,
        )
        with _image_progress() as progress:
            written = file.write(walks, total=total, progress=progress)
    if json_:
        facts = {**vars(written), "path": str(written.path)}
        return _print_json({"backend": generator.choice, **facts})
    _say(generator.choice)
    size = f"{written.frames} frames of {written.width}x{written.height}"
    return _say(f"Wrote {written.path}: {size}, {written.seconds:.1f} s, {written.codec}.")


@app.command()
def serve(
    bundle: Path = BUNDLE,
    host: str = option("127.0.0.1", "Address to listen at; 0.0.0.0 is reached by other machines."),
    port: int = option(8000, "0 = any that is free.", min=0, max=65535),
    token: str | None = option(
        None, "Ask for it: 'Authorization: Bearer TOKEN'.", envvar="STYLERT_TOKEN"
    ),
    max_queue: int = option(256, "Images that may wait; more are refused with 429.", min=1),
    max_images: int = option(64, "Images of one request.", min=1),
    seconds: float = option(60.0, "That a request may take; then it ends with 504.", min=0.1),
    batch: int = BATCH,
    backend: str = BACKEND,
    provider: str = PROVIDER,
    precision: str = PRECISION,
    threads: int | None = THREADS,
) -> None:
    """Serve pictures over HTTP, and a page to play with. Ctrl-C ends it.

    Example: stylert serve ffhq-bundle --port 8000
    """
    need("fastapi", "uvicorn", "prometheus_client", extra="serve")
    from stylert.apps.serving.server import serve as serve_http
    from stylert.apps.serving.settings import Settings

    most = min(max_images, max_queue)
    settings = Settings(max_queue=max_queue, max_images=most, draw_seconds=seconds, token=token)
    with _open(bundle, backend, provider, precision, threads, batch) as generator:
        _say(generator.choice)
        serve_http(
            generator,
            host=host,
            port=port,
            settings=settings,
            ready=lambda address: _say(f"Serving {bundle} at {address} (Ctrl-C ends it)"),
        )


@app.command()
def bench(
    bundle: Path | None = argument(None, "Or --untrained instead.", metavar="BUNDLE"),
    checkpoint: str | None = option(None, "The bundle's checkpoint, for PyTorch.", metavar="FILE"),
    untrained: str | None = option(
        None, "Random weights: stylegan2-256, -512, -1024.", metavar="NAME"
    ),
    backends: str | None = option(
        None,
        "onnxruntime, torch-eager, torch-compile, each also with -cuda or -fp16 for a GPU "
        "in float32 or half, and tensorrt.",
        metavar="LIST",
    ),
    batch: str = option("1,4,8", "Batch sizes.", metavar="LIST"),
    threads: int | None = THREADS,
    rounds: int = option(10, "Turns of each candidate.", min=1),
    max_seconds: float = option(120.0, "Time for the turns of a batch size.", min=1),
    network: str | None = NETWORK,
    plot: Path | None = option(None, "Draw the result.", metavar="FILE"),
    save: Path | None = option(None, "Write JSON with all samples.", "--out", metavar="FILE"),
    plan: int | None = option(
        None, "Machines, hours and cost of so many, by what was timed.", metavar="IMAGES", min=1
    ),
    price: float | None = option(None, "Of a machine for an hour, for --plan.", min=0),
    hours: float | None = option(None, "In which they are to be done, for --plan.", min=0.01),
    json_: bool = JSON,
) -> None:
    """Time backends side by side, and check the pictures of the very sessions timed.

    Example: stylert bench ffhq-bundle --checkpoint ffhq.pkl --batch 1,4 --plot bench.png

    Example: stylert bench ffhq-bundle --plan 1000000 --price 1.20 --hours 8
    """
    _check_plan(plan, price, hours)
    with _wrong_usage():
        batches = parse_counts("--batch", batch)
    if (bundle is None) == (untrained is None):
        raise typer.BadParameter("pass a BUNDLE or --untrained NAME, one of them")
    _check_plot(plot)
    if untrained is not None:
        checkpoint = f"untrained:{untrained}"
    if checkpoint is not None:
        need(*EXPORT_PACKAGES, extra="export")
    from stylert.apps.bench.bundle_bench import MAY_FAIL, bench_bundle, bundle_of, parse_backends

    with _wrong_usage():
        names = parse_backends("--backends", backends, with_checkpoint=checkpoint is not None)
    with ExitStack() as stack:
        if checkpoint is not None:
            model = _read(checkpoint, network)
            bundle = stack.enter_context(bundle_of(model, bundle, say=_warn))
        assert bundle is not None
        progress = stack.enter_context(_progress())
        result = bench_bundle(
            bundle,
            names,
            checkpoint=checkpoint,
            network=network,
            batches=batches,
            threads=threads,
            rounds=rounds,
            max_seconds=max_seconds,
            progress=lambda message, share: progress(message, round(share * 100), 100),
        )
        sizing = None if plan is None else _sizing(bundle, result, plan, price, hours)
        half_note = tell_half(Bundle.open(bundle, check_files=False).manifest.get("half", {}))
    _tell_bench(result, json_, save, plot, sizing, half_note)
    if wrong := result.parity_failures():
        raise ParityError(f"Parity of what was timed: {wrong[0]}")
    failures = result.failures()
    if needed := [name for name in failures if backends is not None or name not in MAY_FAIL]:
        raise EngineError(f"{needed[0]} was not timed to the end: {failures[needed[0]]}")


def _check_plan(plan: int | None, price: float | None, hours: float | None) -> None:
    if plan is None and (price is not None or hours is not None):
        raise typer.BadParameter("--price and --hours go with --plan IMAGES")


def _check_plot(plot: Path | None) -> None:
    if plot is not None:
        need("matplotlib", extra="plot")
        if plot.suffix not in (".png", ".svg", ".pdf"):
            raise typer.BadParameter(f"--plot: got {plot.name!r}, expected .png, .svg or .pdf")


def _sizing(
    bundle: Path, result: BenchResult, plan: int, price: float | None, hours: float | None
) -> Sizing:
    """What so many images would take, by what was timed."""
    from stylert.apps.bench.sizing import size_job

    return size_job(bundle, result, plan, price=price, hours=hours)


def _tell_bench(
    result: BenchResult,
    as_json: bool,
    save: Path | None,
    plot: Path | None,
    sizing: Sizing | None,
    half_note: str | None,
) -> None:
    """Save the result, print it and what follows for many images, and plot it."""
    from stylert.apps.bench.plot import plot as draw
    from stylert.apps.bench.table import table_of

    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(result.to_json(), encoding="utf-8")
    if as_json and sizing is not None:
        _print_json({**json.loads(result.to_json()), "plan": sizing.to_json()})
    elif as_json:
        typer.echo(result.to_json())
    else:
        title = f"{result.subject}, {result.settings['threads']} threads"
        _print_table(table_of(result), title=title, numbers=True)
        for line in (*([half_note] if half_note else []), *result.warnings()):
            _warn(line)
    if sizing is not None and not as_json:
        _print_table(sizing.texts(), title=f"{sizing.images:,} images", numbers=True)
        for line in sizing.told():
            _say(line)
    if plot is not None:
        plot.parent.mkdir(parents=True, exist_ok=True)
        draw(result, plot)


@app.command()
def info(
    path: str = argument(..., "A bundle or a checkpoint.", metavar="PATH"),
    network: str | None = NETWORK,
    json_: bool = JSON,
) -> None:
    """Show what a bundle or a checkpoint holds: architecture, parameters, multiply-adds, sizes.

    Example: stylert info ffhq.pkl
    """
    from stylert.export.network_facts import read_facts, tell_rows

    is_bundle = Path(path).is_dir()
    facts = read_facts(path) if is_bundle else _read(path, network).describe()
    if json_:
        return _print_json(facts)
    rows = [{"what": what, "value": value} for what, value in tell_rows(path, facts)]
    return _print_table(rows, title=path, header=False)


@app.command()
def doctor(json_: bool = JSON) -> None:
    """Show what is installed, what works on this machine, and what to install for the rest.

    Example: stylert doctor
    """
    from stylert.apps.checks.doctor import diagnose

    findings = diagnose()
    if json_:
        return _print_json([vars(finding) for finding in findings])
    return _print_table([finding.row() for finding in findings])


@app.command("build-engine")
def build_engine(
    bundle: Path = BUNDLE,
    compiler: str = option("auto", "tensorrt, tensorrt-rtx, or auto: what this machine can use."),
    precision: str = option("fp16", "Of the synthesis: fp16 or fp32."),
    batch: str = option("1,4,8", "1,4,8: an engine for each; 1:4:8: for a range.", metavar="LIST"),
    output: str = option("image", "image (uint8), img (float32), or both."),
    sm: str = option("", "TensorRT-RTX: GPUs to build for, as 86,89,120.", metavar="LIST"),
    optimization_level: int | None = option(
        None, "0: fast build, 5: fast engine.", "--opt-level", min=0, max=5
    ),
    workspace: int | None = option(
        None, "Scratch memory that kernels may use.", metavar="MB", min=1
    ),
    version_compatible: bool = option(
        False, "Later TensorRT versions run it, too.", "--version-compatible"
    ),
    hardware_compatible: bool = option(
        False, "All GPUs from Ampere on run it.", "--hardware-compatible"
    ),
    refittable: bool = option(False, "Another checkpoint's weights can be loaded.", "--refittable"),
    force: bool = option(False, "Build what is up to date, too.", "--force"),
    json_: bool = JSON,
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
            say=_note,
        )
    if json_:
        return _print_json([plan.to_json() for plan in plans])
    return _print_table([plan.row() for plan in plans])


@app.command()
def triton(
    bundle: Path = BUNDLE,
    repository: Path = option(..., "The model repository.", "--out", metavar="REPOSITORY"),
    check: bool = option(
        False, "Write nothing: hold a repository against the bundle and this machine.", "--check"
    ),
    backend: str = option("auto", "tensorrt, onnxruntime, python (StyleRT on the CPU), or auto."),
    device: str = option("auto", "gpu, cpu, or auto: the GPU, but for python."),
    precision: str = PRECISION,
    tensorrt: str = option(
        "", "The server's TensorRT, as 10.13; by default the newest with plans.", metavar="VERSION"
    ),
    batch: int | None = option(
        None, "Images of one launch, by default as many as the plans hold, or 8.", min=1
    ),
    instances: int = option(1, "Copies of both graphs on each GPU.", min=1),
    fronts: int = option(2, "Processes that make latents and noise.", min=1),
    queue_delay: float = option(
        2.0, "That a request waits for others.", metavar="MILLISECONDS", min=0
    ),
    threads: int | None = THREADS,
    max_inflight: int = option(
        0, "Requests that wait between two models, 0 = any; for servers from 25.11 on.", min=0
    ),
    version: int = option(1, "Of the models.", min=1),
    prefix: str = option("", "Of the models' names.", metavar="TEXT"),
    force: bool = FORCE,
    json_: bool = JSON,
) -> None:
    """Write a model repository for Triton Inference Server, or check one.

    Example: stylert triton ffhq-bundle --out models
    """
    from stylert.engines.triton import check_repository, write_repository

    if check:
        made = check_repository(bundle, repository)
    else:
        made = write_repository(
            bundle,
            repository,
            backend=backend,
            device=device,
            precision=precision,
            tensorrt=tensorrt,
            max_batch=batch,
            instances=instances,
            fronts=fronts,
            queue_delay=queue_delay,
            threads=threads,
            max_inflight=max_inflight,
            version=version,
            prefix=prefix,
            force=force,
            say=_note,
        )
    if json_:
        return _print_json(made.to_json())
    if check:
        return _say(f"{repository} is what {bundle} gives, and fits this machine.")
    _say(f"Wrote {repository}: the models {', '.join(made.models)}.")
    _say(f"Serve with: tritonserver --model-repository {repository} --disable-auto-complete-config")
    return None


@app.command()
def ray(
    bundle: Path = BUNDLE,
    address: str = option(
        "auto", "Of the cluster: auto (this machine's), HOST:PORT, or local: start Ray here."
    ),
    out_: Path | None = option(
        None, "Serve nothing: write a file for `serve deploy`.", "--out", metavar="FILE"
    ),
    host: str = option("127.0.0.1", "Address to listen at; 0.0.0.0 is reached by other machines."),
    port: int = option(8000, "0 = any that is free.", min=0, max=65535),
    token: str | None = option(
        None, "Ask for it: 'Authorization: Bearer TOKEN'.", envvar="STYLERT_TOKEN"
    ),
    replicas: str = option("1", "How many; 1:4 = as many as the load asks for.", metavar="MIN:MAX"),
    cpus: float = option(1.0, "Of a replica; without a GPU, also its threads.", min=0),
    gpus: float = option(0.0, "Of a replica; 0.5 = two share one.", min=0),
    max_queue: int = option(256, "Images that may wait in a replica.", min=1),
    max_images: int = option(64, "Images of one request.", min=1),
    seconds: float = option(60.0, "That a request may take; then it ends with 504.", min=0.1),
    batch: int = BATCH,
    backend: str = BACKEND,
    provider: str = PROVIDER,
    precision: str = PRECISION,
    force: bool = FORCE,
) -> None:
    """Serve pictures on a Ray cluster, as `serve` does on one machine. Ctrl-C ends it.

    Example: stylert ray ffhq-bundle --address local --replicas 1:2

    Example: stylert ray ffhq-bundle --gpus 0.5 --replicas 1:16 --out serve.yaml
    """
    need("ray", extra="ray")
    from stylert.apps.cluster.serving_config import serve_yaml
    from stylert.apps.cluster.serving_options import RayOptions
    from stylert.apps.cluster.serving_server import serve_on_ray

    with _wrong_usage():
        least, most = parse_range("--replicas", replicas)
    given = {"bundle": str(bundle), "token": token, "cpus": cpus, "gpus": gpus, "batch": batch}
    given |= {"min_replicas": least, "max_replicas": most, "seconds": seconds}
    given |= {"max_queue": max_queue, "max_images": max_images}
    given |= {"backend": backend, "provider": provider, "precision": precision}
    options = RayOptions.parse(given)
    if out_ is None:
        return serve_on_ray(
            options,
            address=address,
            host=host,
            port=port,
            ready=lambda at: _say(f"Serving {bundle} at {at} (Ctrl-C ends it)"),
        )
    text = serve_yaml(options, host=host, port=port)
    if out_.exists() and not force:
        raise InvalidInput(f"{out_} exists. Pass --force to replace it, or choose another --out.")
    out_.write_text(text, encoding="utf-8")
    return _say(f"Wrote {out_}. Deploy it: serve deploy {out_}")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line. Exits 0, 1 (the job failed), 2 (wrong usage) or 130 (interrupted)."""
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = lambda message, *_: _warn(str(message))
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="stylert", standalone_mode=False)
        if code == 130:  # what typer makes of a KeyboardInterrupt, by its version
            return _fail("interrupted", code)
        return code if isinstance(code, int) else 0
    except StylertError as error:
        if isinstance(error, ParityError) and error.report is not None:
            _print_table(error.report.make_table(), title=PARITY, console=err)
            if error.report.chaotic:
                return _fail(f"{error} To accept it all the same, pass --allow-chaotic.", 1)
        return _fail(str(error), 2 if type(error) is InvalidInput else 1)
    except BrokenPipeError:  # the reader of our output has gone, as in `stylert info x | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1)
    except MemoryError:
        return _fail("out of memory", 1)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except Exception as error:
        # Wrong usage: an exception of typer's or of click's, by typer's version.
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            raise
        message = error.format_message()
        context = getattr(error, "ctx", None)
        command_path = context.command_path if context is not None else "stylert"
        return _fail(f"{message} (see '{command_path} --help')", 2) if message else 2


def _terminate(*_: object) -> NoReturn:
    raise KeyboardInterrupt  # so that what is half written is removed on SIGTERM, too


@contextmanager
def _wrong_usage() -> Iterator[None]:
    """Wrong usage: what is wrong with options is told with a hint to --help."""
    try:
        yield
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from None


def _read(checkpoint: str, network: str | None = None) -> Checkpoint:
    from stylert.export.checkpoints import read_checkpoint

    with err.status("reading the checkpoint"):
        model = read_checkpoint(checkpoint, network=network)
    for note in model.notes:
        _note(note)
    return model


def _open(
    bundle: Path, backend: str, provider: str, precision: str, threads: int | None, batch: int
) -> Generator:
    where: dict[str, Any] = {"backend": backend, "provider": provider, "threads": threads}
    return Generator.open(bundle, precision=precision, max_batch=batch, **where)


def _seed_options(
    sources: Sequence[Any],
    psi: str | None,
    cutoff: int | None,
    class_idx: int | Sequence[int] | None,
) -> dict[str, Any]:
    """Options of styles, which files of ws do not take."""
    truncation_psi = parse_psi("--truncation-psi", psi)
    options = {"--truncation-psi": truncation_psi, "--truncation-cutoff": cutoff}
    check_options_of_seeds(sources, {**options, "--class": class_idx})
    return {"truncation_psi": truncation_psi, "truncation_cutoff": cutoff, "class_idx": class_idx}


def _save_picture(generator: Generator, picture: Any, file: PictureFile, *, as_json: bool) -> None:
    file.write(picture)
    height, width = picture.shape[:2]
    if as_json:
        facts = {"file": str(file.path), "width": width, "height": height}
        return _print_json({"backend": generator.choice, **facts})
    _say(generator.choice)
    return _say(f"Wrote {file.path}: {width}x{height} pixels.")


@contextmanager
def _progress(*columns: bars.ProgressColumn) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr for each stage of the work; gone when it is done."""
    bar = bars.Progress(
        *(bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn()),
        *(*columns, bars.TimeElapsedColumn(), bars.TimeRemainingColumn()),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    tasks: dict[str, Any] = {}

    def update(stage: str, done: int, total: int) -> None:
        if stage not in tasks:  # what was there before says nothing of the rate
            tasks[stage] = bar.add_task(stage, completed=done)
        bar.update(tasks[stage], completed=done, total=total)

    with bar:
        yield update


@contextmanager
def _image_progress() -> Iterator[Callable[[int, int], None]]:
    """Progress of many images: a bar with the rate, or a line now and then in a log."""
    if not err.is_terminal:
        yield ProgressLog(_note, seconds=LOG_SECONDS)
        return
    with _progress(_Rate()) as progress:
        yield partial(progress, "drawing")


class _Rate(bars.ProgressColumn):
    """Images per second, over the last half minute."""

    def render(self, task: bars.Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} images/s")


def _print_table(
    rows: Sequence[Mapping[str, str]],
    *,
    title: str | None = None,
    header: bool = True,
    numbers: bool = False,  # in all columns but the first
    console: Console | None = None,
) -> None:
    """Print rows, which are texts by heading."""
    table = Table(title=title, title_justify="left", show_header=header)
    for i, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if numbers and i else "left")
    for row in rows:
        table.add_row(*(Text(cell, CELLS.get(cell, "")) for cell in row.values()))
    (console or out).print(table)


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=1))


def _say(line: str) -> None:
    """A line on stdout, never broken in two."""
    out.print(line, soft_wrap=True)


def _tell(kind: str, line: str) -> None:
    """A line on stderr: a note, a warning, or an error."""
    err.print(f"{kind}: {line}", style=LINES[kind], soft_wrap=True)


_note = partial(_tell, "note")
_warn = partial(_tell, "warning")


def _fail(message: str, code: int) -> int:
    """One line on stderr, and the exit code."""
    _tell("error", " ".join(message.split()))
    return code


if __name__ == "__main__":
    main()

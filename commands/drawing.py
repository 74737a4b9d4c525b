"""`stylert generate`: the pictures of seeds or styles, as files of their own or as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from stylert.commands import console
from stylert.commands.figures import draw_grid, draw_sweep
from stylert.commands.latents import read_style_file
from stylert.commands.options import AsJson, BundleFolder, WhereHere, in_output, in_where
from stylert.commands.picture import Picture, in_picture
from stylert.commands.storage import Storage, is_picture
from stylert.commands.target_files import check_channels, check_picture
from stylert.commands.text.numbers import MOST_CELLS, parse_grid
from stylert.commands.text.seeds import parse_seeds
from stylert.commands.text.styles import parse_psis
from stylert.runtime.bundle import Bundle
from stylert.runtime.drawing_options import DrawingOptions
from stylert.runtime.errors import InvalidInput, StylertError
from stylert.runtime.images import save_image

if TYPE_CHECKING:
    from stylert.apps.datasets import DatasetJob, Seeds

__all__ = ["generate"]

DEFAULT_SEEDS = "0-15"


@dataclass(frozen=True, kw_only=True)
class SweptPicture(Picture):
    """How pictures are drawn; with several psis, all of them with each."""

    truncation_psi: Annotated[
        Any,
        in_picture(
            "Truncation: 1 = as trained, 0 = the mean picture, or by layers: coarse=0.5,fine=1; by "
            "default the network's own. 0,0.5,1 makes a sheet: a row for a seed.",
            read=parse_psis,
        ),
    ] = None

    @property
    def psis(self) -> tuple[float, ...]:
        """Those of a sheet; none where there is one for all pictures."""
        return self.truncation_psi if isinstance(self.truncation_psi, tuple) else ()

    def to_options(self) -> DrawingOptions:
        """Those that were given, with the first psi of a sheet."""
        first: DrawingOptions = {"truncation_psi": self.psis[0]} if self.psis else {}
        return {**super().to_options(), **first}


def generate(
    bundle: BundleFolder,
    *,
    seeds: Annotated[
        Any, in_picture("Seeds, such as 0-31,40; 0-15 by default.", read=parse_seeds)
    ] = None,
    ws: Annotated[Path | None, in_picture("File of ws to draw instead: .npy, .npz or .pt.")] = None,
    picture: SweptPicture,
    out: Annotated[Path, in_output("Folder, .zip file, or one .png, .jpg, .webp, .tiff or .npy.")],
    grid: Annotated[Any, in_output("One grid of all: COLSxROWS or auto.", read=parse_grid)] = None,
    force: Annotated[bool, in_output("Start over: replace what is there.", "--force")] = False,
    as_json: AsJson = False,
    storage: Storage,
    where: WhereHere,
    ray_address: Annotated[
        str | None, in_where("Ray cluster for tar shards: auto, HOST:PORT, or local.", "--ray")
    ] = None,
) -> None:
    """Draw pictures: a file for every seed, in a folder, a zip file or tar shards; or one grid.

    A folder or zip file comes with a manifest, a line per image. Run the same command again to go
    on after an interrupt or a crash. Of several classes, the pictures take turns. Seeded noise is
    by each picture's seed, if no other is given. A Ray cluster is this machine's (auto), or one
    that is started here (local).

    Example: stylert generate ffhq-bundle --seeds 0-31,40 --truncation-psi 0.7 --out images

    Example: stylert generate ffhq-bundle --seeds 0-3 --truncation-psi 0,0.5,1 --out sheet.png

    Example: stylert generate ffhq-bundle --seeds 0-49999 --shard-size 1000 --out shards
    """
    from stylert.apps.datasets import DatasetJob

    if seeds is not None and ws is not None:
        raise typer.BadParameter("pass --seeds LIST or --ws FILE, one of them")
    how = {**_find_source(bundle, seeds, ws), "options": picture.to_options()}
    if grid is None and not is_picture(out):
        if picture.psis:
            raise InvalidInput(
                f"truncation_psi: got {len(picture.psis)} values for the folder {out}, expected "
                "one. Several make one picture: out='x.png'"
            )
        job = DatasetJob(**how, **storage.to_options(out))
        return _write_many(bundle, job, out, where, ray_address, force=force, as_json=as_json)
    form = storage.to_picture_options(out) if is_picture(out) else {}
    job = DatasetJob(**how, **form)
    if ray_address is not None:
        raise typer.BadParameter(f"--ray: got one for {out}, which is one picture")
    draw = _choose_figure(job, picture.psis, out, grid)
    check_picture(out, quality=storage.quality, force=force)
    with where.open(bundle) as generator, console.show_progress() as progress:
        check_channels(out, generator.spec.img_channels)
        figure = draw(generator, progress=partial(progress, "drawing"))
    save_image(figure, out, quality=storage.quality)
    facts = {"backend": generator.choice, "files": [str(out)]}
    return console.tell_result(facts, generator.choice, f"Wrote {out}.", as_json=as_json)


def _find_source(bundle: Path, seeds: Seeds | None, ws: Path | None) -> dict[str, Any]:
    """What is drawn, as keywords of `DatasetJob`."""
    if ws is None:
        return {"seeds": parse_seeds(DEFAULT_SEEDS) if seeds is None else seeds}
    from stylert.apps.datasets import Seeds

    styles = read_style_file(ws, Bundle.open(bundle, check_files=False).spec)
    return {"seeds": Seeds.of(range(len(styles))), "ws": styles}


def _choose_figure(
    job: DatasetJob, psis: tuple[float, ...], out: Path, grid: Any
) -> Callable[..., np.ndarray]:
    """What draws the one picture of all images: a sheet of psis, or a grid."""
    if not psis:
        cells = _find_cells(out, grid, images=len(job.seeds))
        return partial(draw_grid, job=job, cells=cells)
    if grid is not None:
        raise InvalidInput("grid: got one for several truncation_psi, which make one themselves")
    _check_cells("truncation_psi", len(job.seeds) * len(psis))
    return partial(draw_sweep, job=job, psis=psis)


def _write_many(
    bundle: Path,
    job: DatasetJob,
    out: Path,
    where: WhereHere,
    ray_address: str | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Write a data set, and tell how much of it was drawn."""
    from stylert.apps.cluster.dataset_writing import write_dataset_on_ray
    from stylert.apps.datasets import open_for_job, write_dataset

    result: Any
    if ray_address is not None:
        on_ray: dict[str, Any] = {"address": ray_address, **vars(where)}
        with _show_way_on(len(job.seeds), force=force) as progress:
            result = write_dataset_on_ray(
                bundle, job, out, force=force, progress=progress, **on_ray
            )
        choice = result.choice
    else:
        generator, workers = open_for_job(bundle, job, out, force=force, **vars(where))
        with generator, _show_way_on(len(job.seeds), force=force) as progress:
            how: dict[str, Any] = {"force": force, "workers": workers}
            result = write_dataset(generator, job, out, progress=progress, **how)
        choice = generator.choice if workers == 1 else f"{workers} workers, each {generator.choice}"
    one = result.drawn == result.images == 1
    files = [str(file) for file in result.files] if as_json or one else []
    done = f"Wrote {files[0] if one else f'{result.drawn} images to {out}'}."
    if not result.drawn:
        done = f"{out} is complete: {result.images} images, none were missing."
    elif result.drawn < result.images:
        done = f"Wrote {result.drawn} images to {out}, beside the others of {result.images}."
    facts = {"backend": choice, "files": files}
    return console.tell_result(facts, choice, done, as_json=as_json)


def _find_cells(out: Path, grid: Any, *, images: int) -> tuple[int, int] | None:
    """Columns and rows of the one picture that all images go into; None = as square as it gets."""
    if grid is None:
        if images == 1:
            return 1, 1
        raise InvalidInput(f"{out} is one file for {images} images. Pass a folder, or grid=auto.")
    _check_cells("grid", images)
    if grid == "auto":
        return None
    columns, rows = grid
    if columns * rows < images:
        expected = f"COLSxROWS for {images} images, or auto"
        raise InvalidInput(f"grid: got '{columns}x{rows}', expected {expected}")
    return columns, rows


def _check_cells(name: str, images: int) -> None:
    if images > MOST_CELLS:
        raise InvalidInput(f"{name}: got {images} images, expected up to {MOST_CELLS}")


@contextmanager
def _show_way_on(images: int, *, force: bool) -> Iterator[Callable[[int, int], None]]:
    """Progress of many images; where they are not drawn to the end, how to go on."""
    there = 0
    try:
        with console.show_image_progress() as progress:

            def update(done: int, total: int) -> None:
                nonlocal there
                there = done
                progress(done, total)

            yield update
    except (KeyboardInterrupt, StylertError, OSError):
        if there:
            again = "the same command again" + (", without --force" if force else "")
            console.note(f"{there} of {images} images are there. To go on, run {again}.")
        raise

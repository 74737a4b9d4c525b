"""`stylert generate`: the pictures of seeds, as files of their own or as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from stylert.commands import console
from stylert.commands.figures import draw_grid
from stylert.commands.options import AsJson, BundleFolder, WhereHere, in_output, in_where
from stylert.commands.picture import Picture, in_picture
from stylert.commands.storage import Storage, is_picture
from stylert.commands.target_files import check_picture, write_picture
from stylert.commands.text.numbers import MOST_CELLS, parse_grid
from stylert.commands.text.seeds import parse_seeds
from stylert.runtime.errors import InvalidInput, StylertError

__all__ = ["generate"]


def generate(
    bundle: BundleFolder,
    *,
    seeds: Annotated[Any, in_picture("Seeds, such as 0-31,40.", read=parse_seeds)] = "0-15",
    picture: Picture,
    out: Annotated[Path, in_output("Folder, .zip file, or one .png, .jpg or .webp to write.")],
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

    Example: stylert generate ffhq-bundle --seeds 0-49999 --shard-size 1000 --out shards
    """
    from stylert.apps.cluster.dataset_writing import write_dataset_on_ray
    from stylert.apps.datasets import DatasetJob, write_dataset

    options = picture.to_options()
    if grid is not None or is_picture(out):
        if ray_address is not None:
            raise typer.BadParameter(f"--ray: got one for {out}, which is one picture")
        cells = _find_cells(out, grid, images=len(seeds))
        check_picture(out, quality=storage.quality, force=force)
        storage.check_unused(out)
        job = DatasetJob(seeds=seeds, options=options)
        with where.open(bundle) as generator, console.show_progress() as progress:
            figure = draw_grid(generator, job, cells, progress=partial(progress, "drawing"))
        write_picture(figure, out, quality=storage.quality)
        facts = {"backend": generator.choice, "files": [str(out)]}
        return console.tell_result(facts, generator.choice, f"Wrote {out}.", as_json=as_json)
    job = DatasetJob(seeds=seeds, options=options, **storage.to_options(out))
    result: Any
    if ray_address is not None:
        on_ray: dict[str, Any] = {"address": ray_address, **vars(where)}
        with _show_way_on(len(seeds), force=force) as progress:
            result = write_dataset_on_ray(
                bundle, job, out, force=force, progress=progress, **on_ray
            )
        choice = result.choice
    else:
        with where.open(bundle) as generator, _show_way_on(len(seeds), force=force) as progress:
            result = write_dataset(generator, job, out, force=force, progress=progress)
        choice = generator.choice
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
    if images > MOST_CELLS:
        raise InvalidInput(f"grid: got {images} images, expected up to {MOST_CELLS}")
    if grid == "auto":
        return None
    columns, rows = grid
    if columns * rows < images:
        expected = f"COLSxROWS for {images} images, or auto"
        raise InvalidInput(f"grid: got '{columns}x{rows}', expected {expected}")
    return columns, rows


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

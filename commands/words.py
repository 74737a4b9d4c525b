"""`stylert search`: pictures by words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stylert.commands import console
from stylert.commands.options import AsJson, BundleFolder, Force, WhereHere, in_output, in_panel
from stylert.commands.target_files import check_channels, check_new, check_picture
from stylert.commands.text.seeds import parse_class
from stylert.commands.text.styles import parse_psi
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import save_image

__all__ = ["Clip", "search"]

in_search = in_panel("Search")

Clip = Annotated[Path, in_search("Folder of a CLIP-like pair of ONNX networks, and its tokenizer.")]


def search(
    bundle: BundleFolder,
    text: Annotated[str, typer.Argument(help="What to look for.", metavar="TEXT")],
    *,
    clip: Clip,
    out: Annotated[Path, in_output("Picture to write; of several, their names get numbers.")],
    ws: Annotated[Path | None, in_output("File for the ws that were found: .npz.")] = None,
    results: Annotated[int, in_search("Pictures to find, the best first.", min=1, max=64)] = 1,
    seeds_start: Annotated[int, in_search("Samples to start at the best of.", min=1)] = 256,
    first_seed: Annotated[int, in_search("Seed of the first sample.", min=0)] = 0,
    generations: Annotated[
        int, in_search("Generations of CMA-ES from there, each of some 12 pictures.", min=0)
    ] = 30,
    steps: Annotated[
        int, in_search("Steps by gradients after that; the bundle needs a gradient.", min=0)
    ] = 0,
    truncation_psi: Annotated[
        Any, in_search("Truncation of the samples; by default the network's own.", read=parse_psi)
    ] = None,
    class_idx: Annotated[
        Any, in_search("Class of the samples; by default all.", "--class", read=parse_class)
    ] = None,
    seed: Annotated[int, in_search("Seed of the search.", min=0)] = 0,
    force: Force = False,
    as_json: AsJson = False,
    where: WhereHere,
) -> None:
    """Find the picture that a text tells of, as a pair of networks sees both.

    generate --ws, edit, mix and video take the ws that were found.

    Example: stylert search ffhq-bundle "a smiling child" --clip clip-vit-b32 --out best.png
    """
    from stylert.apps.projection.result_file import write_result
    from stylert.apps.words import Pair, SearchSettings, search_text

    settings = SearchSettings(
        seeds_start=seeds_start,
        first_seed=first_seed,
        generations=generations,
        steps=steps,
        results=results,
        truncation_psi=truncation_psi,
        class_idx=class_idx,
        seed=seed,
    )
    files = _name_files(out, results)
    for file in files:
        check_picture(file, force=force)
    if ws is not None:
        if ws.suffix != ".npz":
            raise InvalidInput(f"ws: got {ws}, expected the name of a .npz file")
        check_new(ws, force=force)
    pair = Pair.open(clip, threads=where.threads)
    with where.open(bundle) as generator, console.show_progress() as progress:
        check_channels(out, generator.spec.img_channels)
        found = search_text(generator, pair, text, settings, progress=progress)
    for file, image in zip(files, found.images, strict=True):
        save_image(image, file)
    if ws is not None:
        write_result(ws, found.ws)
    similarity = [round(float(s), 4) for s in found.similarity]
    facts = {
        "out": [str(file) for file in files],
        "similarity": similarity,
        "known": found.known,
        "backend": generator.choice,
    }
    lines = [
        f"Wrote {file}: similarity {s:.3f}." for file, s in zip(files, similarity, strict=True)
    ]
    console.tell_result(facts, *lines, as_json=as_json)


def _name_files(out: Path, count: int) -> list[Path]:
    """The files of the pictures, of which the first is the best."""
    if count == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{i}{out.suffix}") for i in range(1, count + 1)]

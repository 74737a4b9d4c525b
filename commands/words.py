"""`stylert search`: pictures by words; and what a text asks of `stylert edit`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from stylert.commands import console
from stylert.commands.idle import refuse_idle
from stylert.commands.latents import read_ws
from stylert.commands.options import AsJson, BundleFolder, Force, WhereHere, in_output, in_panel
from stylert.commands.target_files import check_channels, check_picture, check_styles
from stylert.commands.text.seeds import parse_class
from stylert.commands.text.styles import parse_psi
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import save_image

if TYPE_CHECKING:
    from stylert.apps.words import Pair
    from stylert.runtime.generator import Generator

__all__ = ["TextEdit", "search"]

Progress = Callable[[str, int, int], None]

in_search = in_panel("Search")
in_words = in_panel("Words")

Clip = Annotated[Path, in_search("Folder of a CLIP-like pair of ONNX networks, and its tokenizer.")]


@dataclass(frozen=True, kw_only=True)
class TextEdit:
    """An edit that a text tells of; the bundle needs a style space."""

    text: Annotated[str | None, in_words("What to change to, in the place of --direction.")] = None
    neutral: Annotated[
        str | None,
        in_words(
            "What the pictures show, without the change. Without it, each picture is brought to the"
            " text from where it is; strength 1 is all the way."
        ),
    ] = None
    clip: Annotated[
        Path | None, in_words("Folder of a CLIP-like pair of ONNX networks, and its tokenizer.")
    ] = None
    beta: Annotated[
        float | None,
        in_words(
            "With --neutral: agreement below which channels stay; by default chance's.",
            min=0,
        ),
    ] = None
    table_pictures: Annotated[
        int | None,
        in_words("Pictures of the table, made once for a pair: 2000; 20 with --neutral.", min=1),
    ] = None

    def check(self, direction: object) -> None:
        """Refuse words that are not complete, and two ways at once."""
        if (direction is None) == (self.text is None):
            raise typer.BadParameter("pass --direction NAME or --text TEXT, one of them")
        given = [name for name in ("neutral", "clip") if getattr(self, name) is not None]
        if self.text is None and given:
            raise typer.BadParameter(f"got --{given[0]}, expected --text with it")
        if self.text is not None and self.clip is None:
            raise typer.BadParameter("pass --clip FOLDER with --text")
        if self.beta is not None and self.neutral is None:
            raise typer.BadParameter("got --beta, expected --neutral with it")

    def find_channels(
        self, generator: Generator, ws: np.ndarray, threads: int | None, progress: Progress
    ) -> list[dict[str, float]]:
        """The channels that the text asks for in each picture; tables are made where missing."""
        from stylert.apps.words import Pair, find_channels, find_table, find_text_direction

        assert self.text is not None
        assert self.clip is not None
        generator.style_layers  # noqa: B018 - a bundle without style space ends here
        pair = Pair.open(self.clip, threads=threads)
        if self.neutral is None:
            return self._find_edits(generator, pair, ws, progress)
        direction = find_text_direction(pair, self.text, self.neutral)
        table = find_table(generator, pair)
        if table is None:
            table = self._make_table(generator, pair, progress)
        return [find_channels(generator, table, direction, beta=self.beta)] * len(ws)

    def _find_edits(
        self, generator: Generator, pair: Pair, ws: np.ndarray, progress: Progress
    ) -> list[dict[str, float]]:
        """The channels that bring each picture to the text."""
        from stylert.apps.words import find_edits, find_sampled_table, sample_table
        from stylert.apps.words.sampled_table import SAMPLES

        assert self.text is not None
        table = find_sampled_table(generator, pair)
        if table is None:
            samples = self.table_pictures or SAMPLES
            console.note(f"drawn once for this bundle and pair: {samples} pictures")
            table = sample_table(generator, pair, samples=samples, progress=progress)
        return find_edits(generator, pair, table, ws, self.text)

    def _make_table(self, generator: Generator, pair: Pair, progress: Progress) -> np.ndarray:
        """The pair's table, after its cost is told."""
        from stylert.apps.words import count_drawings, make_table
        from stylert.apps.words.channel_table import PICTURES

        pictures = self.table_pictures or PICTURES
        drawings = count_drawings(generator, pictures)
        start = time.perf_counter()
        ws = np.repeat(generator.styles(0), generator.max_batch, axis=0)
        pair.embed_images(np.asarray(generator.synthesize(ws, output="img")))
        minutes = (time.perf_counter() - start) * drawings / len(ws) / 60
        console.note(
            f"each channel is tried, once for this bundle and pair: {drawings} pictures, some "
            f"{max(1, round(minutes))} min here; what is interrupted goes on"
        )
        return make_table(generator, pair, pictures=pictures, progress=progress)


def search(
    bundle: BundleFolder,
    text: Annotated[str, typer.Argument(help="What to look for.", metavar="TEXT")],
    *,
    clip: Clip,
    out: Annotated[Path, in_output("Picture to write; of several, their names get numbers.")],
    ws: Annotated[Path | None, in_output("File for the ws that were found: .npz.")] = None,
    results: Annotated[int, in_search("Pictures to find, the best first.", min=1, max=64)] = 1,
    start: Annotated[
        Path | None,
        in_search("File of ws to start from, in the place of samples: a picture for each."),
    ] = None,
    seeds_start: Annotated[
        int | None, in_search("Samples to start at the best of; 256 by default.", min=1)
    ] = None,
    first_seed: Annotated[
        int | None, in_search("Seed of the first sample; 0 by default.", min=0)
    ] = None,
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
    from stylert.apps.datasets import open_for_workers
    from stylert.apps.projection.result_file import write_result
    from stylert.apps.words import Pair, SearchSettings, search_text

    of_samples = {
        "seeds_start": seeds_start,
        "first_seed": first_seed,
        "truncation_psi": truncation_psi,
        "class_idx": class_idx,
    }
    if start is not None:
        refuse_idle("with --start, which is in the place of samples", **of_samples)
    settings = SearchSettings(
        generations=generations,
        steps=steps,
        results=results,
        seed=seed,
        **{name: value for name, value in of_samples.items() if value is not None},
    )
    if start is not None and results != 1:
        raise InvalidInput("results: got some with a start, which gives one for each of its ws")
    if ws is not None:
        check_styles("ws", ws, force=force)
    if steps:  # a gradient is one call, which takes all threads
        generator, workers = where.open(bundle), 1
    else:
        generator, workers = open_for_workers(bundle, **vars(where))
    with generator, console.show_progress() as progress:
        pair = Pair.open(clip, threads=generator.describe().get("threads", where.threads))
        check_channels(out, generator.spec.img_channels)
        begun = None if start is None else read_ws(start, generator.spec)
        files = _name_files(out, results if begun is None else len(begun))
        for file in files:
            check_picture(file, force=force)
        of = (generator, pair, text, settings)
        found = search_text(*of, start=begun, workers=workers, progress=progress)
    for file, image in zip(files, found.images, strict=True):
        save_image(image, file)
    if ws is not None:
        write_result(ws, found.ws)
    similarity = [round(float(s), 4) for s in found.similarity]
    facts = {
        "files": [str(file) for file in (files if ws is None else [*files, ws])],
        "similarity": similarity,
        "known": found.known,
        "backend": generator.choice,
    }
    lines = [
        f"Wrote {file}: similarity {s:.3f}." for file, s in zip(files, similarity, strict=True)
    ]
    console.tell_result(facts, generator.choice, *lines, as_json=as_json)


def _name_files(out: Path, count: int) -> list[Path]:
    """The files of the pictures, of which the first is the best."""
    if count == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{i}{out.suffix}") for i in range(1, count + 1)]

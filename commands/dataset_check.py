"""What `stylert verify` does with a data set: it names what is damaged, and has it drawn again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stylert.commands import console
from stylert.commands.latents import read_style_file
from stylert.runtime.errors import InvalidInput, StylertError

if TYPE_CHECKING:
    from stylert.apps.datasets import DatasetReport

__all__ = ["check_dataset"]

MOST_NAMED = 20  # of each kind; --json names them all


def check_dataset(
    path: Path,
    repair: Path | None,
    ws: Path | None,
    *,
    threads: int | None,
    trust_engines: bool,
    as_json: bool,
) -> None:
    """Compare the images of a data set with what was recorded; draw again what is not so.

    Args:
        path: the folder or zip file.
        repair: the bundle that draws again, None = draw nothing.
        ws: the file whose styles were drawn, where no seeds were.
        threads: that read.
        trust_engines: run engines of the bundle that this user did not build, too.
        as_json: print the report as JSON.

    Raises:
        StylertError: something is damaged or missing, and was not repaired.
    """
    from stylert.apps.datasets import open_as_drawn, repair_dataset, verify_dataset

    with console.show_progress() as progress:
        comparing = partial(progress, "comparing")
        try:
            report = verify_dataset(path, threads=threads, progress=comparing)
        except InvalidInput as error:  # damage, which is no wrong usage
            raise StylertError(str(error)) from None
        drawn = 0
        if repair is not None and (report.damaged or report.missing):
            with open_as_drawn(repair, path, trust_engines=trust_engines) as generator:
                styles = None if ws is None else read_style_file(ws, generator.spec)
                drawing = partial(progress, "drawing")
                drawn = repair_dataset(generator, report, ws=styles, progress=drawing)
            report = verify_dataset(path, threads=threads, progress=comparing)
    if as_json:
        console.print_json({**report.to_json(), "drawn": drawn})
    else:
        _tell(report, drawn)
    if not report.is_whole:
        raise StylertError(f"{path}: {_count_flaws(report)}.{_advise(report, repair)}")


def _tell(report: DatasetReport, drawn: int) -> None:
    if drawn:
        console.say(f"Drew {drawn} images again.")
    if report.is_whole:
        return console.say(f"{report.path}: all {report.images} images are as they were written.")
    for what in ("damaged", "missing", "surplus"):
        names: tuple[str, ...] = getattr(report, what)
        for name in names[:MOST_NAMED]:
            console.say(f"{what}: {name}")
        if len(names) > MOST_NAMED:
            console.say(f"{what}: and {len(names) - MOST_NAMED} more")
    return None


def _count_flaws(report: DatasetReport) -> str:
    found = len(report.damaged) + len(report.missing) + len(report.surplus)
    things, they = ("thing is", "it was") if found == 1 else ("things are", "they were")
    return f"{found} {things} not as {they} written"


def _advise(report: DatasetReport, repair: Path | None) -> str:
    """What to do about what is not whole."""
    if repair is None and (report.damaged or report.missing):
        return " Repair it: add repair=BUNDLE"
    return " Remove what is surplus: no repair does." if report.surplus else ""

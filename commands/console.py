"""What people see: lines, tables, JSON, and bars of progress."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import typer
from rich import progress as bars
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "PARITY",
    "log_progress",
    "note",
    "open_streams",
    "print_json",
    "print_table",
    "say",
    "show_image_progress",
    "show_progress",
]
__all__ += ["tell", "tell_result", "warn"]

# Tables that go to a file or a pipe are not squeezed into 80 columns.
# What is printed holds names of files, in which [brackets] are no colours and :colons: no emoji.
# A process may have none of the two streams: `stylert info x >&-`, a daemon, pythonw.
_TO_PEOPLE, _ERRORS_TO_PEOPLE = (
    stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr)
)
out = Console(markup=False, emoji=False, width=None if _TO_PEOPLE else 140)
err = Console(markup=False, emoji=False, stderr=True, width=None if _ERRORS_TO_PEOPLE else 140)

PARITY = "Against PyTorch in float32"  # the title of the table of a proof
LINES = {"note": "dim", "warning": "yellow", "error": "red"}
CELLS = {"ok": "green", "missing": "dim", "broken": "red", "conflict": "red", "FAILED": "red"}
LOG_SECONDS = 30.0  # between two lines of progress where stderr is no terminal


def open_streams() -> None:
    r"""Have two streams that take any text: what an alphabet lacks is escaped, as \u2026."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            with suppress(OSError):  # its file became a pipe by dup2, and is asked where it stands
                stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """A line on stdout, never broken in two."""
    out.print(_escape(line), soft_wrap=True)


def tell(kind: str, line: str) -> None:
    """A line on stderr: a note, a warning, or an error."""
    err.print(f"{kind}: {_escape(line)}", style=LINES[kind], soft_wrap=True)


note = partial(tell, "note")
warn = partial(tell, "warning")


def print_json(data: Any) -> None:
    """Print data for machines, on stdout."""
    typer.echo(json.dumps(data, indent=1))


def tell_result(data: Any, *lines: str, as_json: bool) -> None:
    """Print what was done: data for machines, or else lines for people."""
    if as_json:
        print_json(data)
    for line in () if as_json else lines:
        say(line)


def print_table(
    rows: Sequence[Mapping[str, str]],
    *,
    title: str | None = None,
    header: bool = True,
    numbers: bool = False,  # in all columns but the first
    on_stderr: bool = False,
) -> None:
    """Print rows, which are texts by heading."""
    table = Table(title=title and _escape(title), title_justify="left", show_header=header)
    for i, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if numbers and i else "left")
    for row in rows:
        table.add_row(*(Text(_escape(cell), CELLS.get(cell, "")) for cell in row.values()))
    (err if on_stderr else out).print(table)


def _escape(text: str) -> str:
    r"""A text that a stranger may have written, with \x1b for what would steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


@contextmanager
def show_progress(*columns: bars.ProgressColumn) -> Iterator[Callable[[str, int, int], None]]:
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
def show_image_progress() -> Iterator[Callable[[int, int], None]]:
    """Progress of many images: a bar with the rate, or a line now and then in a log."""
    if not err.is_terminal:
        yield log_progress(note, seconds=LOG_SECONDS)
        return
    with show_progress(_Rate()) as progress:
        yield partial(progress, "drawing")


def log_progress(
    say: Callable[[str], None], *, seconds: float, clock: Callable[[], float] = time.monotonic
) -> Callable[[int, int], None]:
    """What takes the images that are there and will be, and says so every so many seconds.

    A line is such as '2048 of 50000 images, 68.3 images/s, 0:11:42 left'.
    """
    started = told = clock()
    there: int | None = None  # when it started: they say nothing of the rate

    def update(done: int, total: int) -> None:
        nonlocal told, there
        there = done if there is None else there
        now = clock()
        if done <= there or now <= started or now - told < seconds:
            return
        told = now
        rate = (done - there) / (now - started)
        left = timedelta(seconds=round((total - done) / rate))
        say(f"{done} of {total} images, {rate:.1f} images/s, {left} left")

    return update


class _Rate(bars.ProgressColumn):
    """Images per second, over the last half minute."""

    def render(self, task: bars.Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} images/s")

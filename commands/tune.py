"""`stylert tune`: which backend is the fastest for a bundle on this processor."""

from __future__ import annotations

from typing import Annotated

import typer

from stylert.commands import console
from stylert.commands.options import AsJson, BundleFolder, Threads, in_panel

__all__ = ["tune"]

in_timing = in_panel("What is timed")


def tune(
    bundle: BundleFolder,
    *,
    threads: Threads = None,
    seconds: Annotated[float, in_timing("Longest time for all of it, in seconds.", min=1)] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Time the backends installed for the CPU on a bundle, and have `auto` take the fastest here.

    Example: stylert tune ffhq-bundle
    """
    from stylert.apps.bench.tuning import tune_bundle

    with console.show_progress() as progress:
        tuning = tune_bundle(
            bundle,
            threads=threads,
            seconds=seconds,
            progress=lambda message, share: progress(message, round(share * 100), 100),
        )
    if as_json:
        return console.print_json(tuning.to_json())
    title = f"{bundle}, {tuning.threads} threads"
    console.print_table(tuning.rows(), title=title, numbers=True)
    for line in tuning.lines():
        console.warn(line)
    return typer.echo(f"Noted for this network on this machine, in {tuning.note}.")

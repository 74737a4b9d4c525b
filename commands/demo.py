"""`stylert demo`: a bundle to begin with, which comes with StyleRT."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from stylert.commands import console
from stylert.commands.options import AsJson, Force, in_output
from stylert.runtime.bundle import Bundle

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Argument(help="Folder to write.", metavar="BUNDLE")],
    *,
    words: Annotated[
        Path | None,
        in_output("Folder for its pair of networks for pictures and words, for search."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the demo's bundle: six classes of small pictures. No checkpoint and no PyTorch needed.

    Example: stylert demo demo-bundle
    """
    from stylert.apps.demo import write_demo

    write_demo(out, words=words, force=force)
    names = Bundle.open(out).classes.names
    files = [str(folder) for folder in (out, words) if folder is not None]
    console.tell_result(
        {"files": files, "classes": list(names)},
        f"Wrote {out}. Its classes: {', '.join(names)}.",
        f"Draw with: stylert generate {shlex.quote(str(out))} --seeds 0-15 --out images",
        as_json=as_json,
    )

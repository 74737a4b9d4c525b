"""`stylert info` and `doctor`: what a file holds, and what works on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylert.commands import console
from stylert.commands.export import ReadAs
from stylert.commands.options import AsJson

__all__ = ["doctor", "info"]


def info(
    path: Annotated[str, typer.Argument(help="A bundle or a checkpoint.", metavar="PATH")],
    *,
    read_as: ReadAs,
    as_json: AsJson = False,
) -> None:
    """Show what a bundle or a checkpoint holds: architecture, parameters, multiply-adds, sizes.

    Example: stylert info ffhq.pkl
    """
    from stylert.export.network_facts import read_facts, tell_rows

    is_bundle = Path(path).is_dir()
    if is_bundle:
        read_as.refuse_any("a bundle is exported already")
    facts = read_facts(path) if is_bundle else read_as.read(path, tell=False).describe()
    if as_json:
        return console.print_json(facts)
    rows = [{"what": what, "value": value} for what, value in tell_rows(path, facts)]
    return console.print_table(rows, title=path, header=False)


def doctor(*, as_json: AsJson = False) -> None:
    """Show what is installed, what works on this machine, and what to install for the rest.

    Example: stylert doctor
    """
    from stylert.apps.checks.doctor import diagnose

    findings = diagnose()
    if as_json:
        return console.print_json([vars(finding) for finding in findings])
    return console.print_table([finding.row() for finding in findings])

"""The command line: its commands, its exit codes, and one line for what goes wrong."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Annotated, NoReturn

try:
    import typer

    import stylert
    from stylert.commands import console
    from stylert.commands.group import CommandGroup
    from stylert.commands.interrupts import hear_signals
    from stylert.runtime.errors import InvalidInput, ParityError, StylertError
except ModuleNotFoundError as missing:  # `python3 cli.py` where nothing is installed yet
    clone = shlex.quote(f"{Path(__file__).resolve().parent}[cpu]")
    sys.exit(f"error: {missing.name} is not installed. Run: pip install {clone}")
except KeyboardInterrupt:  # to load them takes a moment; nothing is begun yet
    sys.exit(130)

__all__ = ["app", "main"]

app = typer.Typer(
    name="stylert",
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"stylert {stylert.__version__}")
        raise typer.Exit


@app.callback()
def _stylert(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Deploy StyleGAN generators: verified ONNX bundles, and a runtime without torch."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line. Exits 0, 1 (the job failed), 2 (wrong usage) or 130 (interrupted)."""
    hear_signals()
    console.open_streams()
    warn_once = cache(console.warn)  # a bundle that is opened twice warns twice
    warnings.showwarning = lambda message, *_: warn_once(str(message))
    try:
        run = typer.main.get_command(app)
        code = run.main(arguments, prog_name="stylert", standalone_mode=False)
        if code == 130:  # what typer makes of a KeyboardInterrupt, by its version
            raise KeyboardInterrupt
    except (Exception, KeyboardInterrupt) as error:
        code = _tell(error)
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: BaseException) -> int:
    """Say what went wrong, and give the exit code; what nobody foresaw is raised again."""
    if isinstance(error, BrokenPipeError):  # who reads our output has gone: `stylert info x | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return _fail("interrupted", 130)
    if isinstance(error, MemoryError):
        return _fail("out of memory", 1)
    if isinstance(error, ParityError) and error.report is not None:
        console.print_table(error.report.make_table(), title=console.PARITY, on_stderr=True)
        if error.report.chaotic:
            return _fail(f"{error} To accept it all the same, pass --allow-chaotic.", 1)
    if isinstance(error, StylertError):
        return _fail(str(error), 2 if type(error) is InvalidInput else 1)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1)
    # Wrong usage: an exception of typer's or of click's, by typer's version.
    if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
        raise error
    message = error.format_message()
    context = getattr(error, "ctx", None)
    helper = context.command_path if context is not None else "stylert"
    return _fail(f"{message} (see '{helper} --help')", 2) if message else 2


def _fail(message: str, code: int) -> int:
    """One line on stderr, and the exit code."""
    console.tell("error", " ".join(message.split()))
    return code


if __name__ == "__main__":
    main()

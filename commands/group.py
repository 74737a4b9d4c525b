"""All commands by name, each of them made when it is called for.

Loading and making all of them takes longer than most of what a command does before it draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from stylert.commands.command import Command, as_command

__all__ = ["CommandGroup", "Commands"]

# The module under commands/ that has a command's function; help lists them in this order.
MODULES = {
    "demo": "demo",
    "export": "export",
    "convert": "export",
    "blend": "blending",
    "verify": "verification",
    "info": "checks",
    "doctor": "checks",
    "generate": "drawing",
    "mix": "control",
    "edit": "control",
    "video": "video",
    "serve": "serving",
    "web": "web",
    "evaluate": "evaluation",
    "features": "features",
    "bench": "bench",
    "tune": "tune",
    "encoder": "inversion",
    "invert": "inversion",
    "project": "projection",
    "inpaint": "projection",
    "search": "words",
    "gradient": "gradient",
    "quantize": "quantization",
    "build-engine": "engines",
    "one-file": "one_file",
    "triton": "engines",
    "ray": "serving",
}


class Commands(Mapping[str, Any]):
    """The commands by name, as typer makes them."""

    def __getitem__(self, name: str) -> Any:
        """A command. Raises KeyError."""
        return _make_command(name, MODULES[name])

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class CommandGroup(TyperGroup):
    """What reads the name of a command, and hands on to it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": Commands()})


@cache
def _make_command(name: str, module: str) -> Any:
    function = getattr(import_module(f"stylert.commands.{module}"), name.replace("-", "_"))
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(name, cls=Command)(as_command(function))
    return typer.main.get_command(app)

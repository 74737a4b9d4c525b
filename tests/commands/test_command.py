"""Groups of options, options given twice, and errors in the options' words."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from stylert import cli
from stylert.commands.command import Command, as_command
from stylert.commands.options import in_panel
from stylert.runtime.errors import InvalidInput

ALL: Any = typer.main.get_command(cli.app)


@dataclass(frozen=True, kw_only=True)
class Size:
    width: Annotated[int, typer.Option("-w", "--width", help="Width.")]
    height: Annotated[int, typer.Option(help="Height.", min=1)] = 2
    flat: bool = False


@dataclass(frozen=True, kw_only=True)
class Box(Size):
    depth_idx: Annotated[Any, in_panel("Box")("Depth.", "--depth", read=int)] = "3"


Run = Callable[[str], Any]


@pytest.fixture
def run() -> Run:
    """Runs a command of a group of options: its result, or what it raises."""
    app = typer.Typer()

    def measure(
        name: str,
        *,
        box: Box,
        tags: Annotated[list[str] | None, typer.Option("--tag")] = None,
    ) -> None:
        if box.height > 9:
            raise InvalidInput(f"depth_idx: got {box.depth_idx}, expected 1. Or pass flat=True.")
        typer.echo(f"{name} {box} {tags}")

    app.command(cls=Command)(as_command(measure))
    return lambda line: CliRunner().invoke(app, shlex.split(line))


def test_a_group_is_one_value(run: Run) -> None:
    done = run("a -w 5 --flat")
    assert done.output == "a Box(width=5, height=2, flat=True, depth_idx=3) None\n"


def test_errors_are_told_in_the_words_of_the_options(run: Run) -> None:
    done = run("a -w 5 --height 10")
    assert isinstance(done.exception, InvalidInput)
    assert str(done.exception) == "--depth: got 3, expected 1. Or pass --flat."


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("a -w 1 -w 2", "-w/--width"),
        ("a -w1 --width=2", "-w/--width"),
        ("a --width 1 --height=3 --height=3", "--height"),
        ("a -w 1 --flat --no-flat", "--flat/--no-flat"),
        ("--depth 1 a -w 1 --depth=2 --depth 3", "--depth"),
    ],
)
def test_an_option_given_twice_is_wrong_usage(run: Run, line: str, names: str) -> None:
    done = run(line)
    assert done.exit_code == 2
    often = "3 times" if names == "--depth" else "twice"
    assert f"{names} is given {often}: pass it once." in done.stderr


def test_an_option_of_several_values_is_given_often(run: Run) -> None:
    assert "['x', 'y']" in run("a -w 1 --tag x --tag=y").output


def test_what_looks_like_an_option_given_twice(run: Run) -> None:
    assert run("a --width 1 --tag --width").exit_code == 0  # a value
    assert run("-w 1 -- -w").exit_code == 0  # an argument


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("a -w ''", "-w/--width"),
        ("a -w 5 --depth=", "--depth"),
        ("a -w 5 --tag x --tag ''", "--tag"),
        ("'' -w 5", "NAME"),
    ],
)
def test_an_empty_value_is_no_current_folder(run: Run, line: str, name: str) -> None:
    """Of a variable that the shell has not: --out "$OUT" would be where one stands."""
    done = run(line)
    assert done.exit_code == 2
    assert f"{name} is empty: give it a value, or leave it out." in done.output

"""The commands by name: each is made when it is called for, and loads no other's module."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stylert.commands.group import MODULES, Commands

LOADED = """
import sys
from stylert.cli import main
try:
    main({arguments!r})
except SystemExit:
    print(*(name for name in sys.modules if name.startswith("stylert.commands.")), file=sys.stderr)
"""


def list_loaded(*arguments: str) -> set[str]:
    """The modules of commands that a command line loads."""
    code = LOADED.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("stylert.commands.") for name in done.stderr.split()}
    return loaded & set(MODULES.values())


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["--version"], set()),
        (["generate", "--help"], {"drawing"}),
        (["--help"], set(MODULES.values())),
    ],
)
def test_a_command_line_loads_its_own_command(arguments: list[str], loaded: set[str]) -> None:
    assert list_loaded(*arguments) == loaded


def test_a_name_that_is_no_command_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Commands()["nothing"]

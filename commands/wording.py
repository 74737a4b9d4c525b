"""The library's messages in the words of the command line: `class_idx` is `--class` there.

The library speaks of arguments. Parameters of commands have the names of the arguments, so that
their options say what each is called here:

    class_idx: got 7, expected 0 to 4      --class: got 7, expected 0 to 4
    Pass force=True to replace it          Pass --force to replace it
    or pass precision='fp32'               or pass --precision fp32
    got one with noise_mode 'const'        got one with --noise 'const'
    class_idx None, now 3                  --class none, now 3

Where an option has another name than the argument that it becomes, the command says so:

    with renamed(keyframes="seeds"):       keyframes: got 1      --seeds: got 1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from stylert.runtime.arguments import name_nothing
from stylert.runtime.errors import StylertError

__all__ = ["put_in_options", "renamed"]

# The arguments that are wrong.
_HEAD = re.compile(r"^\w+(, \w+)*(?=: (got|expected|this|the|a|cannot) )")
_VALUE = re.compile(r"(?<![\w/.'-])(?P<name>\w+)=(?P<value>'[^']*'|[\w<]+)")
_NAME = re.compile(r"(?<![\w/.'-])\w+_\w+(?![\w/'=-]|\.\w)")  # no word of English
_PASS = re.compile(r"(?<=[Pp]ass) an? (?P<name>\w+)(?=[.,;]|$)")


@contextmanager
def renamed(**parameters: str) -> Iterator[None]:
    """Tell errors of arguments as those of the command's parameters that became them."""
    try:
        yield
    except StylertError as error:
        argument, colon, rest = str(error).partition(": ")
        error.args = (f"{parameters.get(argument, argument)}{colon}{rest}",)
        raise


def put_in_options(message: str, parameters: Iterable[Any]) -> str:
    """Say a message of the library with the options of a command, whose parameters click has."""
    options = {p.name: p for p in parameters if p.param_type_name == "option"}

    def call(argument: str) -> str:
        return options[argument].opts[0] if argument in options else argument

    def give(match: re.Match[str]) -> str:
        if match["name"] not in options:
            return match[0]
        option, value = options[match["name"]], match["value"].strip("'")
        if option.is_flag:
            return str((option.opts if value == "True" else option.secondary_opts)[0])
        return f"{option.opts[0]} {value}"

    message = _HEAD.sub(lambda match: ", ".join(map(call, match[0].split(", "))), message)
    message = _VALUE.sub(give, message)
    message = _NAME.sub(lambda match: call(match[0]), message)
    message = _PASS.sub(
        lambda match: f" {call(match['name'])}" if match["name"] in options else match[0], message
    )
    return name_nothing(message, "none")

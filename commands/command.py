"""How a function becomes a command: its groups of options, and its errors in their words.

A group is a dataclass; the command takes one instance of it for all of its options:

    @dataclass(frozen=True, kw_only=True)
    class Where:
        backend: Annotated[str, typer.Option(help="...")] = "auto"
        threads: Annotated[int | None, typer.Option(help="...")] = None

    def generate(bundle: BundleFolder, *, where: Where) -> None: ...

    app.command(cls=Command)(as_command(generate))   # --backend and --threads
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

import typer
from typer.core import TyperCommand

from stylert.commands.official_options import explain_official
from stylert.commands.wording import put_in_options
from stylert.runtime.errors import StylertError

__all__ = ["Command", "as_command"]


class Command(TyperCommand):
    """A command that refuses an option given twice, unless it takes several values.

    And an empty one, as of a variable that the shell has not: an empty path is the current folder.
    It knows the options of the official scripts, and says what they are called here.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what was given; wrong usage is an exception of click's."""
        typed = list(args)
        try:
            self._refuse_odd(ctx, typed)
            return super().parse_args(ctx, args)
        except Exception as error:
            options = {name for p in self.get_params(ctx) for name in (*p.opts, *p.secondary_opts)}
            wrong_usage = hasattr(error, "format_message")  # of click's or typer's, by its version
            if wrong_usage and (meant := explain_official(typed, options)):
                ctx.fail(meant)
            raise

    def _refuse_odd(self, ctx: Any, args: list[str]) -> None:
        given, _, order = self.make_parser(ctx).parse_args(list(args))
        for parameter, times in Counter(order).items():
            names = "/".join([*parameter.opts, *parameter.secondary_opts])
            value = given.get(parameter.name)
            if "" in (value if isinstance(value, (list, tuple)) else [value]):
                is_option = parameter.param_type_name == "option"
                name = names if is_option else parameter.name.upper()
                ctx.fail(f"{name} is empty: give it a value, or leave it out.")
            if times > 1 and not parameter.multiple:
                often = "twice" if times == 2 else f"{times} times"
                ctx.fail(f"{names} is given {often}: pass it once.")


def as_command(function: Callable[..., None]) -> Callable[..., None]:
    """What typer can call: with a parameter for each option, those of groups, too."""
    signature = inspect.signature(function, eval_str=True)
    parameters = signature.parameters.values()
    groups: dict[str, Any] = {
        p.name: p.annotation for p in parameters if is_dataclass(p.annotation)
    }

    @wraps(function)
    def call(context: typer.Context, **given: Any) -> None:
        try:
            for name, group in groups.items():
                given[name] = group(**{f.name: given.pop(f.name) for f in fields(group)})
            function(**given)
        except StylertError as error:
            error.args = (put_in_options(str(error), context.command.params),)
            raise

    flat = [_keyword("context", typer.Context), *(p for one in parameters for p in _expand(one))]
    call.__signature__ = signature.replace(parameters=flat)  # type: ignore[attr-defined]
    return call


def _expand(parameter: inspect.Parameter) -> Iterator[inspect.Parameter]:
    """A parameter as typer reads it, or those of a group."""
    if not is_dataclass(group := parameter.annotation):
        yield _keyword(parameter.name, group, parameter.default)
        return
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        yield _keyword(field.name, hints[field.name], default)


def _keyword(name: str, hint: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)

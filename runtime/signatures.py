"""Signatures that show the options behind `**options`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["takes"]

Method = TypeVar("Method", bound=Callable[..., Any])


def takes(options: type) -> Callable[[Method], Method]:
    """Show the options behind a method's `**options` in its signature, for help() and editors.

    Args:
        options: one of the classes of `drawing_options`.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    shown = [
        inspect.Parameter(name, keyword, default="const" if name == "noise_mode" else None)
        for name in options.__annotations__
    ]

    def mark(method: Method) -> Method:
        signature = inspect.signature(method)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        vars(method)["__signature__"] = signature.replace(parameters=[*own, *shown])
        return method

    return mark

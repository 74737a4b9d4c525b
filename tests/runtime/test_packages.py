"""Packages that are not there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from stylert.runtime.errors import MissingExtra
from stylert.runtime.packages import need


def test_need(refuses: Callable[..., AbstractContextManager[None]]) -> None:
    need("json", "numpy", extra="export")
    message = "no_such_a, no_such_b: not installed. Install: pip install 'stylert[serve]'"
    with refuses(message, error=MissingExtra):
        need("json", "no_such_a", "no_such_b", extra="serve")

"""Packages that are not there, and the command that brings them."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from stylert.runtime.errors import MissingExtra
from stylert.runtime.packages import install_command, need

ROOT = Path(__file__).parents[2]


def test_need(refuses: Callable[..., AbstractContextManager[None]]) -> None:
    need("json", "numpy", extra="export")
    message = f"no_such_a, no_such_b: not installed. Install: {install_command('serve')}"
    with refuses(message, error=MissingExtra):
        need("json", "no_such_a", "no_such_b", extra="serve")


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ({"url": "{here}", "dir_info": {}}, "pip install '{path}[cpu]'"),
        ({"url": "{here}", "dir_info": {"editable": True}}, "pip install -e '{path}[cpu]'"),
        ({"url": "{here}", "archive_info": {}}, "pip install '{path}[cpu]'"),
        (
            {"url": "https://a/b.git", "vcs_info": {"vcs": "git", "commit_id": "f00"}},
            "pip install 'stylert[cpu] @ git+https://a/b.git@f00'",
        ),
        (
            {"url": "https://a/stylert-1-py3-none-any.whl", "archive_info": {}},
            "pip install 'stylert[cpu] @ https://a/stylert-1-py3-none-any.whl'",
        ),
        ({"url": "file:///is/gone", "dir_info": {}}, f"pip install '{ROOT}[cpu]'"),
        (None, f"pip install '{ROOT}[cpu]'"),
    ],
)
def test_the_command_names_what_was_installed(
    origin: dict[str, Any] | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a clone"
    place.mkdir()

    class Distribution:
        @staticmethod
        def read_text(name: str) -> str | None:
            assert name == "direct_url.json"
            return origin and json.dumps(origin).replace("{here}", place.as_uri())

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution)
    command = install_command("cpu")
    assert command == expected.replace("{path}", str(place))
    assert shlex.split(command)[:2] == ["pip", "install"]


def test_without_a_clone_it_says_where_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setattr("stylert.runtime.packages.__file__", "/nowhere/stylert/runtime/packages.py")
    assert install_command("cpu") == "pip install '.[cpu]' in a clone of StyleRT"

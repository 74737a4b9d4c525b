"""Directions as users write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from stylert.commands.text.directions import parse_direction

Refuses = Callable[..., AbstractContextManager[None]]


def test_a_component_a_file_or_a_name() -> None:
    assert parse_direction("--direction", "pca:0", components=64) == 0
    assert parse_direction("--direction", "pca:63", components=64) == 63
    assert parse_direction("--direction", "a/age.npz", components=64) == Path("a/age.npz")
    assert parse_direction("--direction", "sefa_all_0", components=64) == "sefa_all_0"


@pytest.mark.parametrize("text", ["pca:", "pca:x", "pca:-1", "pca:64", "pca:" + "9" * 5000])
def test_what_is_no_component(refuses: Refuses, text: str) -> None:
    with refuses("--direction: got 'pca:", "expected pca:0 to pca:63"):
        parse_direction("--direction", text, components=64)

"""Columns and rows as users write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from stylert.commands.text.grids import parse_cells, parse_grid

Refuses = Callable[..., AbstractContextManager[None]]

NO_GRID = ["", "4", "x", "3x", "ax4", "0x0", "0x2", "-4x-4", "2x2x2", "1x" + "1" * 5000]


def test_a_grid_has_room_for_its_images() -> None:
    assert parse_grid("--grid", "4x2", 8) == (4, 2)
    assert parse_grid("--grid", "4x2", 5) == (4, 2)
    assert parse_grid("--grid", "auto", 5) == (None, None)


@pytest.mark.parametrize("text", [*NO_GRID, "3x1"])
def test_what_is_no_grid(refuses: Refuses, text: str) -> None:
    with refuses("--grid: got ", "expected COLSxROWS for 4 images, or auto"):
        parse_grid("--grid", text, 4)


def test_a_grid_is_bounded(refuses: Refuses) -> None:
    assert parse_grid("--grid", "400x250", 100_000) == (400, 250)
    with refuses("--grid: got 100001 images, expected up to 100000"):
        parse_grid("--grid", "auto", 100_001)
    with refuses("--grid: got '999999x999999', expected up to 100000 cells"):
        parse_grid("--grid", "999999x999999", 4)


def test_cells() -> None:
    assert parse_cells("--grid", "999x2") == (999, 2)


@pytest.mark.parametrize("text", [*NO_GRID, "auto", "1000x1"])
def test_what_are_no_cells(refuses: Refuses, text: str) -> None:
    with refuses("--grid: got ", "expected COLSxROWS, such as 3x2"):
        parse_cells("--grid", text)

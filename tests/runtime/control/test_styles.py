"""Arithmetic on styles: mixing, grids and edits, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.runtime.control.styles import check_styles, edit_styles, mix_grid, mix_styles

A = np.array([[[1, 2], [3, 4], [5, 6]]], np.float32)  # [1, 3, 2]
B = -A


def test_mix() -> None:
    mixed = mix_styles(A, B, [0, 2])
    assert mixed.tolist() == [[[-1, -2], [3, 4], [-5, -6]]]
    assert mixed.dtype == np.float32
    assert np.array_equal(mix_styles(A, B, [0, 1, 2]), B)
    assert np.array_equal(mix_styles(A, B, []), A)
    assert A[0, 0, 0] == 1  # what is given stays as it is


def test_mix_of_more_than_two_sources() -> None:
    c = np.full((1, 3, 2), 9, np.float32)
    assert mix_styles(mix_styles(A, B, [1]), c, [2]).tolist() == [[[1, 2], [-3, -4], [9, 9]]]


def test_one_source_for_many() -> None:
    many = np.concatenate([A, 2 * A])
    assert np.array_equal(mix_styles(many, B, [0])[:, 0], [[-1, -2], [-1, -2]])
    assert np.array_equal(mix_styles(many, B, [0])[:, 1:], many[:, 1:])
    assert np.array_equal(mix_styles(B, many, [0])[:, 0], many[:, 0])


def test_grid() -> None:
    rows, columns = np.concatenate([A, 2 * A]), np.concatenate([B, 2 * B, 3 * B])
    grid = mix_grid(rows, columns, [1])
    assert grid.shape == (2, 3, 3, 2)
    for r in range(2):
        for c in range(3):
            assert np.array_equal(grid[r, c, [0, 2]], rows[r, [0, 2]])
            assert np.array_equal(grid[r, c, 1], columns[c, 1])


@pytest.mark.parametrize(
    ("direction", "strength", "layers", "expected"),
    [
        ([10, 20], [1], [0, 1, 2], [[[11, 22], [13, 24], [15, 26]]]),
        ([10, 20], [-0.5], [1], [[[1, 2], [-2, -6], [5, 6]]]),
        ([[1, 0], [0, 1], [1, 1]], [2], [0, 2], [[[3, 2], [3, 4], [7, 8]]]),
        ([1, 0], [0, 3], [0], [[[1, 2], [3, 4], [5, 6]], [[4, 2], [3, 4], [5, 6]]]),
    ],
)
def test_edit(direction: Any, strength: Any, layers: list[int], expected: Any) -> None:
    step, amounts = np.array(direction, np.float32), np.array(strength, np.float32)
    got = edit_styles(A, step, amounts, layers)
    assert got.dtype == np.float32
    assert got.tolist() == expected
    assert np.array_equal(edit_styles(A, step, 0 * amounts[:1], layers), A)


def test_edit_with_a_strength_for_each() -> None:
    got = edit_styles(np.concatenate([A, B]), np.float32([1, 0]), np.float32([1, 2]), [2])
    assert got[:, 2].tolist() == [[6, 6], [-3, -6]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_styles_become_float32(dtype: Any) -> None:
    ws = check_styles("ws", A.astype(dtype), num_ws=3, w_dim=2)
    assert ws.dtype == np.float32
    assert np.array_equal(ws, A)


@pytest.mark.parametrize(
    "ws",
    [
        *(A[0], A[:, :2], A[:, :, :1], A[:0], A[None], A.astype(int), A * np.nan, None, "x", 1.5),
        [[1.0], [1.0, 2.0]],
    ],
)
def test_what_are_no_styles(refuses: Any, ws: Any) -> None:
    with refuses("rows: got ", "expected "):
        check_styles("rows", ws, num_ws=3, w_dim=2)

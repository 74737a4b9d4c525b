"""Truncation by the names of layers, and of styles that are already mapped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.runtime.control.layers import group_layers
from stylert.runtime.control.truncation import make_psi_of_layers, truncated

GROUPS = group_layers("stylegan2", 10)  # coarse 0-2, middle 3-6, fine 7-9


@pytest.mark.parametrize(
    ("psi", "expected"),
    [
        ({"coarse": 0.5}, [0.5] * 3 + [1] * 7),
        ({"all": 0.7, "fine": 1.5}, [0.7] * 7 + [1.5] * 3),
        ({"fine": 1.5, "all": 0.7}, [0.7] * 10),
        ({"0-1,9": 0, 4: -1, (5, 6): np.float16(0.25)}, [0, 0, 1, 1, -1, 0.25, 0.25, 1, 1, 0]),
        ({"coarse": np.int8(2)}, [2] * 3 + [1] * 7),
        ({}, [1] * 10),
    ],
)
def test_psi_by_layers(psi: Any, expected: list[float]) -> None:
    got = make_psi_of_layers(psi, GROUPS)
    assert got.dtype == np.float32
    assert np.array_equal(got, np.array(expected, np.float32))


@pytest.mark.parametrize(
    "psi", [np.nan, np.inf, 1e300, 10**400, "0.7", None, True, 1j, [0.5], np.array([0.5])]
)
def test_a_psi_that_is_refused(refuses: Any, psi: Any) -> None:
    with refuses("truncation_psi: got ", " for 'fine', expected a finite number"):
        make_psi_of_layers({"coarse": 0.5, "fine": psi}, GROUPS)


@pytest.mark.parametrize("layers", ["rough", 10, None, ("coarse", 1.5)])
def test_layers_that_are_refused(refuses: Any, layers: Any) -> None:
    with refuses("layers: got ", "expected "):
        make_psi_of_layers({layers: 0.5}, GROUPS)


def test_truncated() -> None:
    w_avg = np.array([1, 10], np.float32)
    ws = np.array([[[2, 20], [3, 30]], [[4, 40], [5, 50]]], np.float32)
    psi = np.array([[1, 0], [0.5, -1]], np.float32)
    expected = [[[2, 20], [1, 10]], [[2.5, 25], [-3, -30]]]
    got = truncated(ws, w_avg, psi)
    assert got.dtype == np.float32
    assert np.array_equal(got, np.array(expected, np.float32))
    assert np.array_equal(truncated(ws, w_avg, psi[:1])[1], np.array([[4, 40], [1, 10]]))

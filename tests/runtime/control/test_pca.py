"""The principal components of samples whose axes are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.runtime.control.pca import find_principal_components, fix_sign

DEVIATIONS = np.array([5.0, 3.0, 1.0, 0.5, 0.1, 0.1])


def samples(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal samples [count, 6], stretched along the rows of a rotation; the rotation; the mean."""
    random = np.random.RandomState(0)
    axes = np.linalg.qr(random.randn(6, 6))[0]
    mean = 1000 * random.randn(6)  # far from zero, where squares lose digits
    return random.randn(count, 6) * DEVIATIONS @ axes + mean, axes, mean


def test_the_axes_of_a_stretched_cloud() -> None:
    w, axes, mean = samples(20_000)
    found = find_principal_components(np.array_split(w, 7), 4)
    assert found.components.shape == (4, 6)
    for array in (found.mean, found.components, found.stddev, found.explained):
        assert array.dtype == np.float32
    np.testing.assert_allclose(found.mean, mean, atol=0.1)
    np.testing.assert_allclose(found.stddev, DEVIATIONS[:4], rtol=0.02)
    np.testing.assert_allclose(np.abs((found.components * axes[:4]).sum(axis=1)), 1, atol=1e-3)
    whole = (DEVIATIONS**2).sum()
    np.testing.assert_allclose(found.explained, DEVIATIONS[:4] ** 2 / whole, rtol=0.03)
    np.testing.assert_allclose(found.components @ found.components.T, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(found.direction(1), found.components[1] * found.stddev[1])


def test_it_is_the_singular_value_decomposition() -> None:
    w, _, _ = samples(50)
    found = find_principal_components([w], 6)
    _, values, rows = np.linalg.svd(w - w.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.stddev, values / np.sqrt(49), rtol=1e-5)
    np.testing.assert_allclose(found.components, fix_sign(rows), atol=1e-5)


def test_batches_do_not_matter() -> None:
    w, _, _ = samples(300)
    whole = find_principal_components([w], 6)
    for parts in (2, 300):
        found = find_principal_components(np.array_split(w, parts), 6)
        np.testing.assert_allclose(found.components, whole.components, atol=1e-5)
        np.testing.assert_allclose(found.stddev, whole.stddev, rtol=1e-5)


def test_samples_that_are_all_the_same() -> None:
    found = find_principal_components([np.ones((10, 3), np.float32)], 2)
    assert found.stddev.tolist() == found.explained.tolist() == [0, 0]


def test_the_sign_is_that_of_the_largest_number() -> None:
    vectors = np.array([[1.0, -3, 2], [0.5, 0.1, -0.2], [0, 0, -1]])
    expected = [[-1, 3, -2], [0.5, 0.1, -0.2], [0, 0, 1]]
    assert np.array_equal(fix_sign(vectors), expected)


@pytest.mark.parametrize("index", [2, 99, -1, 0.5, None, True])
def test_a_component_that_is_not_there(refuses: Any, index: Any) -> None:
    found = find_principal_components([np.random.RandomState(0).randn(9, 4)], k=2)
    assert found.direction(1).shape == (4,)
    with refuses(f"index: got {index!r}, expected an integer of 0 to 1"):
        found.direction(index)

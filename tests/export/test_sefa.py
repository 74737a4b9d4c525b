"""SeFa: the closed form on weights made by hand, and the layers of every family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.families import build_model
from stylert.export.sefa import find_sefa_directions, find_strongest_directions, list_affine_names


def test_axes_that_are_known() -> None:
    # The sum of A^T A is diag(1 + 4, 9, 0): the second axis first, then the first one.
    weights = [np.array([[1.0, 0, 0], [0, 3, 0]]), np.array([[-2.0, 0, 0]])]
    vectors, eigenvalues = find_strongest_directions(weights)
    assert np.allclose(eigenvalues, [9, 5, 0])
    assert np.allclose(vectors, [[0, 1, 0], [1, 0, 0], [0, 0, 1]])


def test_it_is_the_eigenvectors_of_the_sum() -> None:
    random = np.random.RandomState(0)
    weights = [random.randn(rows, 6).astype(np.float32) for rows in (5, 3, 12)]
    vectors, eigenvalues = find_strongest_directions(weights)
    gram = sum(A.astype(np.float64).T @ A.astype(np.float64) for A in weights)
    expected_values, expected = np.linalg.eigh(gram)
    np.testing.assert_allclose(eigenvalues, expected_values[::-1])
    np.testing.assert_allclose(np.abs((vectors * expected.T[::-1]).sum(axis=1)), 1)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(6), atol=1e-12)
    largest = vectors[np.arange(6), np.abs(vectors).argmax(axis=1)]
    assert (largest > 0).all()
    # No other step of length 1 changes the styles more.
    changes = [sum(np.square(A @ n).sum() for A in weights) for n in vectors]
    np.testing.assert_allclose(changes, eigenvalues, rtol=1e-6)
    for other in random.randn(100, 6):
        step = other / np.linalg.norm(other)
        assert sum(np.square(A @ step).sum() for A in weights) < eigenvalues[0]


def test_the_order_of_the_rows_of_a_layer_does_not_matter() -> None:
    weights = np.random.RandomState(1).randn(8, 5)
    for same in (weights[::-1], -weights):
        np.testing.assert_allclose(
            find_strongest_directions([same])[0], find_strongest_directions([weights])[0]
        )


def test_directions_of_a_checkpoint(make_checkpoint: Callable[..., Checkpoint]) -> None:
    checkpoint = make_checkpoint(channels=(8, 8, 8, 8, 8), w_dim=24)  # 64 pixels
    sets = {s.name: s for s in find_sefa_directions(checkpoint)}
    assert {name: s.layers.tolist() for name, s in sets.items()} == {
        "sefa_all": list(range(10)),
        "sefa_coarse": [0, 1, 2],
        "sefa_middle": [3, 4, 5, 6],
        "sefa_fine": [7, 8, 9],
    }
    names = ["b4.conv1", "b8.conv0", "b8.conv1"]
    weights = [checkpoint.tensors[f"synthesis.{name}.affine.weight"] for name in names]
    expected, values = find_strongest_directions(weights)
    coarse = sets["sefa_coarse"]
    assert coarse.vectors.shape == (20, 24)
    np.testing.assert_allclose(coarse.vectors, expected[:20], atol=1e-6)
    np.testing.assert_allclose(coarse.eigenvalues, values[:20] / 24, rtol=1e-5)
    assert (coarse.vectors.dtype, coarse.layers.dtype) == (np.float32, np.int64)
    np.testing.assert_allclose(np.linalg.norm(coarse.vectors, axis=1), 1, rtol=1e-6)


def test_a_small_w_has_fewer_directions(tiny: Checkpoint) -> None:
    sets = find_sefa_directions(tiny)  # 8 pixels: nothing is middle or fine
    assert [(s.name, s.vectors.shape) for s in sets] == [
        ("sefa_all", (8, 8)),
        ("sefa_coarse", (8, 8)),
    ]


@pytest.mark.parametrize(
    "name", ["sg1-tf-32", "sg2-skip-32", "sg2-orig-32", "sg2-resnet-32", "sg3-t-64"]
)
def test_each_w_drives_the_layer_that_it_is_taken_for(goldens: Path, name: str) -> None:
    """Without the weights of its layer, and of the ToRGB beside it, a w changes nothing."""
    checkpoint = read_checkpoint(goldens / f"{name}.pkl")
    config, names = checkpoint.config, list_affine_names(checkpoint.config)
    last = names[-1][-1]
    random = np.random.RandomState(0)
    ws = random.randn(1, config.num_ws, config.w_dim).astype(np.float32)
    rgb = {n for n in checkpoint.tensors if n.endswith(".torgb.affine.weight")} - {last}
    for index in (0, 1, 2, config.num_ws - 1):
        cut = {n: np.zeros_like(checkpoint.tensors[n]) for n in {*names[index], *rgb}}
        reference = build_model(replace(checkpoint, tensors={**checkpoint.tensors, **cut}))
        other = (index + 1) % config.num_ws
        batch = np.repeat(ws, 3, axis=0)
        batch[1, index] += random.randn(config.w_dim)
        batch[2, other] += random.randn(config.w_dim)
        with torch.inference_mode():
            images = reference.synthesis(torch.from_numpy(batch)).numpy()
        assert np.abs(images[1] - images[0]).max() < 1e-5, index
        assert np.abs(images[2] - images[0]).max() > 1e-3, other

"""The models of the backend 'python' by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.engines.triton import write_repository
from stylert.runtime.errors import BundleError
from stylert.runtime.generator import Generator


@pytest.fixture
def models(
    conditional_bundle: Path, load_model: Callable[[Path], Any], tmp_path: Path
) -> tuple[Any, Any]:
    """Mapping and synthesis of a conditional generator."""
    write_repository(conditional_bundle, tmp_path / "repository", backend="python", threads=1)
    folder = tmp_path / "repository"
    return load_model(folder / "mapping"), load_model(folder / "synthesis")


def test_requests_are_run_as_one_batch_and_given_apart(
    models: tuple[Any, Any], conditional: Generator
) -> None:
    mapping, synthesis = models
    spec = conditional.spec
    z = np.random.RandomState(0).randn(5, spec.z_dim).astype(np.float32)
    c = np.eye(spec.c_dim, dtype=np.float32)
    psi = np.full((5, spec.num_ws), 0.7, np.float32)
    parts = (slice(0, 1), slice(1, 4), slice(4, 5))
    answers = mapping.ask([{"z": z[p], "c": c[p], "truncation_psi": psi[p]} for p in parts])
    ws = conditional.map(z, c, truncation_psi=psi)
    for part, answer in zip(parts, answers, strict=True):
        np.testing.assert_array_equal(answer["ws"], ws[part])
    noise = {
        t.name: np.ones((5, *map(int, t.shape[1:])), np.float32)
        for t in conditional.bundle.noise_inputs
    }
    answers = synthesis.ask([{"ws": ws[p], **{k: v[p] for k, v in noise.items()}} for p in parts])
    images = conditional.synthesize(ws, noise=noise)
    for part, answer in zip(parts, answers, strict=True):
        np.testing.assert_array_equal(answer["image"], images[part])


def test_a_wrong_request_fails_alone(models: tuple[Any, Any], conditional: Generator) -> None:
    _, synthesis = models
    noise = conditional.bundle.read_noise()
    ws = conditional.map(np.ones((1, conditional.spec.z_dim), np.float32), np.eye(5)[0])
    wrong, right = synthesis.ask([{"ws": ws * np.float32("nan"), **noise}, {"ws": ws, **noise}])
    assert str(wrong) == "ws: got NaN or infinity, expected finite numbers."
    np.testing.assert_array_equal(right["image"], conditional.synthesize(ws))


def test_a_damaged_bundle_is_not_served(
    conditional_bundle: Path, load_model: Callable[[Path], Any], tmp_path: Path
) -> None:
    write_repository(conditional_bundle, tmp_path / "repository", backend="python")
    folder = tmp_path / "repository" / "synthesis"
    (folder / "1" / "bundle" / "synthesis.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"synthesis\.onnx has 0 bytes"):
        load_model(folder)

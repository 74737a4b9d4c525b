"""A small generator with a gradient."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.runtime.generator import Generator


@pytest.fixture(scope="session")
def small_bundle(make_checkpoint: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16x16, two classes, with a gradient. To be read only."""
    assert callable(make_checkpoint)
    checkpoint: Checkpoint = make_checkpoint(c_dim=2, embed_features=8)
    out = tmp_path_factory.mktemp("projection") / "bundle"
    export_bundle(checkpoint, out, verify_seeds=0, half="none", gradient=True)
    return out


@pytest.fixture(scope="session")
def small(small_bundle: Path) -> Iterator[Generator]:
    with Generator.open(small_bundle, backend="onnxruntime", provider="cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def drawn(small: Generator) -> np.ndarray:
    """Two of its pictures."""
    return small.generate([31, 32], class_idx=[0, 1], truncation_psi=1)


@pytest.fixture(scope="session")
def without_gradient(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("without") / "bundle")

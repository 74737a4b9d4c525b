"""A bundle with an INT8 graph, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint


@pytest.fixture(scope="session")
def plain_bundle(
    make_checkpoint: Callable[..., Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """16x16, float32 only. Read only."""
    out = tmp_path_factory.mktemp("plain") / "bundle"
    export_bundle(make_checkpoint(), out, verify_seeds=0, half="none")
    return out


@pytest.fixture
def plain_copy(plain_bundle: Path, tmp_path: Path) -> Path:
    """The same, to add to."""
    return shutil.copytree(plain_bundle, tmp_path / "bundle")

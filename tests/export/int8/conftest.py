"""Bundles to add an INT8 graph to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def plain_copy(plain_bundle: Path, tmp_path: Path) -> Path:
    """16x16, float32 only, a test's own."""
    return shutil.copytree(plain_bundle, tmp_path / "bundle")

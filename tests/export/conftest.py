"""What the tests of export/ share: one thread, and generators small enough to export in a blink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, StyleGAN2Config
from stylert.export.checkpoints.untrained import untrained


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Nets this small lose more time to threads than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Checkpoint]:
    """Makes a generator with random weights, 16x16 pixels unless `changes` say otherwise."""

    def make(seed: int = 0, **changes: Any) -> Checkpoint:
        fields: dict[str, Any] = {
            "z_dim": 8,
            "c_dim": 0,
            "w_dim": 8,
            "img_channels": 3,
            "const_shape": (4, 4),
            "channels": (12, 10, 8),
            "mapping_layers": 2,
            "mapping_features": 8,
        }
        return untrained("small", config=StyleGAN2Config(**(fields | changes)), seed=seed)

    return make


@pytest.fixture(scope="session")
def tiny(make_checkpoint: Callable[..., Checkpoint]) -> Checkpoint:
    """A generator of 8x8 pixels."""
    return make_checkpoint(channels=(6, 5))


@pytest.fixture(scope="session")
def tiny_bundle(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of `tiny`. Read only: a test that changes it takes a copy."""
    out = tmp_path_factory.mktemp("tiny") / "bundle"
    export_bundle(tiny, out, verify_seeds=1)
    return out

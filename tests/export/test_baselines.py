"""What the benchmark compares with draws the same pictures as the runtime."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.baselines import TRUNCATION_PSI, open_compiled, open_eager
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint, write_native
from stylert.runtime.generator import Generator
from stylert.runtime.parity import TOLERANCES, compare


@pytest.mark.parametrize("name", ["sg2-skip-32", "sg2-cond-32"])
def test_eager_draws_what_the_runtime_draws(goldens: Path, tmp_path: Path, name: str) -> None:
    path = goldens / f"{name}.pkl"
    checkpoint = read_checkpoint(path)
    export_bundle(checkpoint, tmp_path / "bundle", verify_seeds=0)
    candidate = open_eager(checkpoint=str(path), threads=1)
    c_dim = checkpoint.config.c_dim
    with Generator.open(tmp_path / "bundle", threads=1) as generator:
        for batch in (1, 3):
            candidate.prepare(batch)
            expected = candidate.run()
            options: dict[str, Any] = {}
            if c_dim:
                options["class_idx"] = [seed % c_dim for seed in range(batch)]
            got = generator.generate(
                range(batch), truncation_psi=TRUNCATION_PSI, output="img", **options
            )
            assert expected.dtype == np.float32
            assert compare(expected, got).within(TOLERANCES["fp32"])
    facts = candidate.describe()
    assert (facts["device"], facts["precision"], facts["threads"]) == ("cpu", "fp32", 1)
    candidate.close()


def test_network_is_chosen(goldens: Path) -> None:
    path = str(goldens / "sg2-skip-32.pkl")
    images = []
    for network in (None, "G_ema", "G"):
        candidate = open_eager(checkpoint=path, threads=1, network=network)
        candidate.prepare(1)
        images.append(candidate.run())
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch.compile uses torch.jit
def test_compiled_draws_what_eager_draws(
    make_checkpoint: Callable[..., Any], tmp_path: Path
) -> None:
    path = str(tmp_path / "tiny.safetensors")
    write_native(make_checkpoint(channels=(4,), mapping_layers=1), Path(path))
    images = []
    for factory in (open_eager, open_compiled):
        candidate = factory(checkpoint=path, threads=1)
        candidate.prepare(2)
        images.append(candidate.run())
    assert candidate.describe()["backend"] == "torch.compile"
    assert compare(*images).within(TOLERANCES["fp32"])

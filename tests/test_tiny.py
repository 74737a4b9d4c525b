"""The whole way on one tiny network, in seconds: read, export, open, draw, compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import stylert
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.images import to_uint8
from stylert.runtime.proof.parity import TOLERANCES, compare


def test_a_checkpoint_becomes_the_pictures_of_the_official_implementation(
    goldens: Path, tmp_path: Path
) -> None:
    report = export_bundle(
        read_checkpoint(goldens / "sg2-skip-32.pkl"), tmp_path / "bundle", verify_seeds=1
    )
    assert report is not None
    assert report.passed
    expected = np.load(goldens / "sg2-skip-32.npz")
    with stylert.open(tmp_path / "bundle", provider="cpu") as generator:
        ws = generator.map(expected["z"], truncation_psi=0.7, truncation_cutoff=2)
        img = generator.synthesize(ws, output="img")
        image = generator.synthesize(ws)
    assert compare(expected["ws_psi07_cut"], ws).within(TOLERANCES["fp32"])
    assert compare(expected["img_psi07"], img).within(TOLERANCES["fp32"])
    assert np.abs(to_uint8(expected["img_psi07"]).astype(int) - image).max() <= 1

"""Half precision that misses: blocks go to float32, those that cost most first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export import half_search, proving
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.untrained import make_untrained
from stylert.export.half_search import GOOD_DB, HalfSearch
from stylert.export.parity import ParityReport
from stylert.export.verification import verify_bundle
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import ParityError

DEPTHS = ("L1_20_16", "L3_36_16", "L5_32_16")
ASKED = ("L1_20_16", "L3_36_16", "L4_36_16", "L5_32_16")


def uneven(checkpoint: Checkpoint, factors: Mapping[str, float]) -> Checkpoint:
    """One style of a layer many times as large, and its weights as much smaller.

    The function is nearly the same. But styles share one norm in half precision, so all the others
    become so small that they lose their digits.
    """
    tensors = dict(checkpoint.tensors)
    for layer, factor in factors.items():
        name = f"synthesis.{layer}"
        for tensor in ("affine.weight", "affine.bias"):
            tensors[f"{name}.{tensor}"] = tensors[f"{name}.{tensor}"].copy()
            tensors[f"{name}.{tensor}"][0] *= np.float32(factor)
        tensors[f"{name}.weight"] = tensors[f"{name}.weight"].copy()
        tensors[f"{name}.weight"][:, 0] /= np.float32(factor)
    return replace(checkpoint, tensors=tensors)


@pytest.fixture(scope="module")
def small() -> Checkpoint:
    """A StyleGAN3 of 32x32 pixels, for what is no matter of size."""
    return make_small(num_layers=4)


def make_small(num_layers: int) -> Checkpoint:
    design = StyleGAN3Design(
        img_resolution=32, channel_max=16, num_layers=num_layers, margin_size=2
    )
    config = design.make_config(z_dim=16, c_dim=0, w_dim=16, mapping_layers=2, mapping_features=16)
    return make_untrained("small", config=replace(config, conv_clamp=256.0))


@pytest.fixture(scope="module")
def missing() -> Checkpoint:
    """A StyleGAN3 that half precision misses at several depths."""
    return uneven(make_small(num_layers=6), dict.fromkeys(DEPTHS, 1e5))


@pytest.fixture(scope="module")
def exported(
    missing: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ParityReport]:
    out = tmp_path_factory.mktemp("missing") / "bundle"
    report = export_bundle(missing, out, verify_seeds=2, half=",".join(ASKED))
    assert report is not None
    return out, report


def half_db(report: ParityReport) -> float:
    rows = [r for r in report.rows if (r.precision, r.output) == ("fp16", "img")]
    return min(row.difference.psnr_db for row in rows)


def test_blocks_move_until_the_pictures_are_good(
    exported: tuple[Path, ParityReport],
) -> None:
    out, report = exported
    assert report.passed
    assert half_db(report) >= GOOD_DB
    half = Bundle.open(out).manifest["half"]
    moved = half["moved"]
    assert set(moved) <= set(DEPTHS), "blocks that cost little stay"
    assert list(moved.values()) == sorted(moved.values()), "worst first"
    assert all(db < 60 for db in moved.values())
    assert half["half_blocks"] == [block for block in ASKED if block not in moved]


def test_the_report_and_the_manifest_name_them(exported: tuple[Path, ParityReport]) -> None:
    out, report = exported
    (note,) = report.notes
    assert note.startswith("Half precision: pictures were too far off, so these compute in float32")
    manifest = Bundle.open(out).manifest
    assert all(block in note for block in manifest["half"]["moved"])
    assert manifest["parity"]["notes"] == [note]
    json.dumps(manifest, allow_nan=False)


def test_verify_tells_the_same(missing: Checkpoint, exported: tuple[Path, ParityReport]) -> None:
    out, report = exported
    said: list[str] = []
    again = verify_bundle(out, missing, seeds=range(2), threads=1, say=said.append)
    assert again.passed
    assert tuple(said) == report.notes
    assert half_db(again) == pytest.approx(half_db(report), abs=1)


def test_strict_export_fails(small: Checkpoint, tmp_path: Path) -> None:
    bad = uneven(small, {"L1_36_16": 3e4})
    with pytest.raises(ParityError, match="Worst: fp16 img") as caught:
        export_bundle(bad, tmp_path / "bundle", verify_seeds=2, half_strict=True)
    assert half_db(caught.value.report) < 60
    assert not (tmp_path / "bundle").exists()


def test_what_reaches_60_ships_as_it_is(small: Checkpoint, tmp_path: Path) -> None:
    """Also below the 63 dB that a search aims at."""
    close = uneven(small, {"L2_36_16": 2e4})
    report = export_bundle(close, tmp_path / "bundle", verify_seeds=8)
    assert report is not None
    assert 60 <= half_db(report) < GOOD_DB
    half = Bundle.open(tmp_path / "bundle").manifest["half"]
    assert half["moved"] is None
    assert half["half_blocks"] == list(small.config.block_names)


def test_blocks_that_move_take_their_weights_along(small: Checkpoint, tmp_path: Path) -> None:
    """Stored in half precision, they would cost nearly as much as before."""
    bad = uneven(small, {"L1_36_16": 3e4})
    report = export_bundle(bad, tmp_path / "bundle", verify_seeds=2, half="all")
    assert report is not None
    assert report.passed
    half = Bundle.open(tmp_path / "bundle").manifest["half"]
    assert list(half["moved"]) == ["L1_36_16"]
    assert half["compact"] is False


def test_no_block_left_is_a_note(
    small: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half_search, "GOOD_DB", 1000.0)
    monkeypatch.setattr(proving, "GOOD_DB", 1000.0)
    bad = uneven(small, {"L1_36_16": 3e4})
    report = export_bundle(bad, tmp_path / "bundle", verify_seeds=2, half="L0_20_16,L1_36_16")
    assert report is not None
    assert report.passed
    assert {row.precision for row in report.rows} == {"fp32"}
    assert report.notes[0].startswith("There is no half-precision graph: ")
    bundle = Bundle.open(tmp_path / "bundle")
    assert bundle.precisions == ("fp32",)
    assert not (tmp_path / "bundle/synthesis.fp16.onnx").exists()


def test_what_is_not_finite_moves_first(small: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {("a",): 50.0, ("b",): -np.inf, ("c",): 70.0, ("a", "c"): 55.0}

    def measure(self: HalfSearch, blocks: Any) -> float:
        return costs.get(tuple(blocks), 61.0)

    monkeypatch.setattr(HalfSearch, "measure", measure)
    search = HalfSearch(small, ("a", "b", "c"), {})
    assert search.step() == ("c",)
    assert list(search.moved) == ["b", "a"]
    assert search.step() == ()
    assert search.step() == ()

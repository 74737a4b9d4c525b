"""Bundles whose weights are stored as integers: what they say, and what their proof finds."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.network_facts import read_facts, tell_rows
from stylert.export.parity import ParityReport
from stylert.export.parity.reference import Reference
from stylert.export.parity.scenes import list_image_scenes
from stylert.export.verification import verify_bundle
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import BundleError, ParityError
from stylert.runtime.generator import Generator
from stylert.runtime.proof.bundle_facts import stored_weights, tell_weights
from stylert.runtime.proof.parity import STORED_WEIGHTS, compare
from stylert.tests.manifests import change_manifest

Refuses = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="module")
def checkpoint(goldens: Path) -> Checkpoint:
    return read_checkpoint(goldens / "sg2-fp16-64.pkl")


@pytest.fixture(scope="module")
def exported(
    checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ParityReport]:
    out = tmp_path_factory.mktemp("int16") / "bundle"
    report = export_bundle(checkpoint, out, weights="int16", verify_seeds=2)
    assert report is not None
    return out, report


@pytest.fixture
def copy(exported: tuple[Path, ParityReport], tmp_path: Path) -> Path:
    return shutil.copytree(exported[0], tmp_path / "copy")


def test_the_proof_has_a_row_for_what_rounding_costs(
    exported: tuple[Path, ParityReport],
) -> None:
    _, report = exported
    assert report.passed
    (row,) = (row for row in report.rows if row.precision == STORED_WEIGHTS)
    assert (row.output, row.images, row.gate) == ("img", 2, 1)
    assert 85 < row.difference.psnr_db < 110
    assert row.off_by_more_than_4 == 0
    cells = report.make_table()[report.rows.index(row)]
    assert (cells["precision"], cells[""]) == ("stored weights", "ok")
    exact = [row for row in report.rows if row.precision == "fp32" and row.output == "img"]
    assert max(row.difference.rms for row in exact) < 2e-6  # with the rounded ones, as ever
    assert {row.gate for row in exact} == {1}
    assert {row.precision for row in report.rows} == {"fp32", "fp16", STORED_WEIGHTS}


def test_it_is_small_and_says_what_it_is(
    exported: tuple[Path, ParityReport], bundle_of: Callable[[str], Path]
) -> None:
    bundle, report = exported
    sizes = [
        (path / "synthesis.onnx").stat().st_size for path in (bundle, bundle_of("sg2-fp16-64"))
    ]
    assert sizes[0] < 0.6 * sizes[1]
    opened = Bundle.open(bundle)
    assert stored_weights(opened) == opened.manifest["weights"] == "int16"
    (row,) = (row for row in report.rows if row.precision == STORED_WEIGHTS)
    db = f"{row.difference.psnr_db:.1f} dB"
    assert dict(tell_rows(bundle, read_facts(bundle)))["weights"] == (
        f"int16: pictures are {db} (PSNR) from the checkpoint's"
    )


def test_styles_are_those_of_a_float32_bundle(
    exported: tuple[Path, ParityReport], bundle_of: Callable[[str], Path]
) -> None:
    files = [path / "mapping.onnx" for path in (exported[0], bundle_of("sg2-fp16-64"))]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_half_precision_graph_draws_from_it(exported: tuple[Path, ParityReport]) -> None:
    images = []
    for precision in ("fp32", "fp16"):
        with Generator.open(exported[0], precision=precision, threads=1) as generator:
            images.append(generator.generate([0, 1], output="img"))
    assert compare(*images).psnr_db > 60


def test_float32_is_the_default(bundle: Path, tiny: Checkpoint, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    assert stored_weights(opened) == "fp32"
    assert dict(tell_rows(bundle, read_facts(bundle)))["weights"] == "fp32"
    assert STORED_WEIGHTS not in {row["precision"] for row in opened.manifest["parity"]["rows"]}
    export_bundle(tiny, tmp_path / "unproven", weights="int16", verify_seeds=0)
    facts = read_facts(tmp_path / "unproven")
    assert dict(tell_rows(tmp_path, facts))["weights"] == "int16"


def test_verification_rounds_the_checkpoint_too(
    checkpoint: Checkpoint, exported: tuple[Path, ParityReport]
) -> None:
    told: list[tuple[int, int]] = []
    report = verify_bundle(
        exported[0],
        checkpoint,
        seeds=[3, 4],
        threads=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert report.passed
    assert told[-1][0] == told[-1][1]
    assert [row.precision for row in report.rows].count(STORED_WEIGHTS) == 1


def test_one_factor_that_is_off_fails(checkpoint: Checkpoint, copy: Path) -> None:
    model = onnx.load(copy / "synthesis.onnx")
    factors_of = (t for t in model.graph.initializer if t.name.endswith("/affine/weight_factors"))
    tensor = next(factors_of)  # of all layers whose inputs are as wide
    factors = numpy_helper.to_array(tensor).copy()
    factors.flat[0] *= np.float32(1.01)
    tensor.CopyFrom(numpy_helper.from_array(factors, tensor.name))
    data = model.SerializeToString()
    (copy / "synthesis.onnx").write_bytes(data)
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change_manifest(copy, lambda manifest: manifest["files"].update({"synthesis.onnx": entry}))
    report = verify_bundle(copy, checkpoint, seeds=[0], threads=1)
    assert not report.has_passed("fp32")


def test_a_bundle_that_hides_its_rounding_fails(checkpoint: Checkpoint, copy: Path) -> None:
    change_manifest(copy, lambda manifest: manifest.pop("weights"))
    assert not verify_bundle(copy, checkpoint, seeds=[0], threads=1).has_passed("fp32")


@pytest.mark.parametrize("weights", ["int4", None, ["int16"]])
def test_a_manifest_of_other_weights_is_refused(
    weights: Any, checkpoint: Checkpoint, copy: Path, refuses: Refuses
) -> None:
    change_manifest(copy, lambda manifest: manifest.update(weights=weights))
    with refuses("manifest.json is damaged", "weights", error=BundleError):
        verify_bundle(copy, checkpoint, seeds=[0], threads=1)


def test_a_network_that_it_costs_too_much_is_not_exported(
    goldens: Path, tmp_path: Path, refuses: Refuses
) -> None:
    """Weights of one input channel are so large that what is left of the others is coarse."""
    checkpoint = read_checkpoint(goldens / "field" / "human-sg3t.pkl")
    uneven = dict(checkpoint.tensors)
    for name, tensor in checkpoint.tensors.items():
        if tensor.ndim == 4:
            uneven[name] = tensor.copy()
            uneven[name][:, 0] *= 32
    checkpoint = replace(checkpoint, tensors=uneven)
    words = (
        "the worst of 2 pictures",
        "dB",
        "at least 80",
        "weights='fp32'",
        "lower weights_floor",
    )
    with refuses(*words, error=ParityError):
        export_bundle(checkpoint, tmp_path / "out", weights="int16", half="none", verify_seeds=2)
    assert not list(tmp_path.iterdir())


def test_unknown_weights_are_refused(tiny: Checkpoint, tmp_path: Path, refuses: Refuses) -> None:
    with refuses("weights: got 'fp16'", "fp32, int16 or int8"):
        export_bundle(tiny, tmp_path / "out", weights="fp16")
    assert not list(tmp_path.iterdir())


# ---- Of 8 bits ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_8_bits(
    checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ParityReport]:
    out = tmp_path_factory.mktemp("int8") / "bundle"
    report = export_bundle(checkpoint, out, weights="int8", verify_seeds=2)
    assert report is not None
    return out, report


def test_int8_is_smaller_still_and_says_what_it_costs(
    of_8_bits: tuple[Path, ParityReport], exported: tuple[Path, ParityReport]
) -> None:
    bundle, report = of_8_bits
    sizes = [(path / "synthesis.onnx").stat().st_size for path in (bundle, exported[0])]
    assert sizes[0] < 0.75 * sizes[1]
    (row,) = (row for row in report.rows if row.precision == STORED_WEIGHTS)
    assert 45 < row.difference.psnr_db < 60
    assert row.off_by_more_than_4
    assert row.off_by_more_than_4 < 0.01
    manifest = Bundle.open(bundle).manifest
    assert manifest["weights"] == "int8"
    assert manifest["parity"]["tolerances"][STORED_WEIGHTS]["psnr_db"] == 40
    (written,) = (r for r in manifest["parity"]["rows"] if r["precision"] == STORED_WEIGHTS)
    assert written == row.to_json()
    assert tell_weights(manifest) == (
        f"int8: pictures are {row.difference.psnr_db:.1f} dB (PSNR) from the checkpoint's, and "
        f"{row.off_by_more_than_4:.2%} of their bytes are off by more than 4; the worst is seed "
        f"{row.worst_seed}"
    )


def test_the_worst_picture_is_named(
    checkpoint: Checkpoint, of_8_bits: tuple[Path, ParityReport]
) -> None:
    with Generator.open(of_8_bits[0], threads=1) as generator:
        got = generator.generate([0, 1], truncation_psi=1, output="img")
    reference = Reference(checkpoint)
    scene = list_image_scenes(checkpoint.config)[0]
    psnr = [compare(reference.draw(s, scene)[None], got[[s]]).psnr_db for s in (0, 1)]
    (row,) = (row for row in of_8_bits[1].rows if row.precision == STORED_WEIGHTS)
    assert row.worst_seed == int(np.argmin(psnr))
    assert row.difference.psnr_db == pytest.approx(min(psnr), abs=0.01)


def test_both_precisions_draw_what_the_rounded_weights_draw(
    checkpoint: Checkpoint, of_8_bits: tuple[Path, ParityReport]
) -> None:
    report = verify_bundle(of_8_bits[0], checkpoint, seeds=[3], threads=1)
    assert report.passed
    exact = [row for row in report.rows if row.precision == "fp32" and row.output == "img"]
    assert max(row.difference.rms for row in exact) < 2e-6
    assert {row.precision for row in report.rows} == {"fp32", "fp16", STORED_WEIGHTS}


def test_a_higher_floor_may_fail(checkpoint: Checkpoint, tmp_path: Path, refuses: Refuses) -> None:
    options: dict[str, Any] = {"half": "none", "verify_seeds": 1, "weights_floor": 60}
    with refuses("expected at least 60", error=ParityError):
        export_bundle(checkpoint, tmp_path / "out", weights="int8", **options)
    assert not list(tmp_path.iterdir())


def test_a_lower_floor_is_kept_and_told(tiny: Checkpoint, tmp_path: Path, refuses: Refuses) -> None:
    options: dict[str, Any] = {"half": "none", "verify_seeds": 1, "weights_floor": 30}
    export_bundle(tiny, tmp_path / "out", weights="int8", **options)
    told: list[str] = []
    verify_bundle(tmp_path / "out", tiny, seeds=[0], threads=1, say=told.append)
    assert [line for line in told if "the export asked for 30 dB" in line]
    change_manifest(tmp_path / "out", lambda manifest: manifest.update(weights_floor="high"))
    with refuses("manifest.json is damaged", error=BundleError):
        verify_bundle(tmp_path / "out", tiny, seeds=[0], threads=1)


@pytest.mark.parametrize(
    ("weights", "floor", "words"),
    [
        ("fp32", 50.0, "got 50 with weights='fp32', expected rounded weights: int16 or int8"),
        ("int8", float("nan"), "got nan, expected a number of dB"),
        ("int8", "high", "got 'high', expected a number of dB"),
    ],
)
def test_floors_that_cannot_be_are_refused(
    tiny: Checkpoint, tmp_path: Path, refuses: Refuses, weights: str, floor: Any, words: str
) -> None:
    with refuses(f"weights_floor: {words}"):
        export_bundle(tiny, tmp_path / "out", weights=weights, weights_floor=floor)
    assert not list(tmp_path.iterdir())

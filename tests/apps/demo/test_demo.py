"""The bundle that comes with StyleRT: it is what an export of the demo's checkpoint gives."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stylert.apps import demo
from stylert.apps.demo import SOURCE, write_demo
from stylert.export.adjoint.bundle_gradient import add_gradient
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.export.encoders.bundling import add_encoder
from stylert.export.encoders.reader import read_encoder
from stylert.export.verification import verify_bundle
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import BundleError
from stylert.runtime.generator import Generator
from stylert.runtime.proof.parity import STORED_WEIGHTS

Refuses = Callable[..., AbstractContextManager[None]]
CHECKPOINT = Path(__file__).parents[3] / "examples" / "demo.safetensors"
CLASSES = ("flower", "fish", "butterfly", "mushroom", "house", "cat")
AGAIN = "run 'make bundle', and commit what it writes"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fresh") / "bundle"
    options: dict[str, Any] = {"weights": "int16", "half": "none", "verify_seeds": 1}
    export_bundle(read_checkpoint(CHECKPOINT), out, **options)
    add_gradient(out)
    encoder = CHECKPOINT.with_name("demo_encoder.safetensors")
    add_encoder(out, read_encoder(encoder), verify=False)
    return out


def constants(path: Path) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def lasting(bundle: Path) -> dict[str, Any]:
    """What a manifest says whenever and by whatever versions it is written."""
    facts = {k: v for k, v in Bundle.open(bundle).manifest.items() if k not in ("parity", "sha256")}
    facts["files"] = sorted(facts["files"])
    facts["encoder"] = {k: v for k, v in facts["encoder"].items() if k != "parity"}
    facts["provenance"] = {k: facts["provenance"][k] for k in ("source", "notes")}
    return facts


def test_its_manifest_is_that_of_a_fresh_export(fresh: Path) -> None:
    assert lasting(SOURCE) == lasting(fresh), AGAIN


@pytest.mark.parametrize("name", ["mapping.onnx", "synthesis.onnx", "encoder.onnx"])
def test_its_graphs_are_those_of_a_fresh_export(fresh: Path, name: str) -> None:
    shipped, new = (onnx.load(path / name).graph for path in (SOURCE, fresh))
    assert list(shipped.node) == list(new.node), AGAIN
    expected, got = constants(fresh / name), constants(SOURCE / name)
    assert got.keys() == expected.keys(), AGAIN
    for key, array in expected.items():
        np.testing.assert_allclose(got[key], array, rtol=1e-6, atol=1e-12, err_msg=AGAIN)


@pytest.mark.parametrize("name", ["noise.npz", "directions.npz"])
def test_its_arrays_are_those_of_a_fresh_export(fresh: Path, name: str) -> None:
    with np.load(SOURCE / name) as shipped, np.load(fresh / name) as new:
        assert shipped.files == new.files, AGAIN
        for key in new.files:
            np.testing.assert_allclose(shipped[key], new[key], rtol=1e-4, atol=1e-5, err_msg=AGAIN)


def test_it_passes_the_proof() -> None:
    report = verify_bundle(SOURCE, read_checkpoint(CHECKPOINT), seeds=range(6), threads=1)
    assert report.passed
    (row,) = (row for row in report.rows if row.precision == STORED_WEIGHTS)
    assert row.difference.psnr_db > 85


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in SOURCE.iterdir()) < 4_500_000


def test_it_draws_its_classes(tmp_path: Path) -> None:
    write_demo(tmp_path / "demo")
    with Generator.open(tmp_path / "demo", threads=1) as generator:
        assert generator.bundle.classes.names == CLASSES
        images = generator.generate([7] * len(CLASSES), class_idx=CLASSES)
    assert images.shape == (6, 64, 64, 3)
    pairs = [(a, b) for i, a in enumerate(images) for b in images[:i]]
    assert all(np.abs(a.astype(float) - b).mean() > 10 for a, b in pairs)


def test_it_holds_what_comes_with_stylert_and_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_demo(tmp_path / "first")
    (tmp_path / "first/engines").mkdir()
    monkeypatch.setattr(demo, "SOURCE", tmp_path / "first")
    write_demo(tmp_path / "second")
    shipped = {path.name for path in SOURCE.iterdir()}
    assert {path.name for path in (tmp_path / "second").iterdir()} == shipped


def test_what_is_there_is_replaced_only_by_force(tmp_path: Path, refuses: Refuses) -> None:
    write_demo(tmp_path / "demo")
    with refuses("exists. Pass force=True"):
        write_demo(tmp_path / "demo")
    (tmp_path / "demo/noise.npz").unlink()
    write_demo(str(tmp_path / "demo"), force=True)
    Bundle.open(tmp_path / "demo")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.png").write_bytes(b"mine")
    with refuses("is no bundle: it is left as it is"):
        write_demo(tmp_path / "mine", force=True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["photo.png"]


def test_a_stylert_without_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Refuses
) -> None:
    monkeypatch.setattr(demo, "SOURCE", tmp_path / "gone")
    with refuses("No bundle at", error=BundleError):
        write_demo(tmp_path / "demo")
    assert not list(tmp_path.iterdir())

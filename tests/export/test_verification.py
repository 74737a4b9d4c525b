"""What `verify` finds besides wrong pictures."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from stylert.export.checkpoints import Checkpoint
from stylert.export.verification import check_graphs, check_provenance, verify_bundle
from stylert.runtime.bundle import Bundle, sealed
from stylert.runtime.errors import BundleError, InvalidInput


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "copy")


def replace_file(bundle: Path, name: str, data: bytes) -> None:
    """Change a file, and its checksum with it."""
    (bundle / name).write_bytes(data)
    edit_manifest(
        bundle,
        lambda m: m["files"][name].update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()),
    )


def edit_manifest(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(sealed(manifest)))


def assert_one_line(error: pytest.ExceptionInfo[BundleError]) -> None:
    assert "\n" not in str(error.value)


def test_accepts_what_export_wrote(tiny: Checkpoint, tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    check_graphs(bundle)
    assert check_provenance(bundle, tiny) == []


@pytest.mark.parametrize("name", ["mapping.onnx", "synthesis.onnx"])
def test_finds_an_invalid_graph(copy: Path, name: str) -> None:
    model = onnx.load(copy / name)
    model.graph.node[0].op_type = "NoSuchOp"
    replace_file(copy, name, model.SerializeToString())
    with pytest.raises(BundleError, match=f"{name.removesuffix('.onnx')}: .*NoSuchOp") as caught:
        check_graphs(Bundle.open(copy))
    assert_one_line(caught)


def test_finds_wrong_shapes(copy: Path) -> None:
    model = onnx.load(copy / "synthesis.onnx")
    (img,) = [output for output in model.graph.output if output.name == "img"]
    img.type.tensor_type.shape.dim[1].dim_value += 1
    replace_file(copy, "synthesis.onnx", model.SerializeToString())
    with pytest.raises(BundleError, match="synthesis: ") as caught:
        check_graphs(Bundle.open(copy))
    assert_one_line(caught)


@pytest.mark.parametrize("data", [b"", b"not a graph", b"\x00" * 100])
def test_finds_a_file_that_is_no_graph(copy: Path, data: bytes) -> None:
    replace_file(copy, "mapping.onnx", data)
    with pytest.raises(BundleError, match=r"mapping\.onnx is no ONNX file") as caught:
        check_graphs(Bundle.open(copy))
    assert_one_line(caught)


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": (6, 5, 4)},
        {"architecture": "resnet"},
        {"conv_clamp": 256.0},
        {"c_dim": 2, "embed_features": 8},
        {"mapping_layers": 3},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_refuses_another_architecture(
    make_checkpoint: Callable[..., Checkpoint], tiny_bundle: Path, changes: dict[str, Any]
) -> None:
    other = make_checkpoint(**({"channels": (6, 5)} | changes))
    expected = f"has {next(iter(changes))} .*it is the bundle of another checkpoint"
    with pytest.raises(BundleError, match=expected) as caught:
        check_provenance(Bundle.open(tiny_bundle), other)
    assert_one_line(caught)


def test_notes_another_file_of_the_same_architecture(tiny: Checkpoint, tiny_bundle: Path) -> None:
    source = replace(tiny.source, file="other.pkl", sha256="0" * 64)
    notes = check_provenance(Bundle.open(tiny_bundle), replace(tiny, source=source))
    assert notes == ["other.pkl is not the file that was exported (untrained:small)"]


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("provenance"),
        lambda m: m.update(provenance=None),
        lambda m: m["provenance"].pop("source"),
        lambda m: m["provenance"].update(source="ffhq.pkl"),
        lambda m: m["provenance"]["source"].pop("sha256"),
        lambda m: m["provenance"]["source"].pop("file"),
        lambda m: m.pop("config"),
        lambda m: m.update(config=[]),
        lambda m: m.update(config=None),
    ],
)
def test_a_manifest_without_provenance_is_an_error(
    tiny: Checkpoint, copy: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    edit_manifest(copy, change)
    other = replace(tiny, source=replace(tiny.source, sha256="0" * 64))
    with pytest.raises(BundleError) as caught:
        check_provenance(Bundle.open(copy), other)
    assert_one_line(caught)


def test_the_pictures_again(tiny: Checkpoint, tiny_bundle: Path) -> None:
    told: list[tuple[int, int]] = []
    said: list[str] = []
    other = replace(tiny, source=replace(tiny.source, sha256="0" * 64))
    report = verify_bundle(
        tiny_bundle,
        other,
        seeds=[3],
        threads=1,
        progress=lambda *now: told.append(now),
        say=said.append,
    )
    assert report.passed
    assert {row.precision for row in report.rows} == {"fp32", "fp16"}
    assert told[-1][0] == told[-1][1]
    assert said == ["untrained:small is not the file that was exported (untrained:small)"]


def test_pictures_of_another_backend(tiny: Checkpoint, tiny_bundle: Path) -> None:
    report = verify_bundle(
        tiny_bundle, tiny, seeds=[3], threads=1, backend="openvino", provider="auto"
    )
    assert report.passed
    assert [line.partition(" ")[0] for line in report.drawn_by] == ["openvino", "openvino"]
    assert report.to_json()["drawn_by"] == list(report.drawn_by)


def test_one_precision_alone(tiny: Checkpoint, tiny_bundle: Path) -> None:
    report = verify_bundle(tiny_bundle, tiny, seeds=[3], threads=1, precision="fp16")
    assert {row.precision for row in report.rows if row.output != "ws"} == {"fp16"}


def test_other_weights_are_a_report_that_failed(
    make_checkpoint: Callable[..., Checkpoint], tiny_bundle: Path
) -> None:
    other = make_checkpoint(seed=1, channels=(6, 5))
    assert not verify_bundle(tiny_bundle, other, seeds=[0], threads=1).passed


def test_a_damaged_bundle_is_not_compared(tiny: Checkpoint, copy: Path) -> None:
    (copy / "noise.npz").write_bytes(b"")
    with pytest.raises(BundleError, match=r"noise\.npz has 0 bytes"):
        verify_bundle(copy, tiny, seeds=[0])


@pytest.mark.parametrize("seeds", [[], [-1], ["one"], [0.5]])
def test_seeds_that_are_none_are_refused(tiny: Checkpoint, tiny_bundle: Path, seeds: Any) -> None:
    with pytest.raises(InvalidInput, match="seeds: got"):
        verify_bundle(tiny_bundle, tiny, seeds=seeds)

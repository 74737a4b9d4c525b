"""Layer by layer: a right graph drifts nowhere, and a wrong one in the layer that is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.layers import LayerReport, LayerRow
from stylert.export.layers.graph_layers import find_layer_values
from stylert.export.verification import compare_bundle_layers
from stylert.runtime.errors import BundleError
from stylert.runtime.proof.parity import Difference, RoundingError

# What the reference has no tensor for, by golden.
OWN = {
    "sg1-tf-32": {"normalize_z"},
    "sg2-cond-32": {"normalize_z", "normalize_c", "concat"},
    "sg2-nhwc-32": {"normalize_z"},
    "sg2-orig-32": {"normalize_z"},
    "sg3-t-64": {"normalize_z"},
}
DAMAGE = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def compare(
    bundle_of: Callable[[str], Path], goldens: Path
) -> Callable[..., tuple[Checkpoint, LayerReport]]:
    """Compares a golden's bundle with its checkpoint, in which some tensors were changed."""

    def run(name: str, **damage: DAMAGE) -> tuple[Checkpoint, LayerReport]:
        checkpoint = read_checkpoint(goldens / f"{name}.pkl")
        tensors = dict(checkpoint.tensors)
        for tensor, change in damage.items():
            tensors[tensor] = change(tensors[tensor])
        wrong = replace(checkpoint, tensors=tensors)
        return wrong, compare_bundle_layers(bundle_of(name), wrong, threads=1)

    return run


@pytest.mark.parametrize("name", OWN)
def test_a_right_graph_drifts_nowhere(
    compare: Callable[..., tuple[Checkpoint, LayerReport]], name: str
) -> None:
    checkpoint, report = compare(name)
    for row in report.rows:
        for column in row.found:
            assert row.measure_excess(column) <= 3 / 4, (row.layer, column)
    unknown = {row.layer for row in report.rows if row.truth != "float64"}
    assert {layer for layer in unknown if not layer.endswith(".upsample")} == OWN[name]
    assert {"ws", "img"} <= {row.layer for row in report.rows}
    convolutions = {n.removesuffix(".weight") for n in checkpoint.tensors if n.endswith("weight")}
    layers = {row.layer for row in report.rows} | {"L14_64_3"}  # which is 'img'
    for name in convolutions:
        layer = name.removeprefix("synthesis.").removeprefix("mapping.")
        if not layer.endswith((".affine", "torgb", ".skip", "embed")):
            assert layer in layers or f"fc{checkpoint.config.mapping_layers - 1}" == layer


def test_lucidrains_drifts_nowhere(
    make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(seed=3, family="lucidrains", learned_const=False)
    export_bundle(checkpoint, tmp_path / "bundle", verify_seeds=0, half="none")
    report = compare_bundle_layers(tmp_path / "bundle", checkpoint, threads=1)
    compared = {row.layer for row in report.rows if row.truth == "float64"}
    assert {"start", "b4.conv0", "b8.conv1", "b16.conv1", "img"} <= compared
    assert report.tell() == ["fp32: no layer drifts."]


@pytest.mark.parametrize(
    ("name", "tensor", "layer"),
    [
        ("sg2-nhwc-32", "mapping.fc1.bias", "fc1"),
        ("sg2-nhwc-32", "synthesis.b8.conv0.affine.bias", "b8.conv0"),
        ("sg2-nhwc-32", "synthesis.b16.conv1.noise_strength", "b16.conv1"),
        ("sg2-nhwc-32", "synthesis.b16.torgb.bias", "b16.torgb"),
        ("sg2-nhwc-32", "synthesis.b32.torgb.bias", "img"),
        ("sg1-tf-32", "synthesis.b16.conv0.bias", "b16.conv0"),
    ],
)
def test_it_names_the_layer_that_is_wrong(
    compare: Callable[..., tuple[Checkpoint, LayerReport]], name: str, tensor: str, layer: str
) -> None:
    """By one in a thousand."""
    _, report = compare(name, **{tensor: lambda x: np.asarray(x * 1.001, np.float32)})
    first = report.find_first("fp32")
    assert first is not None
    assert first.layer == layer
    assert report.tell()[0].startswith(f"fp32: the first layer that drifts is {layer} (")


def test_half_precision_drifts_by_its_own_rule(
    compare: Callable[..., tuple[Checkpoint, LayerReport]],
) -> None:
    _, report = compare(
        "sg2-nhwc-32", **{"synthesis.b16.conv0.weight": lambda x: x[..., ::-1].copy()}
    )
    assert {
        column: row and row.layer for column in report.columns if (row := report.find_first(column))
    } == {
        "fp32": "b16.conv0",
        "fp16": "b16.conv0",
    }
    before = [row for row in report.rows if row.layer.startswith(("b4", "b8"))]
    assert all(60 < row.found["fp16"].psnr_db < 120 for row in before)


def test_half_precision_is_compared_with_float32_where_there_is_no_checkpoint(
    bundle_of: Callable[[str], Path],
) -> None:
    report = compare_bundle_layers(bundle_of("sg2-nhwc-32"), threads=1)
    assert report.columns == ("fp16",)
    assert {row.truth for row in report.rows} == {"fp32"}
    assert report.tell() == ["fp16: no layer drifts."]


def test_a_checkpoint_of_another_architecture(
    bundle_of: Callable[[str], Path], tiny: Checkpoint
) -> None:
    with pytest.raises(BundleError, match="it is the bundle of another checkpoint"):
        compare_bundle_layers(bundle_of("sg2-nhwc-32"), tiny)


def test_stored_weights_are_rounded_in_the_reference(
    tiny: Checkpoint, tmp_path: Path, refuses: Callable[..., AbstractContextManager[None]]
) -> None:
    export_bundle(tiny, tmp_path / "bundle", verify_seeds=0, half="none", weights="int16")
    model = onnx.load(tmp_path / "bundle" / "synthesis.onnx")
    assert list(find_layer_values(model))[:2] == ["b4.conv1", "b4.torgb"]  # no computed constant
    report = compare_bundle_layers(tmp_path / "bundle", tiny, threads=1)
    assert report.tell() == ["fp32: no layer drifts."]
    with refuses("which has one precision only", "Pass checkpoint=FILE"):
        compare_bundle_layers(tmp_path / "bundle")


def test_nothing_of_polygraphy_is_printed(
    bundle_of: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    compare_bundle_layers(bundle_of("sg2-nhwc-32"), threads=1)
    assert capfd.readouterr() == ("", "")


def test_a_layer_that_is_not_finite() -> None:
    nan = Difference(math.inf, math.inf, -math.inf, False)
    right = Difference(1e-7, 1e-6, 140.0, True)
    error = RoundingError(1e-7, 1e-6, 2)
    precisions = {"fp32": "fp32", "fp16": "fp16"}
    rows = (
        LayerRow("ws", (4, 8), "float64", error, {"fp32": right}, precisions),
        LayerRow("b4.conv1", (8, 4, 4), "float64", error, {"fp32": right, "fp16": nan}, precisions),
    )
    report = LayerReport(rows)
    assert report.tell() == [
        "fp32: no layer drifts.",
        "fp16: the first layer that drifts is b4.conv1 (not finite).",
    ]
    first, second = report.make_table()
    assert (first["fp16"], second["fp16"], second[""]) == ("-", "not finite", "fp16 drifts")
    assert json.loads(json.dumps(report.to_json()))["first_drift"] == {
        "fp32": None,
        "fp16": "b4.conv1",
    }

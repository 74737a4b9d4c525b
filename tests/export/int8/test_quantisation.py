"""INT8: calibrated, measured and published; or refused, with nothing written."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.export.int8.checking import check_int8
from stylert.export.int8.quantisation import quantise_bundle
from stylert.runtime.bundle import INT8, Bundle
from stylert.runtime.errors import ParityError
from stylert.runtime.generator import Generator


def test_a_bundle_gets_a_graph_that_compilers_take_for_int8(plain_copy: Path) -> None:
    report = quantise_bundle(plain_copy, int8_floor=35)
    bundle = Bundle.open(plain_copy)  # which checks all files
    assert bundle.precisions == ("fp32", "int8")
    assert bundle.manifest["int8"] == report.to_json()
    assert report.quality.psnr_db >= 35
    nodes = {node.name: node for node in onnx.load(bundle.file(INT8)).graph.node}
    makers = {name: node for node in nodes.values() for name in node.output}
    kinds = [node.op_type for node in nodes.values()]
    quantised = report.convolutions - len(report.float32)
    assert quantised == 5
    assert kinds.count("QuantizeLinear") == quantised
    for name in ("b4.conv1", "b8.conv0", "b16.conv1"):
        convolution = nodes[f"{name}/conv"]
        values = [makers[value] for value in convolution.input]
        assert [value.op_type for value in values] == ["DequantizeLinear"] * 2
        axes = {a.name: a.i for a in values[1].attribute}
        assert axes["axis"] == (convolution.op_type == "ConvTranspose")  # that of the outputs
        before = makers[makers[values[0].input[0]].input[0]]
        assert before.op_type == "Mul"  # the style, and nothing between


def test_layers_stay_in_float32_until_the_floor_holds(plain_copy: Path) -> None:
    first = quantise_bundle(plain_copy, int8_floor=20)
    assert first.float32 == ()
    assert first.quality == first.all_int8
    floor = first.quality.psnr_db + 1
    again = quantise_bundle(plain_copy, int8_floor=floor, force=True)
    assert 0 < len(again.float32) < again.convolutions
    assert again.quality.psnr_db >= floor
    assert again.all_int8 == first.all_int8


def test_a_floor_that_cannot_be_reached_is_told_and_nothing_is_written(
    plain_copy: Path, refuses: Callable[..., Any]
) -> None:
    before = {path: path.read_bytes() for path in plain_copy.iterdir()}
    words = ("INT8 pictures reach", "expected 80 dB", "most of the error comes from b")
    with refuses(*words, error=ParityError):
        quantise_bundle(plain_copy, int8_floor=80)
    assert {path: path.read_bytes() for path in plain_copy.iterdir()} == before


def test_an_export_without_int8_for_its_floor_is_no_failure(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    said: list[str] = []
    export_bundle(tiny, tmp_path / "b", verify_seeds=0, int8_floor=80, say=said.append)
    assert Bundle.open(tmp_path / "b").precisions[-1] != "int8"
    assert len(said) == 1
    assert said[0].startswith("There is no INT8 graph. INT8 pictures reach")


@pytest.mark.parametrize("floor", [9.9, 80.1, math.nan, -math.inf, "40", [40], True])
def test_a_floor_out_of_range_is_refused(
    plain_bundle: Path, floor: Any, refuses: Callable[..., Any]
) -> None:
    with refuses("int8_floor: got", "expected a PSNR from 10 to 80 dB"):
        quantise_bundle(plain_bundle, int8_floor=floor)


def test_what_cannot_draw_int8_is_refused(
    plain_bundle: Path, int8_bundle: Path, refuses: Callable[..., Any]
) -> None:
    with refuses("precision: got 'int8'", "has only fp32", "stylert quantize BUNDLE"):
        Generator.open(plain_bundle, precision="int8")
    with refuses("already", "force=True"):
        quantise_bundle(int8_bundle)
    for where in ({"backend": "onnxruntime"}, {"provider": "webgpu"}):
        with refuses("with ONNX Runtime", "slower", "backend='openvino'"):
            Generator.open(int8_bundle, precision="int8", **where)
    with refuses("gpu: got 0", "build-engine", "--precision int8"):
        Generator.open(int8_bundle, precision="int8", gpu=0)
    with refuses("provider: got 'cuda'", "expected 'auto'"):
        Generator.open(int8_bundle, precision="int8", provider="cuda")


def test_a_full_disk_leaves_the_bundle_as_it_was(
    plain_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    before = sorted(path.name for path in plain_copy.iterdir())
    manifest = json.loads((plain_copy / "manifest.json").read_bytes())
    monkeypatch.setattr("stylert.export.int8.quantisation.ir.save", fail)
    with pytest.raises(OSError, match="No space"):
        quantise_bundle(plain_copy, int8_floor=20)
    assert sorted(path.name for path in plain_copy.iterdir()) == before
    assert json.loads((plain_copy / "manifest.json").read_bytes()) == manifest


def test_what_it_costs_is_measured_again(int8_bundle: Path, plain_copy: Path) -> None:
    check = check_int8(int8_bundle)
    assert check is not None
    assert check.passed
    facts = json.loads((int8_bundle / "manifest.json").read_bytes())["int8"]
    assert check.quality.to_json() == pytest.approx(facts["quality"], rel=0.02)
    assert check_int8(plain_copy) is None
    worse = replace(check, quality=replace(check.quality, psnr_db=facts["floor_db"] - 1))
    assert not worse.passed
    assert "expected 20 dB" in str(worse.make_error())

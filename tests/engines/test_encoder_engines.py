"""Engines of encoders with the real TensorRT-RTX, which needs no GPU: built, proven, recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorrt_rtx as trt

from stylert.engines import build_engine
from stylert.engines.parsed_graph import ParsedGraph
from stylert.engines.request import BuildRequest
from stylert.export.encoders.bundling import add_encoder
from stylert.export.encoders.graph import build_encoder_graph, list_blocks
from stylert.export.encoders.reader import read_encoder
from stylert.runtime.backends.tensorrt.plans import Plan, list_plans
from stylert.runtime.backends.tensorrt.tensorrt_log import tensorrt_logger
from stylert.runtime.bundle import ENCODER, HALF_ENCODER, Bundle, hash_file, sealed
from stylert.runtime.errors import EngineError

Refuses = Callable[..., AbstractContextManager[None]]
GOLDENS = Path(__file__).parents[1] / "goldens" / "encoders"
VERSION = trt.__version__


@pytest.fixture(scope="module")
def sees_drawing(
    bundle_of: Callable[[str], Path],
    make_encoder: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A bundle in half precision whose encoder sees what it has drawn. Read only."""
    path = tmp_path_factory.mktemp("encoder") / "bundle"
    shutil.copytree(bundle_of("sg2-nhwc-32"), path)
    spec = Bundle.open(path).spec
    add_encoder(path, make_encoder(spec.num_ws, spec.w_dim, feedback=True))
    return path


@pytest.fixture
def own(sees_drawing: Path, tmp_path: Path) -> Path:
    """The same, a test's own."""
    return shutil.copytree(sees_drawing, tmp_path / "own")


def build(bundle: Path, said: list[str] | None = None, **options: Any) -> list[Plan]:
    wanted = {"compiler": "tensorrt-rtx", "sm": "86,89,120", "batch": "1:2:4"}
    lines: list[str] = [] if said is None else said
    return build_engine(bundle, say=lines.append, **(wanted | options))


def test_an_encoder_is_built_with_the_rest(own: Path) -> None:
    said: list[str] = []
    plans = build(own, said)
    bundle = Bundle.open(own)
    assert list_plans(bundle) == sorted(plans, key=lambda plan: plan.name)
    assert [plan.name for plan in plans] == [
        f"tensorrt_rtx-{VERSION}-sm86_89_120-fp32-mapping-b1to2to4",
        f"tensorrt_rtx-{VERSION}-sm86_89_120-fp16-synthesis-b1to2to4-both",
        f"tensorrt_rtx-{VERSION}-sm86_89_120-fp16-encoder-b1to2to4",
    ]
    assert said[1:] == ["The synthesis gives img, too: the bundle's encoder sees what was drawn."]
    assert plans[1].outputs == ("image", "img")
    encoder = plans[2]
    assert (encoder.outputs, encoder.batches) == (("ws",), ((1, 2, 4),))
    assert encoder.compute_capabilities == ("8.6", "8.9", "12.0")
    assert encoder.onnx_sha256 == hash_file(bundle.file(HALF_ENCODER))
    assert encoder.census["convolutions"] == {"HALF": 3}
    assert encoder.read(bundle)
    build(own, said := [])
    assert [line for line in said if "up to date" in line] == [
        f"{plan.name} is up to date." for plan in plans
    ]


def test_another_encoder_is_built_again_alone(own: Path, make_encoder: Callable[..., Any]) -> None:
    graphs = ("mapping", "encoder")
    first = build(own, sm="89", graphs=graphs)
    spec = Bundle.open(own).spec
    encoder = make_encoder(spec.num_ws, spec.w_dim)
    add_encoder(own, encoder, force=True, verify=False)
    second = build(own, said := [], sm="89", graphs=graphs)
    assert said[1:] == [
        "The encoder computes in float32: the bundle has no encoder.fp16.onnx.",
        f"{first[0].name} is up to date.",
    ]
    assert second[1].precision == "fp32"
    assert second[1].census["convolutions"] == {"FLOAT": 3}


def test_a_float32_encoder_offered_as_half_is_refused(own: Path, refuses: Refuses) -> None:
    manifest = json.loads((own / "manifest.json").read_text())
    shutil.copy(own / "encoder.onnx", own / "encoder.fp16.onnx")
    manifest["files"]["encoder.fp16.onnx"] = manifest["files"]["encoder.onnx"]
    (own / "manifest.json").write_text(json.dumps(sealed(manifest)))
    with refuses("encoder.fp16.onnx", "stem/conv", "expected HALF", error=EngineError):
        build(own, graphs=("encoder",))
    manifest["encoder"]["half"] = None
    (own / "manifest.json").write_text(json.dumps(sealed(manifest)))
    with refuses("encoder.fp16.onnx", "0 convolutions", error=EngineError):
        build(own, graphs=("encoder",))


def test_a_synthesis_gives_no_img_that_nobody_sees(sees_drawing: Path) -> None:
    bundle = Bundle.open(sees_drawing)
    for graphs, output, lacks in (
        (("synthesis", "encoder"), "image", True),
        (("synthesis", "encoder"), "img", False),
        (("mapping", "synthesis"), "image", False),
        (("encoder",), "image", False),
    ):
        assert BuildRequest(bundle, graphs=graphs, output=output).lacks_img is lacks


@pytest.mark.parametrize("name", ["e4e-32", "psp-seg-32", "restyle-resnet-16"])
def test_every_kind_of_the_field_is_parsed_and_half_where_it_says_so(
    name: str, tmp_path: Path
) -> None:
    """Building them takes a minute: docs/engines.md has what came of it."""
    encoder = read_encoder(GOLDENS / f"{name}.pt")
    side = 2 ** (encoder.config.num_ws // 2 + 1)
    blocks = list_blocks(encoder.config)
    file = tmp_path / "encoder.fp16.onnx"
    build_encoder_graph(encoder, (3, side, side), blocks).save(file)
    logger = tensorrt_logger(trt)
    parsed = ParsedGraph(trt, trt.Builder(logger), logger, file, "fp16")
    names = [*blocks, "pyramid1", "pyramid2", *(f"styles{i}" for i in range(side))]
    parsed.check_precision("fp16", names)
    excitation = 48 if encoder.config.backbone == "ir_se50" else 0  # two in each of 24 units
    convolutions = parsed.count_types()["convolutions"]
    assert convolutions.get("FLOAT", 0) == excitation < convolutions["HALF"]
    rows = {tensor: np.array(shapes) for tensor, shapes in _profile(parsed).items()}
    assert set(rows) == ({"photo", "img", "codes"} if encoder.config.feedback else {"photo"})
    assert all(shape[:, 0].tolist() == [1, 4, 8] for shape in rows.values())


def _profile(parsed: ParsedGraph) -> dict[str, Any]:
    """The shapes of each input."""
    profile = parsed.make_profile((1, 4, 8))
    inputs = (parsed.network.get_input(i).name for i in range(parsed.network.num_inputs))
    return {name: [tuple(shape) for shape in profile.get_shape(name)] for name in inputs}


def test_the_head_in_half_precision_is_held_to_it(sees_drawing: Path) -> None:
    bundle = Bundle.open(sees_drawing)
    request = BuildRequest(bundle, graphs=(ENCODER,))
    assert set(request.list_half_blocks(ENCODER)) == {"stem", "down0", "same0"}
    manifest = json.loads(json.dumps(bundle.manifest))
    manifest["encoder"]["half"] = {"half_blocks": ["input", "head"]}
    request = BuildRequest(replace(bundle, manifest=manifest), graphs=(ENCODER,))
    assert {"input", "head", "pyramid2", "styles0"} <= set(request.list_half_blocks(ENCODER))
    assert len(request.list_half_blocks(ENCODER)) == 4 + bundle.spec.num_ws

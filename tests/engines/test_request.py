from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stylert.engines.request import BuildRequest, parse_batches
from stylert.runtime.bundle import HALF, Bundle

Refuses = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="module")
def opened(bundle_of: Callable[[str], Path]) -> Bundle:
    return Bundle.open(bundle_of("sg2-nhwc-32"))


@pytest.mark.parametrize(
    ("text", "batches"),
    [
        ("1", ((1, 1, 1),)),
        ("1,4,8", ((1, 1, 1), (4, 4, 4), (8, 8, 8))),
        (" 2, 1024 ", ((2, 2, 2), (1024, 1024, 1024))),
        ("1:4:8", ((1, 4, 8),)),
        ("2:2:2", ((2, 2, 2),)),
    ],
)
def test_batches_are_sizes_or_a_range(text: str, batches: tuple[Any, ...]) -> None:
    assert parse_batches(text) == batches


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "1025", "a", "1,,4", "4,1", "4,4", "1:4", "8:4:1", "1:4:8,16", "1.5", "²"],
)
def test_other_batches_are_refused(text: str, refuses: Refuses) -> None:
    with refuses("batch", repr(text), "'1,4,8'", "'1:4:8'"):
        parse_batches(text)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"precision": "int4"}, ("precision", "int4", "'fp16'", "'fp32'", "'int8'")),
        ({"output": "png"}, ("output", "png", "('image', 'img', 'both')")),
        (
            {"graphs": ("discriminator",)},
            ("graphs", "discriminator", "('mapping', 'synthesis', 'encoder')"),
        ),
        ({"graphs": ()}, ("graphs", "('mapping', 'synthesis', 'encoder')")),
        ({"graphs": ("encoder",)}, ("has no encoder", "stylert encoder")),
        ({"optimization_level": 6}, ("level", "6", "0 to 5")),
        ({"workspace": 0}, ("workspace", "got 0", "at least 1")),
    ],
)
def test_wrong_values_are_refused(
    opened: Bundle, wrong: dict[str, Any], words: tuple[str, ...], refuses: Refuses
) -> None:
    with refuses(*words):
        BuildRequest(opened, **wrong)


def test_a_bundle_without_half_graph_is_only_built_in_fp32(
    opened: Bundle, refuses: Refuses
) -> None:
    graphs = {name: graph for name, graph in opened.graphs.items() if name != HALF}
    plain = replace(opened, graphs=graphs)
    with refuses("synthesis.fp16.onnx", "precision='fp32'"):
        BuildRequest(plain)
    assert BuildRequest(plain, precision="fp32").find_onnx("synthesis").name == "synthesis.onnx"
    assert BuildRequest(plain, graphs=("mapping",)).find_onnx("mapping").name == "mapping.onnx"


def test_the_mapping_is_float32_in_both_precisions(opened: Bundle) -> None:
    request = BuildRequest(opened, precision="fp16", output="both")
    assert [request.find_precision(graph) for graph in request.graphs] == ["fp32", "fp16"]
    assert [request.find_onnx(graph).name for graph in request.graphs] == [
        "mapping.onnx",
        "synthesis.fp16.onnx",
    ]
    assert request.list_outputs("mapping") == ("ws",)
    assert request.list_outputs("synthesis") == ("image", "img")


def test_file_names_tell_sizes_from_ranges(opened: Bundle) -> None:
    profiles = {
        text: BuildRequest(opened, batches=parse_batches(text)).profile
        for text in ("1,4,8", "1:4:8", "4", "4:4:4")
    }
    assert profiles == {"1,4,8": "b1_4_8", "1:4:8": "b1to4to8", "4": "b4", "4:4:4": "b4"}


@pytest.mark.parametrize("half", [None, "all", {}, {"half_blocks": None}, {"half_blocks": [8]}])
def test_a_manifest_need_not_say_which_blocks_are_half(opened: Bundle, half: Any) -> None:
    manifest = {**opened.manifest, "half": half}
    request = BuildRequest(replace(opened, manifest=manifest))
    assert request.list_half_blocks("synthesis") == ()
    assert BuildRequest(opened).list_half_blocks("synthesis") == ("b8", "b16", "b32")

"""The benchmark of an encoder: its work is counted, all see the same, and their codes agree."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from stylert.apps.bench import encoder_bench
from stylert.apps.bench.encoder_baselines import open_eager_encoder
from stylert.apps.bench.encoder_bench import bench_encoder, parse_encoder_backends
from stylert.apps.bench.encoder_candidates import make_encoder_feeds, open_encoder
from stylert.export.encoders.bundling import add_encoder
from stylert.export.encoders.graph import build_encoder_graph
from stylert.export.encoders.native import write_encoder
from stylert.export.encoders.reader import read_encoder
from stylert.export.encoders.untrained import make_untrained_encoder
from stylert.export.encoders.work import count_multiply_adds
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError

Refuses = Callable[..., AbstractContextManager[None]]
GOLDENS = Path(__file__).parents[2] / "goldens" / "encoders"


@pytest.fixture
def with_encoder(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of the test's own with an encoder that sees what was drawn, its file beside it."""
    path = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    spec = Bundle.open(path).spec
    made = make_untrained_encoder(spec.num_ws, spec.w_dim)
    write_encoder(made, tmp_path / "encoder.safetensors", trained="nothing")
    add_encoder(path, read_encoder(tmp_path / "encoder.safetensors"), verify=False)
    return path


@pytest.mark.parametrize("name", ["e4e-32", "psp-seg-32", "psp-w-16", "restyle-resnet-16", ""])
def test_work_is_that_of_the_graph(name: str, tmp_path: Path) -> None:
    encoder = read_encoder(GOLDENS / f"{name}.pt") if name else make_untrained_encoder(4, 8)
    build_encoder_graph(encoder, (3, 16, 16)).save(tmp_path / "encoder.onnx")
    graph = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "encoder.onnx")).graph
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    sizes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    cast = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weight = cast.get(node.input[1], node.input[1])
            total += math.prod(weights[weight]) * math.prod(sizes[node.output[0]][2:])
    assert count_multiply_adds(encoder.config) == total


@pytest.mark.parametrize("feedback", [False, True])
def test_all_see_the_same_and_make_the_same_codes(
    tiny_bundle: Path, tmp_path: Path, *, feedback: bool
) -> None:
    path = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    spec = Bundle.open(path).spec
    made = make_untrained_encoder(spec.num_ws, spec.w_dim, feedback=feedback)
    add_encoder(path, made, verify=False)
    feeds = make_encoder_feeds(Bundle.open(path), 3)
    assert set(feeds) == ({"photo", "img", "codes"} if feedback else {"photo"})
    for name, array in make_encoder_feeds(Bundle.open(path), 3).items():
        np.testing.assert_array_equal(array, feeds[name])
    ours = open_encoder(bundle=path, max_batch=3, threads=1)
    ours.prepare(3)
    codes = ours.run()
    assert codes.shape == (3, 1, spec.num_ws, spec.w_dim)
    assert np.ptp(codes, axis=0).max() > 0.01
    assert ours.describe()["device"] == "cpu"
    ours.close()
    if not feedback:
        write_encoder(made, tmp_path / "encoder.safetensors", trained="nothing")
        add_encoder(path, read_encoder(tmp_path / "encoder.safetensors"), force=True, verify=False)
        ours = open_encoder(bundle=path, max_batch=3, threads=1)
        theirs = open_eager_encoder(
            bundle=str(path), file=str(tmp_path / "encoder.safetensors"), threads=1
        )
        for candidate in (ours, theirs):
            candidate.prepare(2)
        np.testing.assert_allclose(ours.run(), theirs.run(), rtol=0, atol=1e-5)
        assert theirs.describe()["precision"] == "fp32"
        ours.close()
        theirs.close()


def test_how_far_codes_may_be_off(with_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(encoder_bench, "run_bench", lambda some, **more: given.update(more))
    bench_encoder(with_encoder, ["onnxruntime"], batches=[1])
    assert given["tolerance"].max_abs == 1e-4
    assert given["subject"] == "encoder of StyleRT, 16x16"
    assert given["device_gemm"] is None


def test_backends_that_are_refused(tiny_bundle: Path, refuses: Refuses) -> None:
    names = ["torch-eager", "onnxruntime", "openvino"]
    assert parse_encoder_backends(None, with_file=True) == names
    assert parse_encoder_backends(None, with_file=False) == names[1:]
    assert parse_encoder_backends("tensorrt,torch-compile", with_file=True) == [
        "tensorrt",
        "torch-compile",
    ]
    with refuses("backends: got 'int8', expected onnxruntime, "):
        parse_encoder_backends("int8", with_file=False)
    with refuses("needs the encoder's file. Pass checkpoint=FILE"):
        parse_encoder_backends("torch-eager", with_file=False)
    with refuses("has no encoder", "stylert encoder"):
        bench_encoder(tiny_bundle, ["onnxruntime"])


def test_engines_without_one_of_the_encoder_are_not_timed(
    with_encoder: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else ONNX Runtime beside them would be."""

    class OnEngines:
        bundle = Bundle.open(with_encoder)

        def describe(self) -> dict[str, Any]:
            return {"backend": "tensorrt", "encoder": "ONNX Runtime on the CPU"}

        def close(self) -> None:
            pass

    monkeypatch.setattr(
        "stylert.apps.bench.encoder_candidates.open_on", lambda *_, **__: (OnEngines(), None)
    )
    with refuses("no engine of the bundle's encoder", "build-engine", error=EngineError):
        open_encoder(bundle=with_encoder, max_batch=1, backend="tensorrt")

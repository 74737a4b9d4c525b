"""StyleGAN3's second graph, for GPUs: few nodes, the same pictures, weights that exist once."""

from __future__ import annotations

import copy
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stylert.engines import BuildRequest
from stylert.export.adjoint.shared_weights import SMALL
from stylert.export.checkpoints import read_checkpoint
from stylert.export.gpu_shape import check_gpu_shape
from stylert.runtime.backends.graph_forms import (
    find_engine_graph,
    find_synthesis,
    hash_engine_graph,
)
from stylert.runtime.bundle import GPU, Bundle
from stylert.runtime.errors import ParityError

MOST = 120  # convolutions: a GPU pays for each node
FUSED = ("Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid")  # into a convolution


@pytest.fixture(scope="module", params=["sg3-t-64", "sg3-r-64"])
def opened(request: pytest.FixtureRequest, bundle_of: Any) -> Bundle:
    return Bundle.open(bundle_of(request.param))


def test_has_few_convolutions(opened: Bundle) -> None:
    for graph, most in ((GPU, MOST), ("synthesis", 512)):
        nodes = onnx.load(opened.file(graph), load_external_data=False).graph.node
        counts = Counter(node.op_type for node in nodes)
        assert 40 < counts["Conv"] + counts["ConvTranspose"] <= most
    assert opened.graphs[GPU].inputs == opened.graphs["synthesis"].inputs
    assert opened.graphs[GPU].outputs == opened.graphs["synthesis"].outputs


def test_weights_lie_in_the_other_file(opened: Bundle) -> None:
    graph = onnx.load(opened.file(GPU), load_external_data=False).graph
    weights = [t for t in graph.initializer if "/conv_weight" in t.name or "conv/weight" in t.name]
    assert len(weights) >= 14, "one of each layer"
    for tensor in weights:
        told = {entry.key: entry.value for entry in tensor.external_data}
        assert told.get("location") == "synthesis.onnx" or len(tensor.raw_data) < SMALL, tensor.name


def test_no_activation_follows_another(opened: Bundle) -> None:
    """ONNX Runtime before 1.32 fuses both into a convolution for WebGPU, and forgets the first."""
    nodes = onnx.load(opened.file(GPU), load_external_data=False).graph.node
    kinds = {name: node.op_type for node in nodes for name in node.output}
    followed = [kinds.get(node.input[0]) for node in nodes if node.op_type in FUSED]
    assert followed.count("Conv") == 14, "the nonlinearity of each layer but ToRGB"
    assert not set(followed) & set(FUSED)


def test_gpus_take_it(opened: Bundle) -> None:
    assert find_synthesis(opened, "cpu", "fp32") == "synthesis"
    assert find_synthesis(opened, "cuda", "fp32") == GPU
    assert find_synthesis(opened, "webgpu", "fp32") == GPU
    assert find_synthesis(opened, "webgpu", "fp16") == "synthesis.fp16"
    assert find_engine_graph(opened, "synthesis", "fp16") == "synthesis.fp16"
    assert BuildRequest(opened, precision="fp32").find_onnx("synthesis") == opened.file(GPU)


def test_engine_is_of_both_files(opened: Bundle) -> None:
    """The weights of the one lie in the other: an engine of other weights does not pass for it."""
    before = hash_engine_graph(opened, "synthesis", "fp32")
    manifest = copy.deepcopy(dict(opened.manifest))
    manifest["files"]["synthesis.onnx"]["sha256"] = "0" * 64
    assert hash_engine_graph(replace(opened, manifest=manifest), "synthesis", "fp32") != before
    assert hash_engine_graph(opened, "synthesis", "int8") == ""
    rounded = replace(opened, manifest={**opened.manifest, "weights": "int16"})
    assert find_engine_graph(rounded, "synthesis", "fp32") == "synthesis"


def test_another_function_is_refused(goldens: Path, bundle_of: Any, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(str(goldens / "sg3-t-64.pkl"))
    proven, for_gpus = tmp_path / "synthesis.onnx", tmp_path / "synthesis.gpu.onnx"
    for path in (proven, for_gpus):
        shutil.copy(bundle_of("sg3-t-64") / path.name, path)
    check_gpu_shape(proven, for_gpus, checkpoint, None)
    model = onnx.load(for_gpus, load_external_data=False)
    bias = next(t for t in model.graph.initializer if t.name.endswith("/bias"))
    bias.CopyFrom(numpy_helper.from_array(np.array(numpy_helper.to_array(bias) + 0.01), bias.name))
    onnx.save(model, for_gpus)
    with pytest.raises(ParityError, match=r"synthesis\.gpu\.onnx: its picture is .* from that of"):
        check_gpu_shape(proven, for_gpus, checkpoint, None)

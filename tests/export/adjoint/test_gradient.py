"""gradient.onnx against autograd in float64, and where its weights lie."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from stylert.export.adjoint.bundle_gradient import add_gradient
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.runtime.bundle import Bundle
from stylert.runtime.files.external_data import find_external_files
from stylert.runtime.generator import Generator
from stylert.tests.loading import load_file

AUTOGRAD = load_file(Path(__file__).with_name("autograd.py"), "adjoint_autograd")


def assert_is_autograds(trial: Any) -> None:
    """At most 4 times as far from float64 as torch's float32 is, or 1e-5."""
    found, exact = trial.run_graph(), trial.run_torch(torch.float64)
    rounded = trial.run_torch(torch.float32)
    assert np.allclose(found.loss, exact.loss, rtol=1e-5)
    assert set(found.of) == set(exact.of)
    for name, gradient in found.of.items():
        bound = max(1e-5, 4 * AUTOGRAD.measure_distance(rounded.of[name], exact.of[name]))
        assert AUTOGRAD.measure_distance(gradient, exact.of[name]) <= bound, name


@pytest.mark.parametrize(
    ("golden", "noise"),
    [
        ("sg1-tf-32", "own"),
        ("sg2-hot-64", "const"),  # its clamps hold
        ("sg2-resnet-32", "none"),
        ("field/luci16attn", "own"),
        ("field/sg3t-statedict", "none"),
        ("field/sg3r-decoder", "none"),
    ],
)
def test_gradients_are_those_of_autograd(
    golden: str, noise: str, goldens: Path, tmp_path: Path
) -> None:
    file = next(p for p in goldens.glob(f"{golden}.*") if p.suffix in (".pkl", ".pt"))
    assert_is_autograds(AUTOGRAD.Trial(read_checkpoint(file), tmp_path, noise=noise))


@pytest.mark.parametrize("noise", ["const", "none", "own"])
def test_one_noise_and_many(noise: str, tiny: Checkpoint, tmp_path: Path) -> None:
    assert_is_autograds(AUTOGRAD.Trial(tiny, tmp_path, noise=noise, count=3))


def test_a_batch_of_one_has_the_same(tiny: Checkpoint, tmp_path: Path) -> None:
    trial = AUTOGRAD.Trial(tiny, tmp_path, noise="own", count=3)
    together = trial.run_graph()
    trial.feeds = {name: array[1:2] for name, array in trial.feeds.items()}
    alone = trial.run_graph()
    for name, gradient in alone.of.items():
        np.testing.assert_allclose(gradient[0], together.of[name][1], rtol=1e-4, atol=1e-9)


def test_of_an_activation_only_its_output_is_kept(tiny: Checkpoint, tmp_path: Path) -> None:
    """Large values are what a step's memory goes to."""
    graph = onnx.load(str(AUTOGRAD.Trial(tiny, tmp_path).file)).graph
    used = {name for n in graph.node if n.name.startswith("adjoint/") for name in n.input}
    before = [n for n in graph.node if n.name.endswith("conv1/add_bias")]
    assert before
    assert not used.intersection(name for node in before for name in node.output)


@pytest.fixture(scope="module")
def big(make_checkpoint: Callable[..., Checkpoint]) -> Checkpoint:
    """One whose weights are most of its graph."""
    return make_checkpoint(channels=(64, 64))


def test_what_is_made_of_layers_waits_for_the_gradient(big: Checkpoint, tmp_path: Path) -> None:
    """Else a runtime makes it at once, and keeps it until it is needed."""
    graph = onnx.load(str(AUTOGRAD.Trial(big, tmp_path).file)).graph
    layers = {x for node in graph.node for x in node.output if x.startswith("b")}
    zeros = {n.output[0] for n in graph.node if n.op_type == "Clip"}
    held = {n.output[0] for n in graph.node if n.op_type == "Add" and zeros.intersection(n.input)}
    later, early = {"target"}, []
    for node in graph.node:
        if later.intersection(node.input):
            later.update(node.output)
        elif node.name.startswith("adjoint/") and layers.intersection(node.input):
            early.append(node.name)
    assert not early
    # Of the layers to RGB, all but the last.
    assert any(node.op_type == "Conv" and node.input[0] in held for node in graph.node)


@pytest.mark.parametrize("weights", ["fp32", "int16"])
def test_the_weights_are_those_of_the_synthesis_graph(
    weights: str, big: Checkpoint, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    export_bundle(big, out, verify_seeds=0, half="none", weights=weights, gradient=True)
    file = out / "gradient.onnx"
    assert find_external_files(file) == {"synthesis.onnx"}
    held = {t.name: t for t in onnx.load(str(out / "synthesis.onnx")).graph.initializer}
    loaded = {t.name: t for t in onnx.load(str(file)).graph.initializer}
    shared = [
        t
        for t in onnx.load(str(file), load_external_data=False).graph.initializer
        if t.external_data
    ]
    assert sum(held[t.name].ByteSize() for t in shared) > 0.8 * sum(
        t.ByteSize() for t in held.values()
    )
    for tensor in shared:
        assert loaded[tensor.name].raw_data == held[tensor.name].raw_data
    assert "gradient" in Bundle.open(out).graphs
    copy = shutil.copytree(out, tmp_path / "copy")
    with Generator.open(copy, provider="cpu") as generator:
        assert np.isfinite(generator.draw_gradient(generator.styles([1]), 0.5).ws).all()


def test_a_bundle_gets_its_gradient_later(
    bundle_copy: Path, refuses: Callable[..., Any], tmp_path: Path
) -> None:
    with Generator.open(bundle_copy, provider="cpu") as generator:
        assert not generator.has_gradient
        with refuses("has no gradient", "stylert gradient"):
            generator.draw_gradient(generator.styles([1]), 0.0)
    before = (bundle_copy / "synthesis.onnx").read_bytes()
    file = add_gradient(bundle_copy)
    first = file.read_bytes()
    assert (bundle_copy / "synthesis.onnx").read_bytes() == before
    with refuses("has a gradient already"):
        add_gradient(bundle_copy)
    assert add_gradient(bundle_copy, force=True).read_bytes() == first
    assert {p.name for p in bundle_copy.iterdir() if p.name.startswith(".")} == set()
    Bundle.open(bundle_copy)

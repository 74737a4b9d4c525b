"""The graph of lucidrains' stylegan2_pytorch: it draws what the package and the reference draw."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from stylert.engines import build_engine
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8
from stylert.runtime.proof.parity import TOLERANCES, batch_difference, compare

NAMES = ("luci16", "luci16attn", "luci16rgba")
BOUND = 5e-6  # of 0 to 1; the issue asks for 3e-5

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "plain": {},
    "4 px": {"channels": (6,)},
    "64 px": {"channels": (12, 12, 10, 8, 6)},
    "projected": {"learned_const": False},
    "gray, attention everywhere": {"img_channels": 1, "attention": ("b4", "b8", "b16")},
    "attention in front": {"attention": ("b4",), "learned_const": False, "channels": (8, 8)},
    "mapping": {"mapping_layers": 5, "mapping_lr_multiplier": 0.1},
}


@pytest.fixture(scope="module")
def small(make_checkpoint: Callable[..., Checkpoint]) -> Callable[..., Checkpoint]:
    def make(**changes: Any) -> Checkpoint:
        return make_checkpoint(seed=3, family="lucidrains", **changes)

    return make


@pytest.fixture(scope="module", params=NAMES)
def drawn(
    request: pytest.FixtureRequest, goldens: Path, bundle_of: Callable[[str], Path]
) -> tuple[Path, dict[str, np.ndarray]]:
    arrays = dict(np.load(goldens / "field" / f"{request.param}.npz"))
    return bundle_of(f"field/{request.param}"), arrays


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_bundle_draws_what_the_package_draws(
    drawn: tuple[Path, dict[str, np.ndarray]], precision: str
) -> None:
    path, arrays = drawn
    noise = {"noise": arrays["noise"].transpose(0, 3, 1, 2)}
    with Generator.open(path, provider="cpu", precision=precision) as generator:
        w = generator.map(arrays["z"], truncation_psi=1.0)[:, 0]
        img = generator.synthesize(arrays["ws"], noise=noise, output="img")
        image = generator.synthesize(arrays["ws"], noise=noise)
        alone = generator.synthesize(
            arrays["ws"][1:2], noise={"noise": noise["noise"][1:2]}, output="img"
        )
        batch = batch_difference(generator)
    np.testing.assert_allclose(w, arrays["w"], rtol=0, atol=3e-8)
    if precision == "fp32":
        np.testing.assert_allclose((img + 1) / 2, arrays["img_raw"], rtol=0, atol=BOUND)
    difference = compare(2 * arrays["img_raw"] - 1, img)
    assert difference.within(TOLERANCES[precision]), difference
    assert compare(img[1:2], alone).within(TOLERANCES["fp32"])
    assert batch.within(TOLERANCES["fp32"])
    # The package's pictures are saved so: clamped, times 255, rounded.
    saved = np.floor(arrays["img"].transpose(0, 2, 3, 1) * 255 + 0.5).astype(int)
    assert np.abs(saved - image).max() <= 1
    assert np.array_equal(to_uint8(img), image)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_bundles_pass_their_own_check(
    name: str, small: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    checkpoint = small(**ARCHITECTURES[name])
    report = export_bundle(checkpoint, tmp_path / "bundle", verify_seeds=2, half="all")
    assert report is not None
    assert report.passed
    assert report.has_passed("fp16")
    assert {row.scene.noise_mode for row in report.rows} == {"-", "const", "none", "seeded"}


def test_contract(small: Callable[..., Checkpoint]) -> None:
    graph = build_synthesis_graph(small())
    inputs = {t.name: t.shape for t in graph.inputs}
    assert inputs == {"ws": ("N", 3, 8), "noise": ("M", 1, 16, 16)}
    outputs = {t.name: (t.dtype, t.shape) for t in graph.outputs}
    assert outputs == {
        "image": ("uint8", ("N", 16, 16, 3)),
        "img": ("float32", ("N", 3, 16, 16)),
    }


def test_attention_is_in_float32(small: Callable[..., Checkpoint], tmp_path: Path) -> None:
    """Whatever the blocks around it compute in."""
    checkpoint = small(attention=("b8", "b16"))
    blocks = checkpoint.config.block_names
    build_synthesis_graph(checkpoint, half_blocks=blocks).save(tmp_path / "a.onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "a.onnx"))
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    outputs = [name for node in model.graph.node for name in node.output]
    float32, half = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    convs = {
        node.output[0]: types[node.output[0]] for node in model.graph.node if node.op_type == "Conv"
    }
    for name, kind in convs.items():
        inside = name.startswith(("attention_", "feedforward_")) or ".upsample/" in name
        assert kind == (float32 if inside else half), name
    assert any(name.startswith("attention_b8/") for name in outputs)


def test_rounding_after_every_operation(goldens: Path, tmp_path: Path) -> None:
    """The oracle of the numerics: onnx's own evaluator has no fusions and no wider registers."""
    checkpoint = read_checkpoint(goldens / "field" / "luci16.pt")
    arrays = dict(np.load(goldens / "field" / "luci16.npz"))
    blocks = checkpoint.config.block_names
    build_synthesis_graph(checkpoint, half_blocks=blocks).save(tmp_path / "a.onnx")
    feeds = {"ws": arrays["ws"], "noise": arrays["noise"].transpose(0, 3, 1, 2)}
    (img,) = ReferenceEvaluator(str(tmp_path / "a.onnx")).run(["img"], feeds)
    difference = compare(2 * arrays["img_raw"] - 1, np.asarray(img))
    assert difference.within(TOLERANCES["fp16"]), difference


@pytest.mark.parametrize(
    ("name", "precision"), [("luci16attn", "fp32"), ("luci16attn", "fp16"), ("luci16rgba", "fp16")]
)
def test_engine_of_a_golden(
    name: str, precision: str, bundle_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """TensorRT-RTX takes the graph, and computes its convolutions in the precision asked for."""
    bundle = shutil.copytree(bundle_of(f"field/{name}"), tmp_path / "bundle")
    (plan,) = build_engine(
        bundle,
        compiler="tensorrt-rtx",
        sm="89",
        batch="1:2:4",
        precision=precision,
        graphs=("synthesis",),
    )
    assert ("HALF" in plan.census["convolutions"]) is (precision == "fp16")
    assert plan.read(Bundle.open(bundle))

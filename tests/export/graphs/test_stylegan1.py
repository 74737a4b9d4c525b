"""The graph of StyleGAN 1: it draws what the reference and the official implementation draw."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from stylert.engines import build_engine
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, StyleGAN1Config, read_checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.export.graphs.emitter import list_noise_inputs, name_noise
from stylert.export.graphs.mapping import build_mapping_graph
from stylert.export.models.stylegan1 import StyleGAN1
from stylert.export.precision import choose_half
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8
from stylert.runtime.proof.parity import TOLERANCES, Difference, compare

GOLDENS = ["sg1-tf-256", "sg1-tf-32"]
BLOCKS = ("b4", "b8", "b16")

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "lrelu": {},
    "relu": {"activation": "relu"},
    "quiet": {"use_noise": False},
    "relu-quiet": {"activation": "relu", "use_noise": False},
    "all fused": {"fused_from": 8},
    "one fused": {"fused_from": 16},
    "one class": {"c_dim": 1, "embed_features": 8, "joint_normalization": True},
    "five classes": {"c_dim": 5, "embed_features": 6, "joint_normalization": True},
    "gray": {"img_channels": 1},
    "four channels": {"img_channels": 4, "channels": (8, 8)},
    "4x2": {"const_shape": (4, 2), "fused_from": 16},
    "3x5": {"const_shape": (3, 5)},
    "mapping": {"mapping_layers": 8, "mapping_features": 12, "z_dim": 6, "w_dim": 10},
    "4 px": {"channels": (24,)},
    "4 px-quiet": {"channels": (24,), "use_noise": False},
    "32 px": {"channels": (24, 16, 8, 8), "fused_from": 32},
}

AssertSame = Callable[..., None]
MakeCheckpoint = Callable[..., Checkpoint]

NOISES = ("const", "none", "shared", "own")


@pytest.fixture(scope="module")
def small(make_checkpoint: MakeCheckpoint) -> MakeCheckpoint:
    return partial(make_checkpoint, seed=3, family="stylegan1")


def saved(checkpoint: Checkpoint, folder: Path, **options: Any) -> Path:
    path = folder / "synthesis.onnx"
    build_synthesis_graph(checkpoint, **options).save(path)
    return path


def opened(path: Path, *, optimized: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def noise_fields(checkpoint: Checkpoint, noise: str, batch: int) -> dict[str, np.ndarray]:
    """The noise inputs: [1, 1, h, w] of the checkpoint, zeros or random, or random per image."""
    stored = list_noise_inputs(checkpoint)
    if noise == "const":
        return stored
    random = np.random.RandomState(6)
    count, scale = batch if noise == "own" else 1, 0 if noise == "none" else 1
    return {
        name: (scale * random.randn(count, *field.shape[1:])).astype(np.float32)
        for name, field in stored.items()
    }


def assert_draws_alike(
    checkpoint: Checkpoint,
    synthesis: onnxruntime.InferenceSession,
    *,
    batch: int = 3,
    psnr_db: float = 100,
) -> None:
    """Compare with the reference in float64 in every noise mode. Rounding is about 1e-6."""
    c = checkpoint.config
    ws = np.random.RandomState(5).randn(batch, c.num_ws, c.w_dim).astype(np.float32)
    model = StyleGAN1.from_checkpoint(checkpoint).double()
    for noise in NOISES if c.use_noise else ("const",):
        fields = noise_fields(checkpoint, noise, batch)
        given = {
            layer: torch.from_numpy(fields[name_noise(layer)]).double()
            for layer in checkpoint.noise
        }
        images = model.synthesis(torch.from_numpy(ws).double(), noise=given).numpy()
        img, image = synthesis.run(["img", "image"], {"ws": ws, **fields})
        difference = compare(images, img)
        assert difference.max_abs < 2e-5 * np.abs(images).max(), difference
        assert difference.psnr_db > psnr_db, difference
        assert np.array_equal(to_uint8(img), image)  # the same steps, to the last bit
        assert images.std() > 0.02, "a picture without contrast proves nothing"


@pytest.fixture(scope="module", params=ARCHITECTURES)
def checkpoint(small: MakeCheckpoint, request: pytest.FixtureRequest) -> Checkpoint:
    return small(**ARCHITECTURES[request.param])


def test_draws_what_the_reference_draws(checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert_draws_alike(checkpoint, opened(saved(checkpoint, tmp_path)))


def test_form_of_half_precision_is_the_same_function(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Its normalised weights and its own instance normalisation, computed in float32."""
    blocks = checkpoint.config.block_names
    path = saved(checkpoint, tmp_path, half_blocks=blocks, half="float32")
    assert_draws_alike(checkpoint, opened(path))


@pytest.mark.parametrize("name", ["relu-quiet", "five classes", "4x2", "4 px"])
def test_bundles_pass_their_own_check(small: MakeCheckpoint, name: str, tmp_path: Path) -> None:
    checkpoint = small(**ARCHITECTURES[name])
    report = export_bundle(checkpoint, tmp_path / "bundle", verify_seeds=2)
    assert report is not None
    assert report.passed


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batch_is_dynamic(small: MakeCheckpoint, batch: int, tmp_path: Path) -> None:
    checkpoint = small()
    assert_draws_alike(checkpoint, opened(saved(checkpoint, tmp_path)), batch=batch)


def test_unoptimized_graph_runs_as_written(small: MakeCheckpoint, tmp_path: Path) -> None:
    checkpoint = small(fused_from=16)
    assert_draws_alike(checkpoint, opened(saved(checkpoint, tmp_path), optimized=False))


def test_sums_over_many_pixels_are_exact(small: MakeCheckpoint, tmp_path: Path) -> None:
    """Of channels that are far from 0, where a sum of a million pixels is rounded to 0.06."""
    checkpoint = small(channels=(2,), const_shape=(1024, 1024), use_noise=False)
    bias = np.full_like(checkpoint.tensors["synthesis.b4.conv1.bias"], 8)
    biased = {**checkpoint.tensors, "synthesis.b4.conv1.bias": bias}
    checkpoint = replace(checkpoint, tensors=biased)
    session = opened(saved(checkpoint, tmp_path))
    assert_draws_alike(checkpoint, session, batch=1, psnr_db=135)  # 122 with one long sum


@pytest.mark.parametrize("blocks", [("b4",), ("b8",), ("b16",), ("b4", "b16")])
def test_blocks_of_both_forms_may_alternate(
    small: MakeCheckpoint, blocks: tuple[str, ...], tmp_path: Path
) -> None:
    checkpoint = small()
    path = saved(checkpoint, tmp_path, half_blocks=blocks, half="float32")
    assert_draws_alike(checkpoint, opened(path))


# ---- What the official implementation draws ---------------------------------------------------


@dataclass(frozen=True)
class Golden:
    checkpoint: Checkpoint
    arrays: dict[str, np.ndarray]

    @property
    def ws(self) -> np.ndarray:
        return self.arrays["ws_psi1"][: len(self.arrays["img_const"])]

    def drawn(self, session: Any, ws: np.ndarray | None = None, *, noise: bool = True) -> Any:
        scale = np.float32(noise)
        fields = {name: field * scale for name, field in list_noise_inputs(self.checkpoint).items()}
        return session.run(["img"], {"ws": self.ws if ws is None else ws, **fields})[0]

    def exact(self, ws: np.ndarray | None = None, *, noise: bool = True) -> np.ndarray:
        """The reference in float64."""
        model = StyleGAN1.from_checkpoint(self.checkpoint).double()
        styles = torch.from_numpy(self.ws if ws is None else ws).double()
        return model.synthesis(styles, noise="const" if noise else "none").numpy()

    def compared(self, session: Any) -> Difference:
        return compare(self.arrays["img_const"], self.drawn(session))


@pytest.fixture(scope="module", params=GOLDENS)
def golden(request: pytest.FixtureRequest, goldens: Path) -> Golden:
    return load(goldens, request.param)


def load(goldens: Path, name: str) -> Golden:
    with np.load(goldens / f"{name}.npz") as file:
        arrays = dict(file)
    return Golden(read_checkpoint(goldens / f"{name}.pkl"), arrays)


def test_graph_draws_the_goldens(golden: Golden, tmp_path: Path, assert_same: AssertSame) -> None:
    session = opened(saved(golden.checkpoint, tmp_path))
    assert_same(golden.arrays["img_const"], golden.drawn(session), golden.exact)
    psi = golden.arrays["ws_psi07_cut"][: len(golden.ws)]
    assert_same(golden.arrays["img_psi07"], golden.drawn(session, psi), lambda: golden.exact(psi))
    if "img_none" in golden.arrays:
        silent = golden.drawn(session, noise=False)
        assert_same(golden.arrays["img_none"], silent, lambda: golden.exact(noise=False))


def test_mapping_graph_maps_the_goldens(
    golden: Golden, tmp_path: Path, assert_same: AssertSame
) -> None:
    build_mapping_graph(golden.checkpoint).save(tmp_path / "mapping.onnx")
    z, expected = golden.arrays["z"], golden.arrays["ws_psi1"]
    feeds = {"z": z, "truncation_psi": np.ones(expected.shape[:2], np.float32)}
    (ws,) = opened(tmp_path / "mapping.onnx").run(["ws"], feeds)
    assert_same(expected, ws)


def test_batch_does_not_change_an_image(
    golden: Golden, tmp_path: Path, assert_same: AssertSame
) -> None:
    session = opened(saved(golden.checkpoint, tmp_path))
    ws = golden.arrays["ws_psi1"][:3]
    single = np.concatenate([golden.drawn(session, w[None]) for w in ws])
    assert_same(single, golden.drawn(session, ws), lambda: golden.exact(ws))


def test_bundle_of_a_golden(goldens: Path, tmp_path: Path, assert_same: AssertSame) -> None:
    golden = load(goldens, "sg1-tf-32")
    report = export_bundle(golden.checkpoint, tmp_path / "bundle", verify_seeds=2)
    assert report is not None
    assert report.passed
    assert {row.precision for row in report.rows} == {"fp32", "fp16"}
    assert {row.scene.noise_mode for row in report.rows} >= {"const", "none", "seeded"}
    with Generator.open(tmp_path / "bundle", provider="cpu") as generator:
        assert generator.spec.truncation_psi == 0.7
        ws = generator.map(golden.arrays["z"])  # the family's own truncation: all of 8 layers
        assert_same(golden.arrays["ws_psi07"], ws)
        images = generator.synthesize(golden.ws, output="img")
        assert_same(golden.arrays["img_const"], images, golden.exact)


# ---- Half precision ---------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["native", "all"])
def test_goldens_in_half_precision(golden: Golden, policy: str, tmp_path: Path) -> None:
    plan = choose_half(golden.checkpoint, policy, seeds=8)
    assert plan.kept_fp32 == ()
    assert plan.peaks is not None
    assert all(1 < peak < 1000 for peak in plan.peaks.values())
    difference = golden.compared(
        opened(saved(golden.checkpoint, tmp_path, half_blocks=plan.half_blocks))
    )
    assert difference.within(TOLERANCES["fp16"]), difference


def test_rounding_after_every_operation(goldens: Path, tmp_path: Path) -> None:
    """The oracle of the numerics: onnx's own evaluator has no fusions and no wider registers."""
    golden = load(goldens, "sg1-tf-32")
    blocks = golden.checkpoint.config.block_names
    oracle = ReferenceEvaluator(str(saved(golden.checkpoint, tmp_path, half_blocks=blocks)))
    image = golden.drawn(oracle, golden.ws[:1])
    difference = compare(golden.arrays["img_const"][:1], image)
    assert difference.within(TOLERANCES["fp16"]), difference


def scaled(checkpoint: Checkpoint, factor: float, suffixes: tuple[str, ...]) -> Checkpoint:
    """All that comes before an instance normalisation, `factor` times as large."""
    tensors = {
        name: tensor * np.float32(factor)
        if "mapping" not in name and "torgb" not in name and name.endswith(suffixes)
        else tensor
        for name, tensor in checkpoint.tensors.items()
    }
    return replace(checkpoint, tensors=tensors)


LAYER = (".const", "conv0.weight", "conv1.weight", "conv0.bias", "conv1.bias", ".noise_strength")


def test_large_weights_do_not_overflow(goldens: Path, tmp_path: Path) -> None:
    """The same pictures, though the convolutions of the float32 graph exceed half precision."""
    golden = load(goldens, "sg1-tf-32")
    large = scaled(golden.checkpoint, 1e5, tuple(name for name in LAYER if name != ".const"))
    fp32 = opened(saved(large, tmp_path))
    blocks = tuple(large.config.block_names[1:])  # the constant itself is not normalised
    oracle = ReferenceEvaluator(str(saved(large, tmp_path, half_blocks=blocks)))
    expected = golden.drawn(fp32, golden.ws[:1])
    difference = compare(expected, golden.drawn(oracle, golden.ws[:1]))
    assert difference.within(TOLERANCES["fp16"]), difference
    plan = choose_half(large, seeds=4)
    assert plan.half_blocks == blocks
    assert plan.peaks is not None
    assert max(plan.peaks.values()) < 1000


@pytest.mark.parametrize("half_blocks", [(), BLOCKS])
def test_epsilon_counts_where_channels_hardly_vary(
    small: MakeCheckpoint, half_blocks: tuple[str, ...], tmp_path: Path
) -> None:
    """Variances near the 1e-8 of the instance normalisation, in both forms."""
    checkpoint = scaled(small(), 1e-4, LAYER)
    path = saved(checkpoint, tmp_path, half_blocks=half_blocks, half="float32")
    assert_draws_alike(checkpoint, opened(path))


def test_blocks_that_could_overflow_stay_in_float32(small: MakeCheckpoint) -> None:
    checkpoint = small()
    bias = np.full_like(checkpoint.tensors["synthesis.b16.conv1.affine.bias"], 1e4)
    tensors = {**checkpoint.tensors, "synthesis.b16.conv1.affine.bias": bias}
    # So that only the styled values are too large.
    tensors["synthesis.torgb.weight"] = np.zeros_like(tensors["synthesis.torgb.weight"])
    plan = choose_half(replace(checkpoint, tensors=tensors), "all", seeds=2)
    assert plan.kept_fp32 == ("b16",)
    assert plan.half_blocks == ("b4", "b8")


def kinds(path: Path) -> dict[str, int]:
    """Element type of every value within the graph, by its name."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    return {v.name: v.type.tensor_type.elem_type for v in values}


def test_types_within_the_graph(small: MakeCheckpoint, tmp_path: Path) -> None:
    path = saved(small(channels=(12, 10, 8, 8)), tmp_path, half_blocks=("b4", "b16"))
    found = kinds(path)
    float32 = TensorProto.FLOAT
    for node in onnx.load(path).graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            half = node.name.startswith(("b4.", "b16."))
            expected = TensorProto.FLOAT16 if half else float32
            assert found[node.output[0]] == expected, node.name
        if node.op_type in ("ReduceMean", "InstanceNormalization", "Gemm", "Sqrt"):
            assert found[node.output[0]] == float32, node.name
    assert found["ws"] == found["noise_b4_conv0"] == found["img"] == float32
    assert found["image"] == TensorProto.UINT8


# ---- The contract of the file, and the engines ------------------------------------------------


@pytest.fixture(scope="module", params=["lrelu", "quiet", "4x2", "4 px"])
def model(
    small: MakeCheckpoint, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    checkpoint = small(**ARCHITECTURES[request.param])
    return checkpoint, onnx.load(saved(checkpoint, tmp_path_factory.mktemp("graph")))


def shapes(values: Any) -> list[tuple[str, int, tuple[int | str, ...]]]:
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim),
        )
        for value in values
    ]


def test_inputs_and_outputs_are_those_of_the_contract(
    model: tuple[Checkpoint, onnx.ModelProto],
) -> None:
    checkpoint, proto = model
    c = checkpoint.config
    assert isinstance(c, StyleGAN1Config)
    noises = [
        (f"noise_b{r}_{conv}", TensorProto.FLOAT, ("M", 1, *c.find_block_shape(r)))
        for r in c.block_resolutions
        for conv in ("conv0", "conv1")
    ]
    assert shapes(proto.graph.input) == [
        ("ws", TensorProto.FLOAT, ("N", c.num_ws, c.w_dim)),
        *(noises if c.use_noise else []),
    ]
    height, width = c.img_shape
    assert sorted(shapes(proto.graph.output)) == [
        ("image", TensorProto.UINT8, ("N", height, width, c.img_channels)),
        ("img", TensorProto.FLOAT, ("N", c.img_channels, height, width)),
    ]


def test_weights_are_constant_and_nothing_is_left_to_fold(
    model: tuple[Checkpoint, onnx.ModelProto],
) -> None:
    _, proto = model
    constants = {tensor.name for tensor in proto.graph.initializer}
    used = {name for node in proto.graph.node for name in node.input}
    outputs = {output.name for output in proto.graph.output}
    assert constants <= used, "a constant that no node uses"
    for node in proto.graph.node:
        assert not set(filter(None, node.input)) <= constants, f"{node.name} is constant"
        assert set(node.output) <= used | outputs, f"{node.name} is not used"
        if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
            assert set(node.input[1:]) <= constants, node.name
    assert {"Reshape", "Shape"}.isdisjoint(node.op_type for node in proto.graph.node)
    (copy,) = (node for node in proto.graph.node if node.op_type == "Identity")
    assert list(copy.output) == ["img"]  # which is handed to no other node


def test_names_say_where(model: tuple[Checkpoint, onnx.ModelProto]) -> None:
    checkpoint, proto = model
    names = [node.name for node in proto.graph.node]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][\w.]*(/[a-z]\w*)*", name) for name in names), names
    for tensor in checkpoint.tensors:
        if tensor.startswith("synthesis.") and re.search(r"(conv\d|torgb)\.weight$", tensor):
            layer = tensor.removeprefix("synthesis.").removesuffix(".weight")
            assert f"{layer}/conv" in names


def test_shapes_are_known_everywhere(model: tuple[Checkpoint, onnx.ModelProto]) -> None:
    _, proto = model
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    known = {name: shape for name, _, shape in shapes(inferred.graph.value_info)}
    for node in proto.graph.node:
        for name in set(node.output) & set(known):
            layers = name.startswith("styles/")  # they come before the batch in products
            shape = known[name][layers:]
            assert all(isinstance(d, int) and d for d in shape[1:]), (name, known[name])


def test_graph_is_the_same_every_time(small: MakeCheckpoint, tmp_path: Path) -> None:
    first = saved(small(), tmp_path).read_bytes()
    assert saved(small(), tmp_path).read_bytes() == first


@pytest.mark.parametrize(
    ("precision", "convolutions"), [("fp16", {"FLOAT": 1, "HALF": 13}), ("fp32", {"FLOAT": 14})]
)
def test_engine_of_a_golden(
    precision: str,
    convolutions: dict[str, int],
    bundle_of: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """TensorRT-RTX takes the graph, and computes its convolutions in the precision asked for."""
    bundle = shutil.copytree(bundle_of("sg1-tf-32"), tmp_path / "bundle")
    (plan,) = build_engine(
        bundle,
        compiler="tensorrt-rtx",
        sm="89",
        batch="1:2:4",
        precision=precision,
        graphs=("synthesis",),
    )
    assert plan.census["convolutions"] == convolutions
    assert plan.read(Bundle.open(bundle))
    assert not plan.fp32_islands

"""The graph of StyleGAN3: it draws what the reference and the official implementation draw."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from stylert.export.checkpoints import Checkpoint, StyleGAN3Config, read_checkpoint
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.untrained import make_untrained
from stylert.export.families import build_synthesis_graph
from stylert.export.graphs import stylegan3
from stylert.export.graphs.filtered_lrelu import FORMS, FRAME
from stylert.export.models.stylegan3 import StyleGAN3
from stylert.export.precision import choose_half
from stylert.runtime.bundle import Bundle
from stylert.runtime.images import to_uint8
from stylert.runtime.proof.parity import TOLERANCES, Difference, compare

GOLDENS = ["sg3-r-64", "sg3-t-64"]

RADIAL: dict[str, Any] = {"conv_kernel": 1, "use_radial_filters": True}

# Of 16 pixels with a margin of 4; channels are 12, 10 and 5 unless they are said to be others.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "T": {},
    "R": RADIAL,
    "no clamp": {"conv_clamp": None},
    "clamp": {"conv_clamp": 0.5},
    "R-clamp": {"conv_clamp": 0.5, **RADIAL},
    "even channels": {"channel_max": 8, "channel_base": 1024},
    "odd channels": {"channel_max": 9, "img_channels": 4},
    "gray": {"img_channels": 1},
    "more layers": {"num_layers": 5, "num_critical": 2},
    "two critical": {"num_critical": 2},
    "activations at the rate of their layers": {"lrelu_upsampling": 1},
    "activations at 4 times the rate": {"lrelu_upsampling": 4},
    "short filters": {"filter_size": 2},
    "odd filters": {"filter_size": 3},
    "1x1 convolutions, separable filters": {"conv_kernel": 1},
    "3x3 convolutions, radial filters": {"use_radial_filters": True},
    "32 px": {"img_resolution": 32, "num_layers": 4},
    "half as wide": {"square": False},
    "half as wide, R": {"square": False, **RADIAL},
    "half as wide, 32 px": {"square": False, "img_resolution": 32, "num_layers": 4},
    "half as wide, 4 times the rate": {"square": False, "lrelu_upsampling": 4, "num_critical": 2},
    "half as wide, odd filters": {"square": False, "filter_size": 3, "conv_kernel": 1},
}

every_form = pytest.mark.parametrize("filters", sorted(FORMS))
HALF_FORMS = ("matrix", "phases")
half_form = pytest.mark.parametrize("filters", HALF_FORMS)


def small(seed: int = 3, **changes: Any) -> Checkpoint:
    design: dict[str, Any] = {
        "img_resolution": 16,
        "channel_base": 80,
        "channel_max": 12,
        "num_layers": 3,
        "num_critical": 1,
        "margin_size": 4,
        "first_cutoff": 1.0,
        "first_stopband": 2**1.1,
        "num_fp16_res": 1,
    }
    fields: dict[str, Any] = {
        "z_dim": 8,
        "c_dim": 0,
        "w_dim": 8,
        "mapping_layers": 2,
        "mapping_features": 8,
        "conv_clamp": 256.0,
    }
    for name, value in changes.items():
        (design if name in StyleGAN3Design.__dataclass_fields__ else fields)[name] = value
    config = StyleGAN3Design(**design).make_config(**fields)
    return make_untrained("small", config=config, seed=seed)


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


def transforms(batch: int) -> np.ndarray:
    """None for the first image, and turned and moved, each in another way, for the others."""
    angles, shift = 0.4 * np.arange(batch), 0.1 * np.arange(batch)
    matrices = np.tile(np.eye(3), (batch, 1, 1))
    matrices[:, 0, :2] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    matrices[:, 1, :2] = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    matrices[:, 0, 2], matrices[:, 1, 2] = shift, -2 * shift
    return matrices.astype(np.float32)


def feeds_of(checkpoint: Checkpoint, batch: int = 3) -> dict[str, np.ndarray]:
    c = checkpoint.config
    ws = np.random.RandomState(5).randn(batch, c.num_ws, c.w_dim).astype(np.float32)
    return {"ws": ws, "transform": transforms(batch)}


def drawn_by_reference(checkpoint: Checkpoint, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """In float64."""
    model = StyleGAN3.from_checkpoint(checkpoint).double()
    ws, transform = (torch.from_numpy(feeds[name]).double() for name in ("ws", "transform"))
    return np.asarray(model.synthesis(ws, transform=transform).numpy())


def assert_draws_alike(
    checkpoint: Checkpoint, path: Path, *, batch: int = 3, images: np.ndarray | None = None
) -> None:
    """Compare with the reference in float64, unless it drew already. Rounding is about 1e-6."""
    feeds = feeds_of(checkpoint, batch)
    images = drawn_by_reference(checkpoint, feeds) if images is None else images
    img, image = opened(path).run(["img", "image"], feeds)
    difference = compare(images, img)
    assert difference.max_abs < 2e-5 * np.abs(images).max(), difference
    assert difference.psnr_db > 100, difference
    assert np.array_equal(to_uint8(img), image)  # the same steps, to the last bit
    assert images.std() > 0.02, "a picture without contrast proves nothing"


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def checkpoint(architecture: str) -> Checkpoint:
    return small(**ARCHITECTURES[architecture])


@pytest.fixture(scope="module")
def images(checkpoint: Checkpoint) -> np.ndarray:
    """What the reference draws of it, once for every form of its graph."""
    return drawn_by_reference(checkpoint, feeds_of(checkpoint))


@every_form
def test_draws_what_the_reference_draws(
    checkpoint: Checkpoint, images: np.ndarray, filters: str, tmp_path: Path
) -> None:
    path = saved(checkpoint, tmp_path, filters=filters)
    assert_draws_alike(checkpoint, path, images=images)


def test_form_of_half_precision_is_the_same_function(
    architecture: str, checkpoint: Checkpoint, images: np.ndarray, tmp_path: Path
) -> None:
    """Its normalised weights and styles, computed in float32."""
    filters = HALF_FORMS[list(ARCHITECTURES).index(architecture) % len(HALF_FORMS)]
    blocks = checkpoint.config.block_names
    path = saved(checkpoint, tmp_path, filters=filters, half_blocks=blocks, half="float32")
    assert_draws_alike(checkpoint, path, images=images)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batch_is_dynamic(batch: int, tmp_path: Path) -> None:
    checkpoint = small()
    assert_draws_alike(checkpoint, saved(checkpoint, tmp_path), batch=batch)


def test_unoptimized_graph_runs_as_written(tmp_path: Path) -> None:
    checkpoint = small()
    path, feeds = saved(checkpoint, tmp_path), feeds_of(checkpoint)
    (img,) = opened(path, optimized=False).run(["img"], feeds)
    assert compare(drawn_by_reference(checkpoint, feeds), img).psnr_db > 100


@pytest.mark.parametrize("index", [0, 1, 3])
def test_blocks_of_both_precisions_may_alternate(index: int, tmp_path: Path) -> None:
    checkpoint = small()
    blocks, feeds = checkpoint.config.block_names[index::2], feeds_of(checkpoint)
    path = saved(checkpoint, tmp_path, half_blocks=blocks, half="float32")
    assert_draws_alike(checkpoint, path)
    path = saved(checkpoint, tmp_path, half_blocks=blocks)
    (img,) = opened(path).run(["img"], feeds)
    difference = compare(drawn_by_reference(checkpoint, feeds), img)
    assert difference.within(TOLERANCES["fp16"]), difference


@every_form
@pytest.mark.parametrize(
    "fields",
    [
        {"up": 2, "down": 2, "up_taps": 12, "down_taps": 12, "padding": (11, 10, 11, 10)},
        {"up": 2, "down": 2, "up_taps": 12, "down_taps": 12, "padding": (10, 11, 12, 9)},
        {"up": 2, "down": 2},
        {"kernel": 3, "padding": (-1, -1, -1, -1)},
        {"kernel": 3, "padding": (-2, 0, -2, 0)},
        {"kernel": 3, "padding": (-2, 0, -1, -1)},
        {"padding": (1, -1, 1, -1)},
        {"padding": (-1, 1, 0, 0)},
        {"up_taps": 1, "down_taps": 4, "padding": (1, 2, 1, 2)},
    ],
)
def test_a_torgb_of_another_kind(fields: dict[str, Any], filters: str, tmp_path: Path) -> None:
    """Those of the official configurations only convolve."""
    config = small().config
    assert isinstance(config, StyleGAN3Config)
    last = replace(config.layers[-1], **fields)
    checkpoint = make_untrained("other", config=replace(config, layers=(*config.layers[:-1], last)))
    shape = last.out_channels, last.in_channels, last.kernel, last.kernel
    weight = np.random.RandomState(0).randn(*shape).astype(np.float32)
    tensors = {**checkpoint.tensors, f"synthesis.{last.name}.weight": weight}
    checkpoint = replace(checkpoint, tensors=tensors)
    blocks = config.block_names if filters == "matrix" else ()
    path = saved(checkpoint, tmp_path, filters=filters, half_blocks=blocks, half="float32")
    assert_draws_alike(checkpoint, path)


def test_the_checkpoints_own_transform_comes_after_the_users(tmp_path: Path) -> None:
    checkpoint = small()
    own = np.array([[0.8, 0.3, 0.2], [-0.3, 0.8, -0.1], [0, 0, 1]], np.float32)
    tensors = {**checkpoint.tensors, "synthesis.input.transform": own}
    moved = replace(checkpoint, tensors=tensors)
    assert_draws_alike(moved, saved(moved, tmp_path))
    feeds = feeds_of(checkpoint)
    still = drawn_by_reference(checkpoint, feeds)
    assert compare(drawn_by_reference(moved, feeds), still).psnr_db < 40


def test_frequencies_fade_out_before_they_alias(tmp_path: Path) -> None:
    """A transform that makes the picture small brings its waves above the bandwidth."""
    checkpoint = small()
    path, feeds = saved(checkpoint, tmp_path), feeds_of(checkpoint)
    for factor in (1.5, 3.0, 50.0):
        feeds["transform"] = transforms(3) * np.array([factor, factor, 1], np.float32)
        expected = drawn_by_reference(checkpoint, feeds)
        (img,) = opened(path).run(["img"], feeds)
        assert np.abs(img - expected).max() < 1e-4 * np.abs(expected).max()


@every_form
def test_channels_are_done_in_groups_where_they_need_much_memory(
    filters: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = small(channel_max=20, channel_base=1024, num_layers=4)
    monkeypatch.setattr(stylegan3, "GROUP_BYTES", 1)
    path = saved(checkpoint, tmp_path, filters=filters)
    nodes = onnx.load(path).graph.node
    convs = [node for node in nodes if node.op_type == "Conv"]
    groups = {attr.i for node in convs for attr in node.attribute if attr.name == "group"}
    assert groups == {"matrix": {1}, "phases": {1, 8}, "frames": {1, 8, 8 * FRAME}}[filters]
    _, second, *_ = checkpoint.config.block_names
    sums = [node.name for node in nodes if re.search(rf"{second}/of_part\d/sum", node.name)]
    assert len(sums) == 2, "the groups of 24 channels are convolved one by one"
    assert not any(node.name.endswith("/channels") for node in nodes if node.op_type == "Concat")
    assert_draws_alike(checkpoint, path)


def test_groups_of_channels_share_their_filters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stylegan3, "GROUP_BYTES", 1)
    checkpoint = small(channel_max=20, channel_base=1024, num_layers=4)
    for filters, suffix in (("phases", "_weight"), ("matrix", "_matrix")):
        graph = onnx.load(saved(checkpoint, tmp_path, filters=filters)).graph
        names = [t.name for t in graph.initializer if t.name.endswith(suffix)]
        assert any("/from0/" in name for name in names)
        assert not any("/from8/" in name for name in names)


def test_groups_of_channels_in_half_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are put together before the next convolution."""
    monkeypatch.setattr(stylegan3, "GROUP_BYTES", 1)
    checkpoint = small(channel_max=20, channel_base=1024, num_layers=4)
    blocks = checkpoint.config.block_names
    path = saved(checkpoint, tmp_path, half_blocks=blocks, half="float32")
    names = {node.name for node in onnx.load(path).graph.node}
    assert f"{blocks[1]}/channels" in names
    assert f"{blocks[2]}/conv" in names
    assert_draws_alike(checkpoint, path)


def test_wide_matrices_are_multiplied_in_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylert.export.graphs.filtered_lrelu.BAND", 10)
    for changes in ({}, RADIAL):
        checkpoint = small(**changes)
        path = saved(checkpoint, tmp_path, filters="matrix")
        assert any("bands" in node.name for node in onnx.load(path).graph.node)
        assert_draws_alike(checkpoint, path)


# ---- What the official implementation draws ---------------------------------------------------


@dataclass(frozen=True)
class Golden:
    checkpoint: Checkpoint
    arrays: dict[str, np.ndarray]

    def feeds(self, images: str = "img_const") -> dict[str, np.ndarray]:
        """What makes the first of these images: they are slow to draw."""
        ws = self.arrays["ws_psi07_cut" if images == "img_psi07" else "ws_psi1"][:DRAWN]
        moved = self.arrays["user_transform"] if images == "img_transform" else np.eye(3)
        return {"ws": ws, "transform": np.tile(moved.astype(np.float32), (len(ws), 1, 1))}

    def exact(self, images: str) -> np.ndarray:
        """The reference in float64."""
        feeds = {name: torch.from_numpy(feed).double() for name, feed in self.feeds(images).items()}
        model = StyleGAN3.from_checkpoint(self.checkpoint).double()
        return model.synthesis(feeds["ws"], transform=feeds["transform"]).numpy()

    def compared(self, session: Any, images: str = "img_const") -> Difference:
        (img,) = session.run(["img"], self.feeds(images))
        return compare(self.arrays[images][:DRAWN], img)


@pytest.fixture(scope="module", params=GOLDENS)
def golden(request: pytest.FixtureRequest, goldens: Path) -> Golden:
    return load(goldens, request.param)


def load(goldens: Path, name: str) -> Golden:
    with np.load(goldens / f"{name}.npz") as file:
        arrays = dict(file)
    return Golden(read_checkpoint(goldens / f"{name}.pkl"), arrays)


IMAGES = ("img_const", "img_psi07", "img_transform")
DRAWN = 2  # of each


@pytest.mark.parametrize("filters", ["matrix", "frames"])  # 'auto' is in test_every_golden.py
def test_graph_draws_the_goldens(
    golden: Golden, filters: str, tmp_path: Path, assert_same: Callable[..., None]
) -> None:
    session = opened(saved(golden.checkpoint, tmp_path, filters=filters))
    for images in IMAGES:
        (img,) = session.run(["img"], golden.feeds(images))
        official = golden.arrays[images][:DRAWN]
        assert_same(official, img, lambda images=images: golden.exact(images))


def test_batch_does_not_change_an_image(golden: Golden, tmp_path: Path) -> None:
    session = opened(saved(golden.checkpoint, tmp_path))
    feeds = golden.feeds("img_transform")
    (together,) = session.run(["img"], feeds)
    for i in range(len(together)):
        (alone,) = session.run(["img"], {name: feed[i : i + 1] for name, feed in feeds.items()})
        assert compare(alone, together[i : i + 1]).within(TOLERANCES["fp32"])


# ---- Half precision ---------------------------------------------------------------------------


def test_goldens_in_half_precision(golden: Golden, tmp_path: Path) -> None:
    """All blocks; the native ones are in test_every_golden.py."""
    blocks = choose_half(golden.checkpoint, "all").half_blocks
    session = opened(saved(golden.checkpoint, tmp_path, half_blocks=blocks))
    for images in IMAGES:
        difference = golden.compared(session, images)
        assert difference.within(TOLERANCES["fp16"]), difference


def evaluated(path: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """Every operation by itself: onnx's own evaluator has no fusions and no wider registers."""
    images: Any = ReferenceEvaluator(str(path)).run(["img"], feeds)
    return np.asarray(images[0])


@pytest.mark.parametrize("changes", [{}, RADIAL, {"conv_clamp": None}], ids=["T", "R", "no clamp"])
@half_form
def test_rounding_after_every_operation(
    changes: dict[str, Any], filters: str, tmp_path: Path
) -> None:
    checkpoint = small(**changes)
    blocks, feeds = checkpoint.config.block_names, feeds_of(checkpoint, 1)
    path = saved(checkpoint, tmp_path, filters=filters, half_blocks=blocks)
    img = evaluated(path, feeds)
    difference = compare(drawn_by_reference(checkpoint, feeds), img)
    assert difference.within(TOLERANCES["fp16"]), difference


def scaled(checkpoint: Checkpoint, suffix: str, factor: float) -> Checkpoint:
    tensors = {
        name: np.asarray(tensor * np.float32(factor)) if name.endswith(suffix) else tensor
        for name, tensor in checkpoint.tensors.items()
    }
    return replace(checkpoint, tensors=tensors)


@half_form
def test_large_activations_do_not_overflow(filters: str, tmp_path: Path) -> None:
    """A layer whose input is far larger than in training: infinities would be filtered to NaNs."""
    checkpoint = small()
    first, second, *_ = blocks = checkpoint.config.block_names
    checkpoint = scaled(checkpoint, f"{second}.magnitude_ema", 1e-9)
    checkpoint = scaled(checkpoint, f"{blocks[2]}.magnitude_ema", 256.0**2)
    feeds = feeds_of(checkpoint, 1)
    path = saved(checkpoint, tmp_path, filters=filters, half_blocks=(first, second))
    img = evaluated(path, feeds)
    assert np.isfinite(img).all()
    # Where the sign changes within the reach of the filter, it matters how large the values are.
    assert compare(drawn_by_reference(checkpoint, feeds), img).psnr_db > 50


def test_values_are_bounded_only_where_they_could_overflow(tmp_path: Path) -> None:
    for factor, bounded in ((1, False), (1e-6, True)):
        checkpoint = scaled(small(), "magnitude_ema", factor)
        path = saved(checkpoint, tmp_path, half_blocks=checkpoint.config.block_names)
        layers = {node.name for node in onnx.load(path).graph.node}
        first = checkpoint.config.block_names[0]
        assert (f"{first}/clamp" in layers) == bounded


def test_layers_without_a_clamp_are_measured() -> None:
    checkpoint = small(conv_clamp=None)
    plan = choose_half(checkpoint, "all", seeds=2)
    assert plan.half_blocks == checkpoint.config.block_names
    assert plan.peaks is not None
    assert all(0.1 < peak < 100 for peak in plan.peaks.values())
    second = checkpoint.config.block_names[1]
    plan = choose_half(scaled(checkpoint, f"{second}.bias", 1e6), "all", seeds=2)
    assert second in plan.kept_fp32


def test_zero_channels_stay_zero_in_half_precision(tmp_path: Path) -> None:
    """Those that are there to fill up a multiple of 8, and those that a checkpoint has."""
    checkpoint = small()
    name = f"synthesis.{checkpoint.config.block_names[1]}.weight"
    weight = checkpoint.tensors[name].copy()
    weight[2:4] *= 1e-3
    checkpoint = replace(checkpoint, tensors={**checkpoint.tensors, name: weight})
    feeds = feeds_of(checkpoint)
    path = saved(checkpoint, tmp_path, half_blocks=checkpoint.config.block_names)
    (img,) = opened(path).run(["img"], feeds)
    difference = compare(drawn_by_reference(checkpoint, feeds), img)
    assert difference.within(TOLERANCES["fp16"]), difference


def kinds(path: Path) -> dict[str, int]:
    """Element type of every value within the graph, by its name."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    return {v.name: v.type.tensor_type.elem_type for v in values}


def test_types_within_the_graph(tmp_path: Path) -> None:
    checkpoint = small()
    half = checkpoint.config.block_names[1:]
    path = saved(checkpoint, tmp_path, half_blocks=half)
    found, float32, graph = kinds(path), TensorProto.FLOAT, onnx.load(path).graph
    filters = 0
    for node in graph.node:
        is_filter = re.search(r"/(up|down)_(columns|rows)\d$", node.name) is not None
        filters += is_filter
        if node.op_type == "Conv" or is_filter:
            expected = TensorProto.FLOAT16 if node.name.startswith(half) else float32
            assert found[node.output[0]] == expected, node.name
        if node.op_type in ("Sin", "Gemm", "Sqrt") or node.name.endswith("add_bias"):
            assert found[node.output[0]] == float32, node.name
    assert found["ws"] == found["transform"] == found["img"] == float32
    assert found["image"] == TensorProto.UINT8
    assert filters == 4 * len(checkpoint.config.layers[:-1]), "all but ToRGB have filters"
    stored = {t.name: t.data_type for t in graph.initializer if "/affine/" in t.name}
    assert set(stored.values()) == {float32}, "errors in a style are seen"


def test_half_precision_has_no_grouped_convolutions(tmp_path: Path) -> None:
    """Some versions of TensorRT cannot build them."""
    checkpoint = small()
    path = saved(checkpoint, tmp_path, half_blocks=checkpoint.config.block_names)
    for node in onnx.load(path).graph.node:
        assert {attr.i for attr in node.attribute if attr.name == "group"} <= {1}, node.name


# ---- The contract of the file, and the engines ------------------------------------------------


@pytest.fixture(scope="module", params=["T", "R", "odd channels"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
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
    assert isinstance(c, StyleGAN3Config)
    assert shapes(proto.graph.input) == [
        ("ws", TensorProto.FLOAT, ("N", c.num_ws, c.w_dim)),
        ("transform", TensorProto.FLOAT, ("N", 3, 3)),
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
        if node.op_type in ("Conv", "Gemm"):
            assert set(node.input[1:]) <= constants, node.name
    assert {"Reshape", "Shape"}.isdisjoint(node.op_type for node in proto.graph.node)
    (copy,) = (node for node in proto.graph.node if node.op_type == "Identity")
    assert list(copy.output) == ["img"]  # which is handed to no other node


def test_names_say_where(model: tuple[Checkpoint, onnx.ModelProto]) -> None:
    checkpoint, proto = model
    names = [node.name for node in proto.graph.node if node.name != "to_output"]
    assert len(set(names)) == len(names)
    blocks = checkpoint.config.block_names
    assert {name.split("/")[0] for name in names} == {"input", "styles", "image", *blocks}
    assert all(re.fullmatch(r"[\w.]+(/[a-z]\w*)+", name) for name in names), names
    assert {f"{block}/conv" for block in blocks} <= set(names)


def test_shapes_are_known_everywhere(model: tuple[Checkpoint, onnx.ModelProto]) -> None:
    """ONNX Runtime fuses the sums of the filters only where it knows that batches are equal."""
    _, proto = model
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    known = {name: shape for name, _, shape in shapes(inferred.graph.value_info)}
    for node in proto.graph.node:
        for name in set(node.output) & set(known):
            layers = name.startswith("styles/")  # they come before the batch in products
            shape = known[name][layers:]
            assert all(isinstance(d, int) and d for d in shape[1:]), (name, known[name])
            assert shape[0] == "N", (name, known[name])


def test_sums_and_activations_are_fused_into_the_filters(tmp_path: Path) -> None:
    """What makes the graph fast on a CPU: see the profile of ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    path = saved(small(), tmp_path)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "optimized.onnx").graph.node
    filters = [node for node in nodes if re.search(r"^L.*/(up|down|row|phase)\d", node.name)]
    assert len(filters) > 100
    assert not [node.name for node in filters if node.op_type in ("Add", "LeakyRelu")]


def test_graph_is_the_same_every_time(tmp_path: Path) -> None:
    blocks = small().config.native_half_blocks
    first = saved(small(), tmp_path, half_blocks=blocks).read_bytes()
    assert saved(small(), tmp_path, half_blocks=blocks).read_bytes() == first


@pytest.mark.parametrize("changes", [{}, RADIAL], ids=["T", "R"])
def test_engines(changes: dict[str, Any], tmp_path: Path) -> None:
    """TensorRT-RTX takes the graphs, and computes their convolutions in the precision asked for."""
    checkpoint, bundle = small(**changes), tmp_path / "bundle"
    export_bundle(checkpoint, bundle, verify_seeds=0, half="all")
    options: dict[str, Any] = {"compiler": "tensorrt-rtx", "sm": "89", "graphs": ("synthesis",)}
    (half,) = build_engine(bundle, batch="1:2:4", precision="fp16", **options)
    layers = len(checkpoint.config.block_names)
    radial = sum(
        name.endswith("down_filter") and t.ndim == 2 for name, t in checkpoint.tensors.items()
    )
    # The Fourier features are mixed in float32.
    assert half.census["convolutions"] == {"FLOAT": 1, "HALF": layers + radial}
    assert not half.fp32_islands
    (full,) = build_engine(bundle, batch="1", precision="fp32", **options)
    assert set(full.census["convolutions"]) == {"FLOAT"}
    assert full.census["convolutions"]["FLOAT"] <= 5 * layers + 1, "that of the graph for GPUs"
    for plan in (half, full):
        assert plan.read(Bundle.open(bundle))

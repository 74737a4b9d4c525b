"""The graphs of many architectures: they draw what the reference draws, and keep the contract."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.export.graphs.emitter import name_noise
from stylert.export.graphs.mapping import build_mapping_graph
from stylert.export.lowering import UP_CONVOLUTIONS
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.runtime.images import to_uint8
from stylert.runtime.proof.parity import compare

MakeCheckpoint = Callable[..., Checkpoint]

# A clamp of 0.3 to 0.5 holds back many of the activations, which are about 1 (see the test below).
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "skip-lrelu": {},
    "skip-relu-clamp-quiet": {"activation": "relu", "conv_clamp": 0.5, "use_noise": False},
    "skip-swish-clamp": {"activation": "swish", "conv_clamp": 0.4},
    "skip-linear": {"activation": "linear"},
    "resnet-lrelu-clamp": {"architecture": "resnet", "conv_clamp": 0.4},
    "resnet-relu": {"architecture": "resnet", "activation": "relu"},
    "resnet-swish-clamp-quiet": {
        "architecture": "resnet",
        "activation": "swish",
        "conv_clamp": 0.3,
        "use_noise": False,
    },
    "resnet-linear-clamp": {"architecture": "resnet", "activation": "linear", "conv_clamp": 0.5},
    "orig-lrelu-quiet": {"architecture": "orig", "use_noise": False},
    "orig-relu-clamp": {"architecture": "orig", "activation": "relu", "conv_clamp": 0.5},
    "orig-swish": {"architecture": "orig", "activation": "swish"},
    "orig-linear-clamp": {"architecture": "orig", "activation": "linear", "conv_clamp": 0.5},
    "one class": {"c_dim": 1, "embed_features": 8},
    "five classes": {"c_dim": 5, "embed_features": 6, "mapping_activation": "swish"},
    "gray": {"img_channels": 1},
    "gray-orig": {"img_channels": 1, "architecture": "orig"},
    "four channels": {"img_channels": 4, "channels": (8, 8)},
    "4x2": {"const_shape": (4, 2), "architecture": "resnet"},
    "3x5": {"const_shape": (3, 5)},
    "1x1": {"const_shape": (1, 1), "architecture": "orig"},
    "mapping-1": {"mapping_layers": 1, "z_dim": 6, "w_dim": 10},
    "mapping-8": {"mapping_layers": 8, "mapping_features": 12, "z_dim": 6, "w_dim": 10},
    "mapping-relu": {"mapping_activation": "relu", "mapping_lr_multiplier": 1.0},
    "mapping-linear": {"mapping_activation": "linear", "mapping_layers": 3},
    "4 px": {"channels": (24,)},
    "4 px-resnet": {"channels": (8,), "architecture": "resnet", "const_shape": (4, 3)},
    "32 px": {"channels": (24, 16, 8, 8), "conv_clamp": 256.0},
}

# Of the graphs, which are all drawn, the proof is shown those that differ in kind.
PROVEN = (
    *("skip-lrelu", "skip-relu-clamp-quiet", "resnet-swish-clamp-quiet", "resnet-relu"),
    *("orig-lrelu-quiet", "orig-linear-clamp", "five classes", "gray", "four channels"),
    *("3x5", "mapping-8", "mapping-relu", "4 px"),
)

FILTERS = {
    "1 tap": np.array([1.0]),
    "1x1": np.ones((1, 1)),
    "2 taps": np.array([1.0, 1]) / 2,
    "3 taps": np.array([1.0, 2, 1]) / 4,
    "6 taps": np.array([1.0, 5, 10, 10, 5, 1]) / 32,
    "12 taps": np.hanning(14)[1:-1] / np.hanning(14).sum(),
    "asymmetric": np.array([1.0, 2, 3, 4]) / 10,
    "asymmetric 5 taps": np.array([-1.0, 2, 3, 4, 7]) / 15,
    "2-D": np.arange(1.0, 17).reshape(4, 4) / 136,
    "3 rows": np.arange(1.0, 13).reshape(3, 4) / 78,
}

NOISES = ("const", "none", "shared", "own")

every_form = pytest.mark.parametrize("up_convolution", UP_CONVOLUTIONS)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def checkpoint(request: pytest.FixtureRequest, make_checkpoint: MakeCheckpoint) -> Checkpoint:
    return make_checkpoint(seed=3, **ARCHITECTURES[request.param])


def with_filter(checkpoint: Checkpoint, *filters: np.ndarray) -> Checkpoint:
    """The filters go to the blocks in turn."""
    blocks = {
        f"synthesis.b{resolution}.resample_filter": filters[i % len(filters)].astype(np.float32)
        for i, resolution in enumerate(checkpoint.config.block_resolutions)
    }
    return replace(checkpoint, tensors={**checkpoint.tensors, **blocks})


@dataclass(frozen=True)
class Graphs:
    """Both graphs in a plain ONNX Runtime, optimised or as they are written."""

    mapping: onnxruntime.InferenceSession
    synthesis: onnxruntime.InferenceSession

    @classmethod
    def write(cls, checkpoint: Checkpoint, folder: Path, up_convolution: str) -> Graphs:
        build_mapping_graph(checkpoint).save(folder / "mapping.onnx")
        graph = build_synthesis_graph(checkpoint, up_convolution=up_convolution)
        graph.save(folder / "synthesis.onnx")
        return cls(opened(folder / "mapping.onnx"), opened(folder / "synthesis.onnx"))

    def noises(self) -> dict[str, tuple[int, int]]:
        """Height and width of every noise input."""
        inputs = self.synthesis.get_inputs()
        return {i.name: tuple(i.shape[2:]) for i in inputs if i.name.startswith("noise_")}


def opened(path: Path, *, optimized: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def assert_draws_alike(checkpoint: Checkpoint, graphs: Graphs, *, batch: int = 3) -> None:
    """Compare with the reference: the ws in float32, the images in float64, every noise."""
    c = checkpoint.config
    random = np.random.RandomState(5)
    model = StyleGAN2.from_checkpoint(checkpoint)
    feeds = {
        "z": random.randn(batch, c.z_dim).astype(np.float32),
        "truncation_psi": random.uniform(-0.5, 1.5, (batch, c.num_ws)).astype(np.float32),
    }
    if c.c_dim:
        feeds["c"] = random.uniform(0, 1, (batch, c.c_dim)).astype(np.float32)
    t = {name: torch.from_numpy(feed) for name, feed in feeds.items()}
    expected = model.mapping(t["z"], t.get("c"), truncation_psi=t["truncation_psi"]).numpy()
    (ws,) = graphs.mapping.run(["ws"], feeds)
    assert_close(expected, ws)
    model = model.double()
    for noise in NOISES if c.use_noise else ("const",):
        fields = noise_fields(checkpoint, graphs, noise, batch, random)
        given = {
            name.removeprefix("noise_").replace("_", "."): torch.from_numpy(field).double()
            for name, field in fields.items()
        }
        images = model.synthesis(torch.from_numpy(ws).double(), noise=given).numpy()
        img, image = graphs.synthesis.run(["img", "image"], {"ws": ws, **fields})
        assert_close(images, img)
        assert np.array_equal(to_uint8(img), image)  # the same steps, to the last bit
        off = np.abs(to_uint8(images).astype(int) - image)
        assert off.max() <= 1
        assert (off > 0).mean() < 0.01
        assert images.std() > 0.02, "a picture without contrast proves nothing"


@every_form
def test_an_image_filter_of_its_own(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, up_convolution: str
) -> None:
    """As rosinality's trainings with a `blur_kernel` have it."""
    checkpoint = with_filter(make_checkpoint(own_image_filter=True), FILTERS["3 taps"])
    image_filter = checkpoint.tensors["synthesis.b8.torgb.resample_filter"]
    assert image_filter.shape != checkpoint.tensors["synthesis.b8.resample_filter"].shape
    assert_draws_alike(checkpoint, Graphs.write(checkpoint, tmp_path, up_convolution))


def noise_fields(
    checkpoint: Checkpoint,
    graphs: Graphs,
    noise: str,
    batch: int,
    random: np.random.RandomState,
) -> dict[str, np.ndarray]:
    """The noise inputs: [1, 1, h, w] of the checkpoint, zeros or random, or random per image."""
    if noise == "const":
        return {
            name_noise(name.removeprefix("synthesis.").removesuffix(".noise_const")): field[
                None, None
            ]
            for name, field in checkpoint.tensors.items()
            if name.endswith("noise_const")
        }
    count = batch if noise == "own" else 1
    scale = 0 if noise == "none" else 1
    return {
        name: (scale * random.randn(count, 1, *shape)).astype(np.float32)
        for name, shape in graphs.noises().items()
    }


def assert_close(expected: np.ndarray, got: np.ndarray) -> None:
    """Relative to the largest value, because random nets draw on any scale. Rounding is 1e-6."""
    difference = compare(expected, got)
    assert difference.max_abs < 1e-5 * np.abs(expected).max(), difference
    assert difference.psnr_db > 100, difference


@every_form
def test_draws_what_the_reference_draws(
    checkpoint: Checkpoint, tmp_path: Path, up_convolution: str
) -> None:
    assert_draws_alike(checkpoint, Graphs.write(checkpoint, tmp_path, up_convolution))


@every_form
@pytest.mark.parametrize("fir", FILTERS.values(), ids=FILTERS.keys())
@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_draws_with_other_filters(
    make_checkpoint: MakeCheckpoint,
    tmp_path: Path,
    fir: np.ndarray,
    architecture: str,
    up_convolution: str,
) -> None:
    checkpoint = make_checkpoint(architecture=architecture, channels=(6, 5, 4), const_shape=(4, 3))
    checkpoint = with_filter(checkpoint, fir)
    assert_draws_alike(checkpoint, Graphs.write(checkpoint, tmp_path, up_convolution))


@every_form
def test_draws_with_a_filter_for_every_block(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, up_convolution: str
) -> None:
    mixed = (FILTERS["2 taps"], FILTERS["3 rows"], FILTERS["6 taps"])
    checkpoint = with_filter(make_checkpoint(), *mixed)
    assert_draws_alike(checkpoint, Graphs.write(checkpoint, tmp_path, up_convolution))


@pytest.mark.parametrize(
    ("name", "up_convolution"), list(zip(PROVEN, cycle(UP_CONVOLUTIONS), strict=False))
)
def test_bundles_pass_their_own_check(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, name: str, up_convolution: str
) -> None:
    checkpoint = make_checkpoint(seed=3, **ARCHITECTURES[name])
    report = export_bundle(
        checkpoint,
        tmp_path / "bundle",
        verify_seeds=2,
        graph_options={"up_convolution": up_convolution},
    )
    assert report is not None
    assert report.passed


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if "clamp" in name])
def test_clamp_takes_part(make_checkpoint: MakeCheckpoint, name: str) -> None:
    checkpoint = make_checkpoint(seed=3, **ARCHITECTURES[name])
    unclamped = replace(checkpoint, config=replace(checkpoint.config, conv_clamp=None))
    ws = torch.from_numpy(np.random.RandomState(0).randn(2, checkpoint.config.num_ws, 8))
    images = [StyleGAN2.from_checkpoint(c).synthesis(ws.float()) for c in (checkpoint, unclamped)]
    assert (images[0] - images[1]).abs().max() > 0.05


@every_form
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batch_is_dynamic(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, batch: int, up_convolution: str
) -> None:
    checkpoint = make_checkpoint(c_dim=2, embed_features=4)
    graphs = Graphs.write(checkpoint, tmp_path, up_convolution)
    assert_draws_alike(checkpoint, graphs, batch=batch)


@every_form
def test_unoptimized_graphs_run_as_written(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, up_convolution: str
) -> None:
    checkpoint = make_checkpoint(architecture="resnet", conv_clamp=0.5)
    Graphs.write(checkpoint, tmp_path, up_convolution)
    graphs = Graphs(
        opened(tmp_path / "mapping.onnx", optimized=False),
        opened(tmp_path / "synthesis.onnx", optimized=False),
    )
    assert_draws_alike(checkpoint, graphs)


HALF = {
    "all": {"half_blocks": ("b4", "b8", "b16"), "conv_clamp": 0.5},
    "first": {"half_blocks": ("b4",), "architecture": "orig"},
    "last": {"half_blocks": ("b16",), "architecture": "resnet", "activation": "swish"},
}


@every_form
@pytest.mark.parametrize("name", HALF)
def test_form_of_half_precision_is_the_same_function(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, name: str, up_convolution: str
) -> None:
    """Its normalised weights and styles, computed in float32."""
    changes = dict(HALF[name])
    blocks = changes.pop("half_blocks")
    checkpoint = make_checkpoint(**changes)
    graphs = Graphs.write(checkpoint, tmp_path, up_convolution)
    build_synthesis_graph(
        checkpoint, half_blocks=blocks, half="float32", up_convolution=up_convolution
    ).save(tmp_path / "half.onnx")
    assert_draws_alike(checkpoint, replace(graphs, synthesis=opened(tmp_path / "half.onnx")))


# ---- The contract of the files ----------------------------------------------------------------

CONTRACT: dict[str, dict[str, Any]] = {
    "skip": {"c_dim": 3, "embed_features": 5, "conv_clamp": 256.0, "mapping_layers": 3},
    "resnet": {"architecture": "resnet", "activation": "swish", "const_shape": (4, 2)},
    "orig": {"architecture": "orig", "img_channels": 1, "use_noise": False},
    "4 px": {"channels": (8,)},
}


@dataclass(frozen=True)
class Files:
    checkpoint: Checkpoint
    mapping: onnx.ModelProto
    synthesis: onnx.ModelProto

    @property
    def models(self) -> tuple[onnx.ModelProto, onnx.ModelProto]:
        return self.mapping, self.synthesis


@pytest.fixture(
    scope="module",
    params=[(name, form) for name in CONTRACT for form in UP_CONVOLUTIONS],
    ids=lambda param: "-".join(param),
)
def files(
    request: pytest.FixtureRequest,
    make_checkpoint: MakeCheckpoint,
    tmp_path_factory: pytest.TempPathFactory,
) -> Files:
    name, up_convolution = request.param
    checkpoint = make_checkpoint(**CONTRACT[name])
    folder = tmp_path_factory.mktemp("graphs")
    Graphs.write(checkpoint, folder, up_convolution)
    return Files(
        checkpoint, onnx.load(folder / "mapping.onnx"), onnx.load(folder / "synthesis.onnx")
    )


def shapes(values: Any) -> list[tuple[str, int, tuple[int | str, ...]]]:
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim),
        )
        for value in values
    ]


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}


def test_mapping_has_the_inputs_and_outputs_of_the_contract(files: Files) -> None:
    c = files.checkpoint.config
    label = [("c", onnx.TensorProto.FLOAT, ("N", c.c_dim))] if c.c_dim else []
    assert shapes(files.mapping.graph.input) == [
        ("z", onnx.TensorProto.FLOAT, ("N", c.z_dim)),
        *label,
        ("truncation_psi", onnx.TensorProto.FLOAT, ("N", c.num_ws)),
    ]
    assert shapes(files.mapping.graph.output) == [
        ("ws", onnx.TensorProto.FLOAT, ("N", c.num_ws, c.w_dim))
    ]


def test_synthesis_has_the_inputs_and_outputs_of_the_contract(files: Files) -> None:
    c = files.checkpoint.config
    noises = [
        (f"noise_b{r}_{conv}", onnx.TensorProto.FLOAT, ("M", 1, *c.find_block_shape(r)))
        for r in c.block_resolutions
        for conv in (["conv1"] if r == 4 else ["conv0", "conv1"])
    ]
    assert shapes(files.synthesis.graph.input) == [
        ("ws", onnx.TensorProto.FLOAT, ("N", c.num_ws, c.w_dim)),
        *(noises if c.use_noise else []),
    ]
    height, width = c.img_shape
    assert sorted(shapes(files.synthesis.graph.output)) == [
        ("image", onnx.TensorProto.UINT8, ("N", height, width, c.img_channels)),
        ("img", onnx.TensorProto.FLOAT, ("N", c.img_channels, height, width)),
    ]


def test_versions_are_old_enough_for_old_runtimes(files: Files) -> None:
    for model in files.models:
        assert [(opset.domain, 17 <= opset.version <= 20) for opset in model.opset_import] == [
            ("", True)
        ]
        assert model.ir_version <= 10
        assert {node.domain for node in model.graph.node} == {""}
        assert not model.functions


def test_weights_are_constants(files: Files) -> None:
    weighted = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1}
    for model in files.models:
        names = set(constants(model))
        found = [node for node in model.graph.node if node.op_type in weighted]
        assert found
        for node in found:
            assert set(node.input[1:]) <= names, node.name


def test_constants_are_compact(files: Files) -> None:
    for model in files.models:
        arrays = constants(model)
        assert {str(a.dtype) for a in arrays.values()} <= {"float32", "int64"}
        assert all(a.size < 10 for a in arrays.values() if a.dtype == np.int64)
        assert all(np.isfinite(a).all() for a in arrays.values())
        used = {name for node in model.graph.node for name in node.input}
        assert set(arrays) <= used, "a constant that no node uses"
        weights = {name: a for name, a in arrays.items() if a.size > 50 and "filter" not in name}
        large = [a.tobytes() for a in weights.values()]
        assert len(set(large)) == len(large), "a large constant is there twice"
        assert not set(arrays) & {i.name for i in model.graph.input}


def test_nothing_is_left_to_fold(files: Files) -> None:
    computed_shapes = {"Shape", "Size", "ConstantOfShape", "Expand", "Range", "Reshape", "Tile"}
    needless = {"Constant", "Dropout"}
    for model in files.models:
        names = set(constants(model))
        for node in model.graph.node:
            assert node.op_type not in needless
            if node.op_type == "Identity":  # an output is handed to no other node
                assert list(node.output) == ["img"]
            assert not set(filter(None, node.input)) <= names, f"{node.name} is constant"
            if node.op_type in computed_shapes:
                # A constant shape is fine.
                assert node.op_type in ("Reshape", "Expand", "Tile"), node.op_type
                assert set(node.input[1:]) <= names, f"{node.name}: a shape is computed"


def test_every_node_is_used(files: Files) -> None:
    for model in files.models:
        used = {name for node in model.graph.node for name in node.input}
        used |= {output.name for output in model.graph.output}
        assert {name for node in model.graph.node for name in node.output} <= used


def test_names_are_unique_and_say_where(files: Files) -> None:
    for model in files.models:
        names = [node.name for node in model.graph.node]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z][\w.]*(/[a-z]\w*)*", name) for name in names), names
        values = [name for node in model.graph.node for name in node.output]
        values += [*constants(model), *(i.name for i in model.graph.input)]
        assert len(set(values)) == len(values)
    names = [node.name for node in files.synthesis.graph.node]
    for tensor in files.checkpoint.tensors:
        if tensor.endswith((".conv0.weight", ".conv1.weight", ".torgb.weight", ".skip.weight")):
            layer = tensor.removeprefix("synthesis.").removesuffix(".weight")
            assert f"{layer}/conv" in names


def test_cast_is_the_last_node_of_image(files: Files) -> None:
    nodes = files.synthesis.graph.node
    (last,) = [node for node in nodes if "image" in node.output]
    assert last.op_type == "Cast"
    assert [node.name for node in nodes if node.op_type == "Cast"] == [last.name]
    assert not [node for node in nodes if "image" in node.input]


def test_shapes_are_known_everywhere(files: Files) -> None:
    for model in files.models:
        onnx.checker.check_model(model, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        known = {name: shape for name, _, shape in shapes(inferred.graph.value_info)}
        for node in model.graph.node:
            for name in set(node.output) & set(known):
                layers = name.startswith("styles/")  # they come before the batch in products
                shape = known[name][layers:]
                assert all(isinstance(d, int) and d for d in shape[1:]), (name, known[name])


def test_graphs_are_the_same_every_time(files: Files, tmp_path: Path) -> None:
    first, second = tmp_path / "1.onnx", tmp_path / "2.onnx"
    for form in UP_CONVOLUTIONS:
        build_synthesis_graph(files.checkpoint, up_convolution=form).save(first)
        build_synthesis_graph(files.checkpoint, up_convolution=form).save(second)
        assert first.read_bytes() == second.read_bytes()
    build_mapping_graph(files.checkpoint).save(first)
    build_mapping_graph(files.checkpoint).save(second)
    assert first.read_bytes() == second.read_bytes()


def test_weights_are_stored_once(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(
        channels=(64, 64, 64), z_dim=64, w_dim=64, mapping_features=64, mapping_layers=4
    )
    Graphs.write(checkpoint, tmp_path, "transposed")
    stored = 0
    for file in (tmp_path / "mapping.onnx", tmp_path / "synthesis.onnx"):
        assert file.stat().st_size > 0
        stored += sum(a.size for a in constants(onnx.load(file)).values())
    # On top: the demodulation's matrices, a ninth of the convolutions, and the filters' kernels.
    assert checkpoint.num_parameters < stored < 1.15 * checkpoint.num_parameters


def test_contract_and_manifest_agree(files: Files) -> None:
    kinds = {"float32": onnx.TensorProto.FLOAT, "uint8": onnx.TensorProto.UINT8}
    for builder, model in (
        (build_mapping_graph(files.checkpoint), files.mapping),
        (build_synthesis_graph(files.checkpoint), files.synthesis),
    ):
        for specs, values in (
            (builder.inputs, model.graph.input),
            (builder.outputs, model.graph.output),
        ):
            assert [(s.name, kinds[s.dtype], s.shape) for s in specs] == shapes(values)

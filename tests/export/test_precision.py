"""Half precision: which blocks, what they must hold, and that the pictures stay."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops import op_conv_transpose

from stylert.export import half_rounding
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, StyleGAN2Config, read_checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.export.graphs.emitter import name_noise
from stylert.export.graphs.mapping import build_mapping_graph
from stylert.export.onnx_graph import GraphBuilder
from stylert.export.precision import HALF_MAX, HEADROOM, choose_half, list_half_blocks
from stylert.runtime import packages
from stylert.runtime.backends.tensorrt.refit_weights import STORED
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import InvalidInput, MissingExtra
from stylert.runtime.proof.parity import TOLERANCES, compare

GOLDENS = [
    *("sg2-skip-32", "sg2-cond-32", "sg2-resnet-32", "sg2-orig-32", "sg2-nhwc-32"),
    *("sg2-gray-64", "sg2-fp16-64", "sg2-hot-64", "sg2-stylegan3repo-64"),
]

MEASURED = half_rounding.MEASURED  # by an export; those of the tests measure fewer: conftest.py

# What the official half-precision path reaches against its own float32 (the goldens' json).
OFFICIAL_DB = {"sg2-hot-64": 74.5, "sg2-fp16-64": 75.6}


def noise_of(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    suffix = ".noise_const"
    return {
        name_noise(name.removeprefix("synthesis.").removesuffix(suffix)): tensor[None, None]
        for name, tensor in checkpoint.tensors.items()
        if name.endswith(suffix)
    }


def saved(checkpoint: Checkpoint, folder: Path, **options: Any) -> Path:
    path = folder / "synthesis.onnx"
    build_synthesis_graph(checkpoint, **options).save(path)
    return path


def drawn(path: Path, checkpoint: Checkpoint, ws: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    image: np.ndarray = session.run(["img"], {"ws": ws, **noise_of(checkpoint)})[0]
    return image


def config_of(**changes: Any) -> StyleGAN2Config:
    config = StyleGAN2Config(
        z_dim=8,
        c_dim=0,
        w_dim=8,
        img_channels=3,
        const_shape=(4, 4),
        channels=(8,) * 6,
        mapping_layers=2,
    )
    return dataclasses.replace(config, **changes)


@pytest.mark.parametrize(
    ("policy", "trained", "blocks"),
    [
        ("native", 3, ("b32", "b64", "b128")),
        ("native", 0, ("b16", "b32", "b64", "b128")),
        ("all", 0, ("b4", "b8", "b16", "b32", "b64", "b128")),
        ("none", 4, ()),
        ("b64", 4, ("b64",)),
        ("b128, b4", 0, ("b4", "b128")),
    ],
)
def test_policies(policy: str, trained: int, blocks: tuple[str, ...]) -> None:
    assert list_half_blocks(config_of(num_fp16_res=trained), policy) == blocks


def test_a_small_network_keeps_its_first_block_in_float32() -> None:
    assert list_half_blocks(config_of(channels=(8, 8, 8)), "native") == ("b8", "b16")
    assert list_half_blocks(config_of(channels=(8,)), "native") == ()


@pytest.mark.parametrize("policy", ["half", "b256", "64", "", "b8,,b16", None, 3, ["b8"]])
def test_unknown_policies_are_refused(policy: Any) -> None:
    with pytest.raises(InvalidInput, match=r"half: got .*expected one of native, all"):
        list_half_blocks(config_of(), policy)


@pytest.mark.parametrize(
    ("name", "policy"), [(n, "all") for n in GOLDENS] + [(n, "native") for n in OFFICIAL_DB]
)
def test_goldens_in_half_precision(name: str, policy: str, goldens: Path, tmp_path: Path) -> None:
    """The native blocks of the others are in test_every_golden.py."""
    checkpoint = read_checkpoint(goldens / f"{name}.pkl")
    golden = np.load(goldens / f"{name}.npz")
    expected = golden["img_const"]
    plan = choose_half(checkpoint, policy, seeds=8)
    assert plan.kept_fp32 == ()
    path = saved(checkpoint, tmp_path, half_blocks=plan.half_blocks)
    got = compare(expected, drawn(path, checkpoint, golden["ws_psi1"][: len(expected)]))
    assert got.within(TOLERANCES["fp16"]), got
    assert got.psnr_db >= OFFICIAL_DB.get(name, 0) - 6


@pytest.mark.parametrize("name", ["sg2-hot-64", "sg2-skip-32", "sg2-resnet-32"])
def test_weights_ten_times_as_large(name: str, goldens: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(goldens / f"{name}.pkl")
    tensors = {
        key: tensor * 10 if tensor.ndim == 4 else tensor
        for key, tensor in checkpoint.tensors.items()
    }
    scaled = dataclasses.replace(checkpoint, tensors=tensors)
    ws = np.load(goldens / f"{name}.npz")["ws_psi1"][:2]
    expected = drawn(saved(scaled, tmp_path), scaled, ws)
    blocks = checkpoint.config.block_names
    half = drawn(saved(scaled, tmp_path, half_blocks=blocks), scaled, ws)
    difference = compare(expected, half)
    assert difference.finite
    assert difference.psnr_db >= 55


class ConvTranspose(op_conv_transpose.ConvTranspose):  # the evaluator takes it by its name
    """The result rounded from float32: that of onnx adds it up number by number, for seconds."""

    def _run(
        self,
        x: np.ndarray,
        w: np.ndarray,
        b: None = None,
        *,
        strides: list[int],
        group: int,
        **others: Any,
    ) -> tuple[np.ndarray]:
        pads = set(others.pop("pads") or [0])  # around the picture, as many on each side
        plain = {"auto_pad": "NOTSET", "kernel_shape": list(w.shape[2:])}
        assert all(value in (None, plain.get(name)) for name, value in others.items()), others
        (padding,) = pads
        arrays = (torch.from_numpy(array.astype(np.float32)) for array in (x, w))
        y = torch.conv_transpose2d(*arrays, stride=strides, padding=padding, groups=group)
        return (y.numpy().astype(x.dtype),)


def test_naive_half_precision_overflows_where_ours_does_not(goldens: Path, tmp_path: Path) -> None:
    """The graph of float32 with every weight and value turned to half, as converters do it."""
    checkpoint = read_checkpoint(goldens / "sg2-hot-64.pkl")
    golden = np.load(goldens / "sg2-hot-64.npz")
    ws, expected = golden["ws_psi1"][:1], golden["img_const"][:1]
    model = onnx.load(saved(checkpoint, tmp_path))
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    # ONNX Runtime would drop the roundings between its float32 kernels: the oracle does not.
    halves = {name: array.astype(np.float16) for name, array in noise_of(checkpoint).items()}
    with np.errstate(all="ignore"):
        oracle = ReferenceEvaluator(model, new_ops=[ConvTranspose])
        image = oracle.run(["img"], {"ws": ws.astype(np.float16), **halves})[0]
    wrong = compare(expected, image.astype(np.float32))
    assert not wrong.finite or wrong.psnr_db < 30
    ours = saved(checkpoint, tmp_path, half_blocks=checkpoint.config.block_names)
    oracle = ReferenceEvaluator(str(ours), new_ops=[ConvTranspose])
    image = oracle.run(["img"], {"ws": ws, **noise_of(checkpoint)})[0]
    assert compare(expected, image).within(TOLERANCES["fp16"])


def test_rounding_after_every_operation(goldens: Path, tmp_path: Path) -> None:
    """The oracle of the numerics: onnx's own evaluator has no fusions and no wider registers."""
    checkpoint = read_checkpoint(goldens / "sg2-skip-32.pkl")
    golden = np.load(goldens / "sg2-skip-32.npz")
    path = saved(checkpoint, tmp_path, half_blocks=checkpoint.config.block_names)
    oracle = ReferenceEvaluator(str(path))
    feeds = {"ws": golden["ws_psi1"][:1], **noise_of(checkpoint)}
    image = oracle.run(["img"], feeds)[0]
    assert compare(golden["img_const"][:1], image).within(TOLERANCES["fp16"])


def test_peaks_are_those_of_the_images(goldens: Path) -> None:
    checkpoint = read_checkpoint(goldens / "sg2-skip-32.pkl")
    counts = []
    plan = choose_half(
        checkpoint, seeds=20, progress=lambda done, total: counts.append((done, total))
    )
    assert plan.half_blocks == ("b8", "b16", "b32")
    assert plan.seeds == 20
    assert plan.peaks is not None
    assert set(plan.peaks) == {"b8", "b16", "b32"}
    assert all(1 < peak < 100 for peak in plan.peaks.values())
    assert counts[-1] == (20, 20)
    more = choose_half(checkpoint, seeds=40).peaks
    assert more is not None
    assert all(more[block] >= peak for block, peak in plan.peaks.items())


def test_an_export_measures_256_images(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half_rounding, "MEASURED", MEASURED)
    export_bundle(tiny, tmp_path / "bundle", verify_seeds=1)
    assert Bundle.open(tmp_path / "bundle").manifest["half"]["seeds"] == 256


@pytest.mark.parametrize("value", [HALF_MAX / HEADROOM * 1.5, np.nan])
def test_blocks_that_could_overflow_stay_in_float32(value: float, goldens: Path) -> None:
    checkpoint = read_checkpoint(goldens / "sg2-skip-32.pkl")
    bias = np.full_like(checkpoint.tensors["synthesis.b32.conv1.bias"], value)
    tensors = {**checkpoint.tensors, "synthesis.b32.conv1.bias": bias}
    plan = choose_half(dataclasses.replace(checkpoint, tensors=tensors), seeds=4)
    assert plan.kept_fp32 == ("b32",)
    assert plan.half_blocks == ("b8", "b16")
    json.dumps(plan.to_json(), allow_nan=False)


def test_measuring_without_onnx_runtime_says_what_to_install(
    goldens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "installed_version", lambda *names: None)
    with pytest.raises(MissingExtra, match="ONNX Runtime is not installed"):
        choose_half(read_checkpoint(goldens / "sg2-skip-32.pkl"), seeds=1)


def test_a_clamp_needs_no_measurement(goldens: Path) -> None:
    plan = choose_half(read_checkpoint(goldens / "sg2-hot-64.pkl"))
    assert plan.half_blocks == ("b8", "b16", "b32", "b64")
    assert (plan.peaks, plan.seeds) == (None, 0)


def test_the_manifest_tells(goldens: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(goldens / "sg2-hot-64.pkl")
    export_bundle(checkpoint, tmp_path / "two", verify_seeds=0, half="b64")
    export_bundle(checkpoint, tmp_path / "one", verify_seeds=0, half="none")
    manifest = json.loads((tmp_path / "two/manifest.json").read_text())
    assert manifest["half"]["half_blocks"] == ["b64"]
    assert set(manifest["graphs"]) == {"mapping", "synthesis", "synthesis.fp16"}
    assert not (tmp_path / "one/synthesis.fp16.onnx").exists()


def kinds(path: Path) -> dict[str, int]:
    """Element type of every value within the graph, by its name."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)
    return {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}


def test_types_within_the_graph(goldens: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(goldens / "sg2-fp16-64.pkl")
    path = saved(checkpoint, tmp_path, half_blocks=("b16", "b64"))
    found = kinds(path)
    model = onnx.load(path)
    convolutions = [n for n in model.graph.node if n.op_type in ("Conv", "ConvTranspose")]
    for node in convolutions:
        block = node.name.split("/")[0].split(".")[0]
        image = "upsample" in node.name  # the sum of the RGB images is float32 throughout
        half = block in ("b16", "b64") and not image
        expected = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        assert found[node.output[0]] == expected, node.name
    for name, kind in found.items():
        if any(part in name for part in ("affine", "demodulation", "style_", "upsample", "image")):
            stored = name.endswith(STORED)
            assert kind == (TensorProto.FLOAT16 if stored else TensorProto.FLOAT), name
    for value in [*model.graph.input, model.graph.output[1]]:
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT


@pytest.mark.parametrize("policy", ["native", "all", "b128"])
def test_half_the_size(
    policy: str, make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(channels=(128, 128, 128, 64, 32, 16), w_dim=128)
    blocks = list_half_blocks(checkpoint.config, policy)
    full = saved(checkpoint, tmp_path).stat().st_size
    half = saved(checkpoint, tmp_path, half_blocks=blocks).stat().st_size
    assert half <= 0.55 * full


def stored_weights(path: Path) -> set[str]:
    """Names of the weights of float32 layers that the file holds as float16."""
    names = {tensor.name for tensor in onnx.load(path).graph.initializer}
    return {name.removesuffix(STORED) for name in names if name.endswith(STORED)}


def test_onnx_runtime_folds_the_stored_weights(goldens: Path, tmp_path: Path) -> None:
    """At the lowest level of optimization, and before it chooses kernels."""
    path = saved(read_checkpoint(goldens / "sg2-fp16-64.pkl"), tmp_path, half_blocks=("b64",))
    weights = stored_weights(path)
    assert {"b4.conv1/conv_weight", "b8.conv0/conv_weight"} < weights
    assert [name for name in weights if name.endswith("/affine/weight")]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "folded.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert not stored_weights(tmp_path / "folded.onnx")
    folded = {t.name: t.data_type for t in onnx.load(tmp_path / "folded.onnx").graph.initializer}
    assert {folded[name] for name in weights} == {TensorProto.FLOAT}


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_weights_that_half_precision_does_not_hold_stay(
    factor: float, goldens: Path, tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(goldens / "sg2-fp16-64.pkl")
    tensors = {
        name: tensor * np.float32(factor)
        if name.startswith(("synthesis.b4.", "synthesis.b8.")) and tensor.ndim >= 2
        else tensor
        for name, tensor in checkpoint.tensors.items()
    }
    scaled = dataclasses.replace(checkpoint, tensors=tensors)
    ws = np.load(goldens / "sg2-fp16-64.npz")["ws_psi1"][:2]
    expected = drawn(saved(scaled, tmp_path), scaled, ws)
    path = saved(scaled, tmp_path, half_blocks=("b32", "b64"))
    stored = stored_weights(path)
    assert "b16.conv0/conv_weight" in stored
    assert not [
        name for name in stored if name.startswith(("b4.", "b8.")) and "upsample" not in name
    ]
    assert compare(expected, drawn(path, scaled, ws)).within(TOLERANCES["fp16"])


@pytest.mark.parametrize(
    ("channel", "stored"),
    [(1.0, True), (1e-3, True), (1e-6, False), (1e6, False), (0.0, True), (np.nan, False)],
)
def test_every_channel_of_a_stored_weight_is_kept(channel: float, stored: bool) -> None:
    for axis in (0, 1):
        weight = np.random.RandomState(0).standard_normal((16, 32, 3, 3))
        np.moveaxis(weight, axis, 0)[5] *= channel
        value = GraphBuilder("test", compact=True).weight("weight", weight)
        assert value.name == "weight"
        assert (value.producer() is not None) == stored


def test_mapping_stays_in_float32(goldens: Path, tmp_path: Path) -> None:
    graph = build_mapping_graph(read_checkpoint(goldens / "sg2-fp16-64.pkl"))
    graph.save(tmp_path / "mapping.onnx")
    floats = (TensorProto.FLOAT, TensorProto.INT64)  # axes are integers
    assert set(kinds(tmp_path / "mapping.onnx").values()) <= set(floats)

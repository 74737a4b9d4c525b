"""Files of rosinality's stylegan2-pytorch, and of what is built on it."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylert.export.checkpoints import Checkpoint, read_checkpoint, write_native
from stylert.export.checkpoints.configs.stylegan2 import StyleGAN2Config
from stylert.export.checkpoints.rosinality.average_latent import LATENTS, SEED, average_latents
from stylert.export.checkpoints.validation import check_shapes, check_values
from stylert.export.models.layers import modulated_conv2d
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[3] / "goldens"
NAMES = ["rosinality-32", "rosinality-train-32"]
COMPUTED = "the mean of 4096 mapped latents of seed 0 takes its place"
REST_OF_A_TRAINING = (
    "beside 'g_ema' the file has 'g', 'd', 'g_optim', 'd_optim', 'args', 'ada_aug_p', which are "
    "not exported"
)


def golden(name: str) -> tuple[Checkpoint, dict[str, np.ndarray], dict[str, Any]]:
    with np.load(GOLDENS / f"{name}.npz") as file:
        arrays = dict(file)
    facts = json.loads((GOLDENS / f"{name}.json").read_text())
    return read_checkpoint(GOLDENS / f"{name}.pt"), arrays, facts


def model_of(checkpoint: Checkpoint, w_avg: np.ndarray) -> StyleGAN2:
    """The reference, with the mean of w that the golden was drawn with."""
    tensors = {**checkpoint.tensors, "mapping.w_avg": w_avg}
    return StyleGAN2.from_checkpoint(replace(checkpoint, tensors=tensors))


# What the original draws.


@pytest.mark.parametrize("name", NAMES)
def test_draws_what_the_original_draws(name: str, assert_same: Callable[..., None]) -> None:
    checkpoint, arrays, facts = golden(name)
    model = model_of(checkpoint, arrays["w_avg"])
    z, cutoff = torch.from_numpy(arrays["z"]), facts["truncation_cutoff"]
    got = {
        "ws_psi1": model.mapping(z),
        "ws_psi07": model.mapping(z, truncation_psi=0.7),
        "ws_psi07_cut": model.mapping(z, truncation_psi=0.7, truncation_cutoff=cutoff),
        "img_const": model.synthesis(torch.from_numpy(arrays["ws_psi1"])),
        "img_none": model.synthesis(torch.from_numpy(arrays["ws_psi1"]), noise="none"),
        "img_psi07": model.synthesis(torch.from_numpy(arrays["ws_psi07_cut"])),
        "img_psi07_all": model.synthesis(torch.from_numpy(arrays["ws_psi07"])),
    }
    assert got.keys() | {"z", "w_avg"} == arrays.keys()
    for key, value in got.items():
        expected = arrays[key]
        assert_same(expected, value.numpy()[: len(expected)])


@pytest.mark.parametrize("name", NAMES)
def test_config_is_what_the_network_was_made_with(name: str) -> None:
    checkpoint, _, facts = golden(name)
    config, made = checkpoint.config, facts["config"]
    assert isinstance(config, StyleGAN2Config)
    assert config.img_shape == (made["size"], made["size"])
    assert (config.z_dim, config.w_dim, config.mapping_features) == (made["style_dim"],) * 3
    assert config.mapping_layers == made["n_mlp"]
    assert config.mapping_lr_multiplier == made["lr_mlp"]
    assert config.channels == tuple(made["channels"].values())
    assert config.num_ws == facts["n_latent"]
    assert (config.c_dim, config.img_channels) == (0, 3)
    assert (config.architecture, config.activation) == ("skip", "lrelu")
    assert (config.conv_clamp, config.num_fp16_res, config.use_noise) == (None, 0, True)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_exact(name: str) -> None:
    """All but the 3x3 weights, which take in their scale, and the kernels, which are 4 times f."""
    checkpoint, _, facts = golden(name)
    listed = {tensor["sha256_16"]: name for name, tensor in facts["tensors"].items()}
    for ours, tensor in checkpoint.tensors.items():
        if ours == "mapping.w_avg":
            continue
        stored = tensor
        if ours.endswith("resample_filter"):
            stored = tensor * np.float32(4)
        elif ours.endswith(("conv0.weight", "conv1.weight")):
            continue
        digest = hashlib.sha256(stored.tobytes()).hexdigest()[:16]
        assert digest in listed, ours
    check_shapes(checkpoint.config, {name: t.shape for name, t in checkpoint.tensors.items()})
    check_values(checkpoint.tensors)
    assert all(t.dtype == np.float32 and t.flags.c_contiguous for t in checkpoint.tensors.values())


def test_native_round_trip(tmp_path: Path) -> None:
    checkpoint, _, _ = golden("rosinality-train-32")
    path = tmp_path / "native.safetensors"
    write_native(checkpoint, path)
    again = read_checkpoint(path)
    assert again.config == checkpoint.config
    assert all(np.array_equal(again.tensors[k], checkpoint.tensors[k]) for k in checkpoint.tensors)


def test_source_and_notes() -> None:
    converted, _, _ = golden("rosinality-32")
    assert converted.notes == ()
    assert (converted.source.format, converted.source.network) == ("rosinality .pt", "g_ema")
    assert converted.source.bytes == (GOLDENS / "rosinality-32.pt").stat().st_size
    data = (GOLDENS / "rosinality-32.pt").read_bytes()
    assert converted.source.sha256 == hashlib.sha256(data).hexdigest()
    trained, _, _ = golden("rosinality-train-32")
    assert trained.notes == (
        f"the file has no average w: {COMPUTED}",
        REST_OF_A_TRAINING,
    )


def test_nearly_dead_channels(state: dict[str, Any], tmp_path: Path) -> None:
    """The 1e-8 under the root counts there, and it stands beside the scaled weights."""
    weight = state["convs.1.conv.weight"]
    weight[0, 0] *= 1e-4
    O, I = weight.shape[1:3]
    random = np.random.RandomState(0)
    x = torch.from_numpy(random.randn(1, I, 8, 8))
    styles = torch.from_numpy(random.randn(1, I))
    w = weight[0].double() * styles[0, :, None, None] / (9 * I) ** 0.5
    w = w / torch.sqrt(w.square().sum(dim=[1, 2, 3], keepdim=True) + 1e-8)
    expected = F.conv2d(x, w, padding=1)
    checkpoint = read(tmp_path, {"g_ema": state})
    ours = torch.from_numpy(checkpoint.tensors["synthesis.b8.conv1.weight"]).double()
    got = modulated_conv2d(x, ours, styles)
    assert got.shape == expected.shape == (1, O, 8, 8)
    assert (got - expected).abs().max() < 1e-5
    assert w[0].square().sum() < 0.9  # or the test would show nothing


# The mean of w.


def test_missing_average_is_computed() -> None:
    """As far from the golden's, of other latents, as two such means are from each other."""
    checkpoint, arrays, _ = golden("rosinality-train-32")
    model = model_of(checkpoint, np.zeros_like(arrays["w_avg"]))
    z = np.random.RandomState(SEED).randn(LATENTS, checkpoint.config.z_dim)
    w = model.mapping(torch.from_numpy(z.astype(np.float32)))[:, 0].numpy()
    ours = checkpoint.tensors["mapping.w_avg"]
    assert np.abs(ours - w.mean(axis=0)).max() < 1e-5
    error = w.std(axis=0) * np.sqrt(2 / LATENTS)
    distance = np.abs(ours - arrays["w_avg"]) / error
    assert distance.mean() > 0.1
    assert distance.max() < 4


def test_stored_average_is_taken() -> None:
    checkpoint, arrays, _ = golden("rosinality-32")
    assert np.array_equal(checkpoint.tensors["mapping.w_avg"], arrays["w_avg"])


@pytest.fixture
def state() -> dict[str, Any]:
    """A state dict with rosinality's names; tests change it before it is written."""
    value: dict[str, Any] = torch.load(GOLDENS / "rosinality-32.pt", weights_only=True)
    return dict(value["g_ema"])


def read(folder: Path, value: Any, **options: Any) -> Checkpoint:
    torch.save(value, folder / "file.pt")
    return read_checkpoint(folder / "file.pt", **options)


AVERAGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "row": lambda w: w[None],
    "rows": lambda w: w.repeat(8, 1),
    "batch of rows": lambda w: w.repeat(1, 8, 1),
}


@pytest.mark.parametrize("name", sorted(AVERAGES))
def test_averages_for_each_layer(name: str, state: dict[str, Any], tmp_path: Path) -> None:
    average = torch.arange(64.0)
    checkpoint = read(tmp_path, {"g_ema": state, "latent_avg": AVERAGES[name](average)})
    assert np.array_equal(checkpoint.tensors["mapping.w_avg"], average.numpy())
    assert checkpoint.notes == ()


def test_averages_that_differ(state: dict[str, Any], tmp_path: Path) -> None:
    average = torch.zeros(8, 64)
    average[3, 5] = 1e-3
    checkpoint = read(tmp_path, {"g_ema": state, "latent_avg": average})
    assert checkpoint.notes == (
        f"latent_avg differs from layer to layer, which is not supported: {COMPUTED}",
    )
    assert np.abs(checkpoint.tensors["mapping.w_avg"]).min() > 0


@pytest.mark.parametrize(
    ("average", "message"),
    [
        (torch.zeros(63), r"latent_avg: got shape \[63\], expected \[64\]"),
        (torch.zeros(()), r"latent_avg: got shape \[\], expected \[64\]"),
        (torch.zeros(0, 64), "latent_avg: is empty"),
        (torch.zeros(64, dtype=torch.int32), "latent_avg: holds int32"),
        (np.zeros((0, 64), np.float32), "latent_avg: is empty"),
        (np.zeros(64, np.int32), "latent_avg: holds int32"),
        (torch.full((64,), float("nan")), "mapping.w_avg: 64 of 64 values are NaN"),
        ([0.0] * 64, "'latent_avg' is a list, and no tensor"),
    ],
)
def test_wrong_averages(average: Any, message: str, state: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path, {"g_ema": state, "latent_avg": average})


def test_no_finite_average(state: dict[str, Any], tmp_path: Path) -> None:
    for i in range(1, 9):
        state[f"style.{i}.weight"] = state[f"style.{i}.weight"] * 1e35
    with pytest.raises(CheckpointError, match="the mapping network gives no finite w"):
        read(tmp_path, {"g_ema": state})


def test_the_average_is_that_of_g_ema(tmp_path: Path) -> None:
    value = torch.load(GOLDENS / "rosinality-32.pt", weights_only=True)
    value["g"] = value["g_ema"]
    checkpoint = read(tmp_path, value, network="g")
    assert checkpoint.notes[0] == f"the file has no average w: {COMPUTED}"
    assert read(tmp_path, value).notes == (
        "beside 'g_ema' the file has 'g', which are not exported",
    )


# Where a generator is.


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


ENCODER = {"encoder.input_layer.0.weight": torch.zeros(3), "encoder.body.0.weight": torch.zeros(2)}
AVERAGE = torch.ones(64)
FILES: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str, str]] = {
    # What is saved, name of the network, format, the note on the rest.
    "converted": (
        lambda s: {"g_ema": s, "latent_avg": AVERAGE, "d": {"a": AVERAGE}},
        "g_ema",
        "rosinality .pt",
        "beside 'g_ema' the file has 'd', which",
    ),
    "DataParallel": (
        lambda s: {"g_ema": prefixed(s, "module."), "latent_avg": AVERAGE},
        "g_ema",
        "rosinality .pt",
        "",
    ),
    "pSp": (
        lambda s: {
            "state_dict": {**ENCODER, **prefixed(s, "decoder.")},
            "latent_avg": AVERAGE.repeat(8, 1),
            "opts": {"output_size": 32, "device": torch.device("cuda:0"), "exp_dir": Path("/a")},
        },
        "decoder",
        "pSp/e4e .pt",
        "beside 'decoder' the file has 'opts', 'encoder', which",
    ),
    "pSp on many GPUs": (
        lambda s: {
            "state_dict": prefixed({**ENCODER, **prefixed(s, "decoder.")}, "module."),
            "latent_avg": AVERAGE,
        },
        "decoder",
        "pSp/e4e .pt",
        "beside 'decoder' the file has 'encoder', which",
    ),
    "GPEN": (
        lambda s: {**prefixed(s, "generator."), "ecd0.0.weight": AVERAGE, "latent_avg": AVERAGE},
        "generator",
        "rosinality state dict .pt",
        "beside 'generator' the file has 'ecd0', which",
    ),
    "bare": (
        lambda s: {**s, "latent_avg": AVERAGE, "opts": {}},
        "the only network",
        "rosinality state dict .pt",
        "",
    ),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_files(name: str, state: dict[str, Any], tmp_path: Path) -> None:
    make, network, format_, note = FILES[name]
    checkpoint = read(tmp_path, make(state))
    genuine = read_checkpoint(GOLDENS / "rosinality-32.pt")
    assert (checkpoint.source.network, checkpoint.source.format) == (network, format_)
    assert any(text.startswith(note) for text in checkpoint.notes) or checkpoint.notes == ()
    assert bool(checkpoint.notes) is bool(note)
    assert checkpoint.config == genuine.config
    for key, tensor in genuine.tensors.items():
        expected = np.ones(64) if key == "mapping.w_avg" else tensor
        assert np.array_equal(checkpoint.tensors[key], expected), key
    assert read(tmp_path, make(state), network=network).source == checkpoint.source


def test_networks_are_chosen(tmp_path: Path) -> None:
    path = GOLDENS / "rosinality-train-32.pt"
    average, raw = read_checkpoint(path), read_checkpoint(path, network="g")
    assert raw.source.network == "g"
    name = "synthesis.b8.conv0.weight"
    assert not np.array_equal(raw.tensors[name], average.tensors[name])
    with pytest.raises(CheckpointError, match="no network 'd' in the file; it has 'g', 'g_ema'"):
        read_checkpoint(path, network="d")
    value = torch.load(GOLDENS / "rosinality-32.pt", weights_only=True)
    both = {"params": value["g_ema"], "params_ema": value["g_ema"]}
    average = read(tmp_path, both)
    assert average.source.network == "params_ema"
    assert not any("average generator" in note for note in average.notes)
    both["old_ema"] = value["g_ema"]
    message = "several generators: choose one of 'params', 'params_ema', 'old_ema'"
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path, both)
    assert read(tmp_path, both, network="params_ema").source.network == "params_ema"


@pytest.mark.parametrize("key", ["a\nb", "a" * 81, "\u202e"])
def test_strange_keys_hold_no_generator(key: Any, state: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a torch\.save file of a dict") as caught:
        read(tmp_path, {key: state})
    assert len(str(caught.value).splitlines()) == 1


# What a generator may be.


def test_rectangular_images(state: dict[str, Any], tmp_path: Path) -> None:
    state["input.input"] = torch.randn(1, 32, 4, 2)
    for i in range(7):
        height, width = state[f"noises.noise_{i}"].shape[2:]
        state[f"noises.noise_{i}"] = torch.randn(1, 1, height, width // 2)
    checkpoint = read(tmp_path, {"g_ema": state, "latent_avg": AVERAGE})
    assert checkpoint.config.img_shape == (32, 16)
    assert checkpoint.notes == ("the image is 32 pixels high and 16 wide",)


def test_gray_images(state: dict[str, Any], tmp_path: Path) -> None:
    for name in ("to_rgb1", "to_rgbs.0", "to_rgbs.1", "to_rgbs.2"):
        state[f"{name}.conv.weight"] = state[f"{name}.conv.weight"][:, :1]
        state[f"{name}.bias"] = state[f"{name}.bias"][:, :1]
    assert read(tmp_path, {"g_ema": state}).config.img_channels == 1


def test_wider_filters(state: dict[str, Any], tmp_path: Path) -> None:
    kernel = torch.ones(6, 6) / 9
    for name in [name for name in state if name.endswith(".kernel")]:
        state[name] = kernel
    checkpoint = read(tmp_path, {"g_ema": state})
    assert np.array_equal(checkpoint.tensors["synthesis.b4.resample_filter"], kernel.numpy() / 4)


def test_a_filter_for_convolutions_only(
    state: dict[str, Any], tmp_path: Path, assert_same: Callable[..., None]
) -> None:
    """The argument `blur_kernel` is not handed to ToRGB, which keeps [1, 3, 3, 1]."""
    kernel = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1])) / 4
    usual = state["to_rgbs.0.upsample.kernel"]
    for k in range(3):
        state[f"convs.{2 * k}.conv.blur.kernel"] = kernel
    checkpoint = read(tmp_path, {"g_ema": state, "latent_avg": AVERAGE})
    write_native(checkpoint, tmp_path / "native.safetensors")
    for again in (checkpoint, read_checkpoint(tmp_path / "native.safetensors")):
        assert isinstance(again.config, StyleGAN2Config)
        assert again.config.own_image_filter
        assert np.array_equal(again.tensors["synthesis.b8.resample_filter"], kernel / 4)
        assert np.array_equal(again.tensors["synthesis.b8.torgb.resample_filter"], usual / 4)
    # The convolution is transposed; then come a row and a column of zeros in front, and the filter.
    weight = torch.from_numpy(checkpoint.tensors["synthesis.b8.conv0.weight"])
    x = torch.randn(1, 32, 4, 4)
    scaled = weight * weight.square().sum(dim=(1, 2, 3), keepdim=True).rsqrt()
    up = F.pad(F.conv_transpose2d(x, scaled.transpose(0, 1), stride=2), (1, 0, 1, 0))
    expected = F.conv2d(up.transpose(0, 1), kernel[None, None]).transpose(0, 1)
    fir = torch.from_numpy(checkpoint.tensors["synthesis.b8.resample_filter"])
    got = modulated_conv2d(x, weight, torch.ones(1, 32), fir=fir)
    assert_same(expected.numpy(), got.numpy())


def test_files_without_noise(state: dict[str, Any], tmp_path: Path) -> None:
    """Those of 2019 and 2020, with the most used of all: 550000.pt."""
    old = {name: tensor for name, tensor in state.items() if not name.startswith("noises.")}
    checkpoint = read(tmp_path, {"g_ema": old, "latent_avg": AVERAGE})
    note = "the file has no noise constants: normal noise of seed 0 takes their place"
    assert checkpoint.notes == (note,)
    fields = list(checkpoint.noise.values())
    assert [field.shape[0] for field in fields] == [4, 8, 8, 16, 16, 32, 32]
    everything = np.concatenate([field.ravel() for field in fields])
    assert abs(everything.mean()) < 0.1
    assert abs(everything.std() - 1) < 0.1
    again = read(tmp_path, {"g_ema": old})
    assert all(np.array_equal(again.noise[name], checkpoint.noise[name]) for name in again.noise)


@pytest.mark.parametrize(
    ("arguments", "multiplier"),
    [
        (argparse.Namespace(lr_mlp=0.02), 0.02),
        (argparse.Namespace(lr_mlp=1), 1.0),
        (argparse.Namespace(lr_mlp="much"), 0.01),
        (argparse.Namespace(lr_mlp=0.0), 0.01),
        (argparse.Namespace(size=32), 0.01),
        ({"lr_mlp": 0.02}, 0.01),
        (None, 0.01),
    ],
)
def test_learning_rate_multiplier(
    arguments: Any, multiplier: float, state: dict[str, Any], tmp_path: Path
) -> None:
    checkpoint = read(tmp_path, {"g_ema": state, "latent_avg": AVERAGE, "args": arguments})
    assert checkpoint.config.mapping_lr_multiplier == multiplier


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda state: state.pop(name)


def with_(name: str, tensor: Any) -> Callable[[dict[str, Any]], None]:
    return lambda state: state.update({name: tensor})


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no weight": (without("convs.2.conv.weight"), "convs.2.conv.weight is missing"),
    "no filter": (without("to_rgbs.1.upsample.kernel"), "to_rgbs.1.upsample.kernel is missing"),
    "no mapping": (without("style.1.weight"), "style.1.weight is missing"),
    "a gap": (without("style.3.bias"), "style.3.bias is missing"),
    "a layer less": (without("style.8.weight"), "style.8.bias is unknown to rosinality's"),
    "one noise": (without("noises.noise_3"), "noises.noise_3 is missing"),
    "no ToRGB": (without("to_rgbs.0.conv.weight"), "to_rgbs.0.conv.weight is missing"),
    "one ToRGB": (without("to_rgbs.2.conv.weight"), r"and \d+ more are unknown to rosinality's"),
    "more": (with_("embed.weight", torch.zeros(2)), "embed.weight is unknown to rosinality's"),
    "a strange name": (with_("a\nb.c", torch.zeros(2)), r"a\\nb.c is unknown to rosinality's"),
    "shape": (
        with_("conv1.conv.weight", torch.zeros(1, 32, 31, 3, 3)),
        r"conv1.conv.weight: got shape \[1, 32, 31, 3, 3\], expected \[32, 32, 3, 3\]",
    ),
    "ranks": (with_("input.input", torch.zeros(32, 4, 4)), "input.input: got shape .* 4 dimens"),
    "transposed": (
        with_("convs.0.conv.modulation.weight", torch.zeros(64, 32)),
        r"convs.0.conv.modulation.weight: got shape \[64, 32\], expected \[32, 64\]",
    ),
    "NaN": (
        with_("conv1.activate.bias", torch.full((32,), float("nan"))),
        "synthesis.b4.conv1.bias: 32 of 32 values are NaN",
    ),
    "integers": (
        with_("conv1.activate.bias", torch.zeros(32, dtype=torch.int64)),
        "conv1.activate.bias: holds int64, expected floats",
    ),
    "no tensor": (with_("conv1.activate.bias", [0.0]), "'conv1.activate.bias' is a list"),
    "a large claim": (
        with_("style.1.weight", torch.zeros(1).expand(2**12, 2**12)),
        "the tensors claim more data than the",
    ),
    "huge constant": (
        with_("input.input", torch.zeros(1, 1, 2**11, 1)),
        "const_shape: got 2048, expected 1 to 1024",
    ),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_generators(name: str, state: dict[str, Any], tmp_path: Path) -> None:
    edit, message = WRONG[name]
    edit(state)
    with pytest.raises(CheckpointError, match=message) as caught:
        read(tmp_path, {"g_ema": state})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kernel", [torch.zeros(4, 4), torch.ones(4, 3) / 3, torch.ones(4, 4, 1)])
def test_wrong_filters(kernel: torch.Tensor, state: dict[str, Any], tmp_path: Path) -> None:
    for name in [name for name in state if name.endswith(".kernel")]:
        state[name] = kernel
    with pytest.raises(CheckpointError, match=r"resample_filter (sums to 0|has shape)"):
        read(tmp_path, {"g_ema": state})


# Files of style transfer have no average w; each is the golden's generator in another dict.
STYLE_TRANSFER: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str]] = {
    "StyleGAN-NADA": (
        lambda s: {"g_ema": s, "g_optim": {"state": {}}},
        "g_ema",
        "beside 'g_ema' the file has 'g_optim', which are not exported",
    ),
    "JoJoGAN": (
        lambda s: {"g": s},
        "g",
        "the file has no average generator: 'g' was read",
    ),
}


@pytest.mark.parametrize("name", sorted(STYLE_TRANSFER))
def test_files_of_style_transfer(name: str, state: dict[str, Any], tmp_path: Path) -> None:
    make, network, note = STYLE_TRANSFER[name]
    checkpoint = read(tmp_path, make(state))
    genuine = read_checkpoint(GOLDENS / "rosinality-32.pt")
    assert checkpoint.source.network == network
    assert checkpoint.notes == (f"the file has no average w: {COMPUTED}", note)
    assert checkpoint.config == genuine.config
    w_avg = checkpoint.tensors["mapping.w_avg"]
    np.testing.assert_allclose(w_avg, average_latents(genuine.config, dict(genuine.tensors)))
    for key in genuine.tensors.keys() - {"mapping.w_avg"}:
        assert np.array_equal(checkpoint.tensors[key], genuine.tensors[key]), key


def test_a_dual_stylegan_is_refused_but_for_its_generator(
    state: dict[str, Any], tmp_path: Path
) -> None:
    second = {"res.0.norm.style.weight": AVERAGE, "res.0.conv.0.weight": AVERAGE}
    value = {"g_ema": {"style.1.weight": AVERAGE, **prefixed(state, "generator."), **second}}
    with pytest.raises(CheckpointError) as refused:
        read(tmp_path, value)
    (line,) = str(refused.value).splitlines()
    for words in ("a DualStyleGAN", "(res.*) is missing", "pass network='g_ema.generator'"):
        assert words in line
    checkpoint = read(tmp_path, value, network="g_ema.generator")
    genuine = read_checkpoint(GOLDENS / "rosinality-32.pt")
    assert checkpoint.config == genuine.config
    for key in genuine.tensors.keys() - {"mapping.w_avg"}:
        assert np.array_equal(checkpoint.tensors[key], genuine.tensors[key]), key

"""Files of lucidrains' stylegan2_pytorch, whatever is around the generator, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Checkpoint, LucidrainsConfig, read_checkpoint, write_native
from stylert.export.checkpoints.checkpoint import Source
from stylert.export.checkpoints.lucidrains import read_lucidrains
from stylert.export.checkpoints.safe_pickle.arrays import PickledArray
from stylert.export.families import build_model
from stylert.runtime.errors import CheckpointError

FIELD = Path(__file__).parents[2] / "goldens" / "field"
NAMES = ("luci16", "luci16attn", "luci16rgba")
State = dict[str, torch.Tensor]
T = torch.ones(2, 2, 3, 3)


@pytest.fixture
def state() -> State:
    value: dict[str, Any] = torch.load(FIELD / "luci16.pt", weights_only=True)
    return dict(value["GAN"])


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Checkpoint]:
    """Reads what torch.save makes of a value, with options beside it."""

    def save_and_read(value: Any, options: Any = None, **arguments: Any) -> Checkpoint:
        torch.save(value, tmp_path / "model_3.pt")
        if options is not None:
            text = options if isinstance(options, str) else json.dumps(options)
            (tmp_path / ".config.json").write_text(text)
        return read_checkpoint(tmp_path / "model_3.pt", **arguments)

    return save_and_read


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return a.config == b.config and all(
        np.array_equal(tensor, b.tensors[name]) for name, tensor in a.tensors.items()
    )


# ---- What is read ------------------------------------------------------------------------------


def test_the_architecture_is_told_by_the_tensors() -> None:
    configs = {name: read_checkpoint(FIELD / f"{name}.pt").config for name in NAMES}
    facts = {
        name: (c.z_dim, c.w_dim, c.num_ws, c.mapping_layers, c.img_channels, c.img_shape)
        for name, c in configs.items()
    }
    assert facts == {
        "luci16": (16, 16, 3, 3, 3, (16, 16)),
        "luci16attn": (16, 16, 3, 2, 3, (16, 16)),
        "luci16rgba": (16, 16, 3, 2, 4, (16, 16)),
    }
    for name, config in configs.items():
        assert isinstance(config, LucidrainsConfig)
        assert (config.family, config.truncation_psi) == ("lucidrains", 0.75)
        assert config.learned_const is (name != "luci16attn")
        assert config.attention == (("b4", "b16") if name == "luci16attn" else ())
        assert config.channels == (16, 8, 4)


def test_what_the_file_does_not_hold_is_made_and_told() -> None:
    checkpoint = read_checkpoint(FIELD / "luci16.pt")
    expected = np.random.RandomState(0).random_sample((16, 16)).astype(np.float32)
    assert np.array_equal(checkpoint.tensors["synthesis.noise_const"], expected)
    z = np.random.RandomState(0).randn(2000, 16)
    mapped = build_model(checkpoint).double().mapping(torch.from_numpy(z))[:, 0]
    w_avg = checkpoint.tensors["mapping.w_avg"]
    np.testing.assert_allclose(w_avg, mapped.numpy().mean(axis=0), rtol=0, atol=1e-8)
    told = " ".join(checkpoint.notes)
    for words in (
        "no .config.json beside the file: lr_mlp 0.1",
        "no average w: the mean of 2000 mapped latents of seed 0",
        "uniform noise of seed 0 is its constant noise",
        "beside 'GE' the file has 'S', 'G', not exported",
    ):
        assert words in told
    assert checkpoint.source.network == "GE"
    assert checkpoint.source.format == "lucidrains stylegan2_pytorch .pt"


def test_each_network_is_its_own(state: State, read: Callable[..., Checkpoint]) -> None:
    state["G.blocks.0.conv1.weight"] = state["G.blocks.0.conv1.weight"] + 1
    state["S.net.0.weight"] = state["S.net.0.weight"] + 1
    average, training = read({"GAN": state}), read({"GAN": state}, network="G")
    for name in ("synthesis.b4.conv0.weight", "mapping.fc0.weight"):
        assert not np.array_equal(average.tensors[name], training.tensors[name])
    assert training.source.network == "G"
    assert "beside 'G' the file has 'SE', 'GE'" in " ".join(training.notes)


def test_a_file_without_an_average(state: State, read: Callable[..., Checkpoint]) -> None:
    only = {name: tensor for name, tensor in state.items() if name.startswith(("G.", "S."))}
    checkpoint = read({"GAN": only})
    assert checkpoint.source.network == "G"
    assert "the file has no average generator: 'G' was read" in checkpoint.notes


WRAPPED: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "another key": lambda state: {"model": state, "step": 3},
    "with amp": lambda state: {"GAN": state, "version": "0.12.1", "amp": {"loss_scaler0": {}}},
    "DataParallel": lambda state: {"GAN": {f"module.{k}": v for k, v in state.items()}},
    "attribute": lambda state: {f"trainer.GAN.{k}": v for k, v in state.items()},
    "with its discriminator": lambda state: {
        "GAN": {**state, "D.blocks.0.conv_res.weight": torch.ones(2, 2, 1, 1)}
    },
    "on a GPU in training": lambda state: {
        "GAN": {k: torch.nn.Parameter(v) for k, v in state.items()}
    },
    "double": lambda state: {"GAN": {k: v.double() for k, v in state.items()}},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_whatever_is_around_it(name: str, state: State, read: Callable[..., Checkpoint]) -> None:
    assert same(read(WRAPPED[name](state)), read_checkpoint(FIELD / "luci16.pt"))


def test_half_precision(state: State, read: Callable[..., Checkpoint]) -> None:
    half = {name: tensor.half() for name, tensor in state.items()}
    rounded = {name: tensor.float() for name, tensor in half.items()}
    assert same(read({"GAN": half}), read({"GAN": rounded}))


def test_the_old_format_of_torch(state: State, tmp_path: Path) -> None:
    torch.save({"GAN": state}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert same(read_checkpoint(tmp_path / "a.pt"), read_checkpoint(FIELD / "luci16.pt"))


@pytest.mark.parametrize("name", NAMES)
def test_native_round_trip(name: str, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(FIELD / f"{name}.pt")
    write_native(checkpoint, tmp_path / "native.safetensors")
    again = read_checkpoint(tmp_path / "native.safetensors")
    assert same(again, checkpoint)
    assert again.tensors.keys() == checkpoint.tensors.keys()


# ---- The options beside it ---------------------------------------------------------------------


def test_options_tell_the_learning_rate(state: State, read: Callable[..., Checkpoint]) -> None:
    checkpoint = read({"GAN": state}, {"image_size": 16, "lr_mlp": 0.03, "fq_layers": []})
    assert checkpoint.config.mapping_lr_multiplier == 0.03
    assert "lr_mlp 0.03 is that of the .config.json beside the file" in checkpoint.notes
    usual = read_checkpoint(FIELD / "luci16.pt")
    name = "mapping.w_avg"
    assert not np.allclose(checkpoint.tensors[name], usual.tensors[name], rtol=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 64, "lr_mlp": 0.5}, "is of another network"),
        ({"image_size": 16, "lr_mlp": "0.5"}, "is of another network"),
        ({"image_size": 16, "lr_mlp": -1}, "is of another network"),
        ([], "is of another network"),
        ("{", "cannot be read"),
        (" " * 2**17, "cannot be read"),
    ],
)
def test_options_that_do_not_fit(
    options: Any, words: str, state: State, read: Callable[..., Checkpoint]
) -> None:
    checkpoint = read({"GAN": state}, options)
    assert checkpoint.config.mapping_lr_multiplier == 0.1
    (note,) = (note for note in checkpoint.notes if ".config.json" in note)
    assert words in note
    assert "lr_mlp 0.1, the package's default, was assumed" in note


def test_options_from_before_the_learning_rate(
    state: State, read: Callable[..., Checkpoint]
) -> None:
    checkpoint = read({"GAN": state}, {"image_size": 16, "network_capacity": 2})
    assert checkpoint.config.mapping_lr_multiplier == 0.1


# ---- What is refused ---------------------------------------------------------------------------


def change(name: str, by: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[[State], Any]:
    def changed(state: State) -> Any:
        tensor = by(state.pop(name, torch.ones(1)))
        return {"GAN": state if tensor is None else {**state, name: tensor}}

    return changed


REFUSED: dict[str, tuple[Callable[[State], Any], str]] = {
    "no mapping network": (
        lambda state: {"GAN": {k: v for k, v in state.items() if k.startswith("GE.")}},
        "SE.net.0.weight is missing",
    ),
    "the generator alone": (
        lambda state: {k.removeprefix("GE."): v for k, v in state.items() if k.startswith("GE.")},
        "the generator is there without its mapping network (SE.net.0.weight, ...)",
    ),
    "a missing layer": (
        change("GE.blocks.1.to_style2.bias", lambda x: None),
        "GE.blocks.1.to_style2.bias is missing",
    ),
    "an unknown layer": (
        change("GE.blocks.1.extra.bias", lambda x: x),
        "GE.blocks.1.extra.bias is unknown to stylegan2_pytorch",
    ),
    "no blur, as in the first versions": (
        change("GE.blocks.0.to_rgb.upsample.1.f", lambda x: None),
        "GE.blocks.0.to_rgb.upsample.1.f is missing",
    ),
    "another blur": (
        change("GE.blocks.0.to_rgb.upsample.1.f", lambda x: x * 2 + 1),
        "not supported: GE.blocks.0.to_rgb.upsample.1.f: got '[3.0, 5.0, 3.0]', expected [1, 2, 1]",
    ),
    "another shape": (
        change("GE.blocks.1.conv2.weight", lambda x: x[:, :3]),
        "GE.blocks.1.conv2.weight: got shape [8, 3, 3, 3], expected [8, 8, 3, 3]",
    ),
    "NaN": (
        change("GE.initial_conv.bias", lambda x: x * np.nan),
        "synthesis.start.conv.bias: 16 of 16 values are NaN",
    ),
    "no tensor": (
        lambda state: {"GAN": {**state, "GE.blocks.0.conv1.weight": 3}},
        "'GE.blocks.0.conv1.weight' is a int, and no tensor",
    ),
    "a picture far above its size": (
        lambda state: {**state, **{f"GE.blocks.{i}.conv2.weight": T for i in range(3, 30)}},
        "not supported: more than 10 blocks, which make 2048 pixels",
    ),
    "a part of an attention layer": (
        change("GE.attns.1.0.fn.fn.to_q.weight", lambda x: torch.ones(512, 16, 1, 1)),
        "GE.attns.1.0.fn.norm.g",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, state: State, read: Callable[..., Checkpoint]) -> None:
    make, words = REFUSED[name]
    with pytest.raises(CheckpointError) as caught:
        read(make(state))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


DAMAGES: dict[str, Callable[[np.ndarray], Any]] = {
    "one number": lambda x: as_entry(x.sum()),
    "nothing": lambda x: as_entry(x[:0]),
    "twice": lambda x: as_entry(np.concatenate([x, x])),
    "flat": lambda x: as_entry(x.reshape(-1, 1, 1, 1, 1)),
    "integers": lambda x: as_entry(x.astype(np.int64)),
    "a dict": lambda x: {"x": as_entry(x)},
}


def as_entry(array: np.ndarray) -> PickledArray:
    """What the pickle of a state dict gives."""
    entry = PickledArray()
    entry.array = np.asarray(array)
    return entry


def tell(state: dict[str, Any]) -> str:
    """The message of the refusal, '' where the state dict can be read."""
    try:
        read_lucidrains({"GAN": state}, None, Source("a.pt", "", 10**6), folder=FIELD)
    except CheckpointError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", DAMAGES)
def test_every_tensor_damaged(name: str) -> None:
    saved = torch.load(FIELD / "luci16attn.pt", weights_only=True)["GAN"]
    arrays = {tensor: value.numpy() for tensor, value in saved.items()}
    genuine = {tensor: as_entry(array) for tensor, array in arrays.items()}
    assert not tell(genuine)
    damage = DAMAGES[name]
    told = [tell({**genuine, tensor: damage(array)}) for tensor, array in arrays.items()]
    assert all(len(message.splitlines()) <= 1 for message in told)
    assert all(told) or name == "flat"  # vectors stay what they were


def test_other_networks_are_refused_with_a_list(state: State, read: Callable[..., Any]) -> None:
    with pytest.raises(
        CheckpointError, match="no network 'D' in the file; it has 'G', 'GE'; pass network='G'"
    ):
        read({"GAN": state}, network="D")

"""State dicts of the goldens' networks, as people save them: each reads as its own file does."""

from __future__ import annotations

import argparse
import json
import math
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stylert.export.checkpoints import Assumptions, Checkpoint, read_checkpoint
from stylert.export.checkpoints.checkpoint import Source
from stylert.export.checkpoints.configs.stylegan2 import StyleGAN2Config
from stylert.export.checkpoints.configs.stylegan3 import StyleGAN3Config
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.nvlabs.design_search import find_design
from stylert.export.checkpoints.nvlabs.modules import Modules, walk_modules
from stylert.export.checkpoints.safe_pickle.allow_list import read_pickle
from stylert.export.checkpoints.safe_pickle.storages import Tensor, compute_tensor
from stylert.export.checkpoints.state_dict_families import has_state_dicts, read_state_dict
from stylert.export.checkpoints.state_dicts import find_state_dicts
from stylert.runtime.errors import CheckpointError, InvalidInput

GOLDENS = Path(__file__).parents[2] / "goldens"
NVLABS = sorted(path.stem for path in GOLDENS.glob("sg[23]-*.pkl") if "-tf-" not in path.stem)
StateDict = dict[str, torch.Tensor]


@cache
def read_golden(name: str) -> Checkpoint:
    """What all these are compared with."""
    return read_checkpoint(GOLDENS / f"{name}.pkl")


@cache
def read_state(name: str) -> StateDict:
    value, _ = read_pickle(memoryview((GOLDENS / f"{name}.pkl").read_bytes()))
    modules = walk_modules(value["G_ema"])
    return {key: torch.from_numpy(modules.read(key)) for key in modules.tensors}


def state_of(name: str) -> StateDict:
    """What `G_ema.state_dict()` gives."""
    return {key: tensor.clone() for key, tensor in read_state(name).items()}


def said_of(checkpoint: Checkpoint) -> Assumptions:
    """What its tensors do not tell."""
    config = checkpoint.config
    if isinstance(config, StyleGAN3Config):
        half = math.log2(config.img_shape[0] / min(config.rates, default=1))
        lowest = [r for r, layer in zip(config.rates, config.layers, strict=True) if layer.half]
        half = 1 + math.log2(config.img_shape[0] / min(lowest)) if lowest else 0
    else:
        assert isinstance(config, StyleGAN2Config)
        half = config.num_fp16_res
    clamp = math.inf if config.conv_clamp is None else config.conv_clamp
    return Assumptions(conv_clamp=clamp, num_fp16_res=int(half))


def assert_equal(got: Checkpoint, expected: Checkpoint) -> None:
    assert got.config == expected.config
    assert got.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert np.array_equal(got.tensors[name], tensor), name
        assert got.tensors[name].flags.c_contiguous


@pytest.mark.parametrize("name", NVLABS)
def test_every_network_of_nvlabs(name: str, tmp_path: Path) -> None:
    expected = read_golden(name)
    torch.save(state_of(name), tmp_path / "file.pt")
    got = read_checkpoint(tmp_path / "file.pt", assume=said_of(expected))
    assert_equal(got, expected)
    assert got.notes[0].startswith("a state dict does not tell these")


@pytest.mark.parametrize("name", ["field/xl-cond", "field/xl-uncond"])
def test_stylegan_xl(name: str, tmp_path: Path) -> None:
    """Its classes are a table, without a bias; without classes, nothing uses it."""
    expected = read_golden(name)
    torch.save(state_of(name), tmp_path / "file.pt")
    assert_equal(read_checkpoint(tmp_path / "file.pt", assume=said_of(expected)), expected)


def prefixed(state: StateDict, prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


CONTAINERS: dict[str, Callable[[StateDict], Any]] = {
    "bare": lambda state: state,
    "DataParallel": lambda state: prefixed(state, "module."),
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "both": lambda state: {"G_ema": prefixed(state, "_orig_mod.module.")},
    "networks": lambda state: {"G": state, "D": {"b4.out.weight": torch.zeros(2)}, "G_ema": state},
    "two deep": lambda state: {"model": {"G_ema": state}, "step": 7},
    "three deep": lambda state: {"a": {"b": {"G_ema": state}}},
    "six deep": lambda state: {"a": {"b": {"c": {"d": {"e": {"G_ema": state}}}}}},
    "a list": lambda state: [{"step": 3}, {"G_ema": state}],
    "a list of its own": lambda state: {"nets": [[{"D": {"w": torch.zeros(1)}, "G_ema": state}]]},
    "a tuple of steps": lambda state: {100: (7, {"G_ema": state})},
    "a namespace": lambda state: {"run": argparse.Namespace(nets={"G_ema": state})},
    "with others": lambda state: {**state, "epoch": 3, "encoder.weight": torch.zeros(2)},
    "decoder": lambda state: {
        "state_dict": prefixed(state, "decoder."),
        "latent_avg": torch.zeros(2),
        "opts": {"n_iters_per_batch": 3},
    },
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("old", [False, True])
def test_containers(container: str, old: bool, tmp_path: Path) -> None:
    expected = read_golden("sg2-cond-32")
    value = CONTAINERS[container](state_of("sg2-cond-32"))
    torch.save(value, tmp_path / "file.pth", _use_new_zipfile_serialization=not old)
    got = read_checkpoint(tmp_path / "file.pth", assume=said_of(expected))
    assert_equal(got, expected)
    assert not any("average generator" in note for note in got.notes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", ["sg2-skip-32", "sg3-t-64", "sg3-r-64"])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_other_types(dtype: torch.dtype, name: str, ending: str, tmp_path: Path) -> None:
    state = {key: tensor.to(dtype) for key, tensor in state_of(name).items()}
    path = tmp_path / f"file.{ending}"
    if ending == "pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    expected = read_golden(name)
    got = read_checkpoint(path, assume=said_of(expected))
    assert got.config == expected.config
    for key, tensor in got.tensors.items():
        assert np.array_equal(tensor, state[key].float().numpy()), key


@pytest.mark.parametrize("as_numpy", [False, True])
def test_pickles(as_numpy: bool, tmp_path: Path) -> None:
    expected = read_golden("sg2-skip-32")
    state: dict[str, Any] = dict(state_of("sg2-skip-32"))
    if as_numpy:
        state = {name: np.asarray(tensor.numpy(), order="F") for name, tensor in state.items()}
    (tmp_path / "file.pkl").write_bytes(pickle.dumps({"G_ema": state}))
    assert_equal(read_checkpoint(tmp_path / "file.pkl", assume=said_of(expected)), expected)


def test_which_network(tmp_path: Path) -> None:
    state = state_of("sg2-skip-32")
    other = {name: tensor + 1 if "weight" in name else tensor for name, tensor in state.items()}
    torch.save({"G": other, "G_ema": state}, tmp_path / "two.pt")
    assert read_checkpoint(tmp_path / "two.pt").source.network == "G_ema"
    raw = read_checkpoint(tmp_path / "two.pt", network="G")
    assert np.array_equal(raw.tensors["mapping.fc0.weight"], other["mapping.fc0.weight"])
    with pytest.raises(CheckpointError, match=r"no network 'H' in the file; it has 'G', 'G_ema'"):
        read_checkpoint(tmp_path / "two.pt", network="H")
    torch.save({"G": other}, tmp_path / "one.pt")
    assert "the file has no average generator: 'G' was read" in (
        read_checkpoint(tmp_path / "one.pt").notes
    )
    torch.save({"a": other, "b": state}, tmp_path / "none.pt")
    with pytest.raises(
        CheckpointError, match=r"several generators: 'a', 'b'; pass network='a' or net"
    ):
        read_checkpoint(tmp_path / "none.pt")


def test_two_of_one_name(tmp_path: Path) -> None:
    """Keys that say nothing do, where there are several."""
    torch.save(
        {"model": state_of("sg2-skip-32"), "state_dict": state_of("sg3-t-64")}, tmp_path / "f"
    )
    with pytest.raises(CheckpointError, match=r"several generators: 'model', 'state_dict'; pass"):
        read_checkpoint(tmp_path / "f")
    assert read_checkpoint(tmp_path / "f", network="model").family == "stylegan2"
    assert read_checkpoint(tmp_path / "f", network="state_dict").family == "stylegan3"


# What the user says.


def test_what_is_assumed_and_said(tmp_path: Path) -> None:
    torch.save(state_of("sg2-skip-32"), tmp_path / "file.pt")
    usual = read_checkpoint(tmp_path / "file.pt")
    assert isinstance(usual.config, StyleGAN2Config)
    assert (usual.config.conv_clamp, usual.config.num_fp16_res) == (256, 3)
    assert (usual.config.activation, usual.config.mapping_lr_multiplier) == ("lrelu", 0.01)
    assert usual.notes == (
        (
            "a state dict does not tell these, which are taken to be: clamp 256, learning rate "
            "0.01 of the mapping network, 4 resolutions in half precision, activation lrelu"
        ),
    )
    said = Assumptions(conv_clamp=math.inf, activation="swish", mapping_lr=0.02)
    other = read_checkpoint(tmp_path / "file.pt", assume=said)
    assert isinstance(other.config, StyleGAN2Config)
    assert (other.config.conv_clamp, other.config.num_fp16_res) == (None, 0)
    assert (other.config.activation, other.config.mapping_activation) == ("swish", "swish")
    assert other.config.mapping_lr_multiplier == 0.02
    assert "no clamp, learning rate 0.02" in other.notes[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conv_clamp", -1),
        ("conv_clamp", math.nan),
        ("activation", "tanh"),
        ("mapping_lr", math.inf),
        ("num_fp16_res", 1.5),
        ("colors", "rgba"),
    ],
)
def test_values_that_no_network_has(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"^{name}: got .*, expected "):
        Assumptions(**{name: value})


def test_what_a_file_tells_is_not_for_the_user(tmp_path: Path) -> None:
    said = Assumptions(conv_clamp=3.0)
    torch.save(state_of("sg3-t-64"), tmp_path / "three.pt")
    for path, wrong in (
        (GOLDENS / "sg2-skip-32.pkl", said),
        (GOLDENS / "rosinality-32.pt", said),
        (Path("untrained:stylegan2-256"), said),
        (tmp_path / "three.pt", Assumptions(activation="relu")),
        (tmp_path / "three.pt", Assumptions(colors="bgr")),
    ):
        with pytest.raises(CheckpointError, match="which files of this kind tell or have not"):
            read_checkpoint(path, assume=wrong)


# What is refused.


def refusal(value: Any, folder: Path) -> str:
    torch.save(value, folder / "file.pt")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder / "file.pt")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 700
    return str(caught.value)


@pytest.mark.parametrize("name", ["sg2-skip-32", "sg2-resnet-32", "sg3-t-64"])
def test_each_tensor_is_needed(name: str) -> None:
    state = {key: as_entry(tensor) for key, tensor in read_state(name).items()}
    assert not told_of(state)
    # Of these a network needs one, and zeros take the place of w_avg.
    copies = ("conv0.resample_filter", "conv1.resample_filter", "skip.resample_filter")
    between = tuple(f"synthesis.L{i}_" for i in (*range(2, 7), *range(8, 13)))  # as others
    for key in list(state):
        if key.endswith(copies) or key == "mapping.w_avg" or key.startswith(between):
            continue
        message = told_of({k: v for k, v in state.items() if k != key})
        assert len(message.splitlines()) == 1, key
        expected = key.rpartition(".")[0].removeprefix("synthesis.").removeprefix("mapping.")
        assert expected.split(".")[0] in message or message == "no state dict", key


def as_entry(tensor: torch.Tensor) -> Tensor:
    """What a file of torch.save gives."""
    array = tensor.numpy()
    return compute_tensor(lambda: array, array.shape)


def told_of(state: dict[str, Tensor]) -> str:
    """Why a state dict is refused, '' if it is read: without a file, which takes long."""
    if not has_state_dicts(state):
        return "no state dict"
    try:
        read_state_dict(state, None, Source("file.pt", "", 10**7), Assumptions())
    except CheckpointError as error:
        return str(error)
    return ""


def test_unknown_tensors_and_values_that_are_none(tmp_path: Path) -> None:
    state = state_of("sg2-skip-32")
    extra = {**state, "synthesis.b8.gate.weight": torch.zeros(3)}
    assert "synthesis.b8.gate.weight is unknown to StyleGAN2" in refusal(extra, tmp_path)
    odd = {**state, "synthesis.b8.conv0.bias": [1.0]}
    assert "'synthesis.b8.conv0.bias' is a list, and no tensor" in refusal(odd, tmp_path)
    nan = {**state, "synthesis.b8.conv0.bias": state["synthesis.b8.conv0.bias"] * math.nan}
    assert "NaN" in refusal(nan, tmp_path)


@pytest.mark.parametrize("change", ["filter", "bit", "radial", "size", "order", "alone"])
def test_a_stylegan3_of_another_design(change: str, tmp_path: Path) -> None:
    """Its rates and paddings are not in the file: only its filters prove them."""
    state = state_of("sg3-t-64")
    key = next(name for name in state if name.endswith("up_filter"))
    if change == "filter":
        state[key] = torch.full_like(state[key], 1 / len(state[key]))
    elif change == "bit":
        state[key] = torch.from_numpy(np.nextafter(state[key].numpy(), np.float32(1)))
    elif change == "radial":
        state[key] = torch.outer(state[key], state[key])
    elif change == "size":
        state = {name.replace("L3_", "L3_9"): tensor for name, tensor in state.items()}
    elif change == "order":
        state = {name.replace("L3_", "M3_"): tensor for name, tensor in state.items()}
    else:
        state = {k: v for k, v in state.items() if ".L" not in k}
    message = refusal(state, tmp_path)
    assert "not supported: " in message or "expected 1 dimensions" in message
    if change in ("filter", "bit"):
        assert "take the .pkl that it came from" in message


@pytest.mark.parametrize(
    "changes",
    [{"num_critical": 1}, {"margin_size": 4}, {"filter_size": 4}, {"lrelu_upsampling": 4}],
)
def test_designs_that_are_found(changes: dict[str, int]) -> None:
    design = StyleGAN3Design(
        img_resolution=32, channel_base=512, channel_max=16, num_layers=6, **changes
    )
    layers, filters = design.make_layers(), design.make_filters()
    modules = Modules()

    def add(name: str, array: np.ndarray) -> None:
        modules.tensors[name] = compute_tensor(lambda: array, array.shape)

    for layer in layers:
        shape = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
        add(f"synthesis.{layer.name}.weight", np.zeros(shape, np.float32))
        add(f"synthesis.{layer.name}.bias", np.zeros(layer.out_channels, np.float32))
    for name, fir in filters.items():
        add(name, fir)
    _, found = find_design(modules, [layer.name for layer in layers], num_fp16_res=4)
    assert found == layers


def test_two_families(tmp_path: Path) -> None:
    two = {**state_of("sg2-skip-32"), **state_of("sg3-t-64")}
    message = refusal({"G_ema": two}, tmp_path)
    assert "'G_ema' has tensors of NVlabs' StyleGAN2 and NVlabs' StyleGAN3" in message
    assert "expected one of them" in message
    rosinality = torch.load(GOLDENS / "rosinality-32.pt", weights_only=True)
    message = refusal({**rosinality, "G_ema": state_of("sg2-skip-32")}, tmp_path)
    assert "beside a generator of another family it has 'G_ema' of NVlabs' StyleGAN2" in message


def test_no_family(tmp_path: Path) -> None:
    message = refusal({"net": {"unet.down.weight": torch.zeros(2)}}, tmp_path)
    assert "no StyleGAN checkpoint: it has net.unet.down.weight, expected synthesis.b4" in message


# .safetensors of other programs.


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"synthesis.b4.const": 3}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 9]}}',
        b'{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "F32", "shape": "22", "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": ["0", 8]}}',
        b'{"__metadata__": 3, "a": {}}',
    ],
)
def test_headers_that_are_none(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    padded = header.ljust(200) if header[:1] == b"{" else b"{" + header
    path.write_bytes(len(padded).to_bytes(8, "little") + padded + bytes(8))
    with pytest.raises(CheckpointError, match=r"safetensors") as caught:
        read_checkpoint(path)
    assert len(str(caught.value).splitlines()) == 1


def test_types_that_are_not_read(tmp_path: Path) -> None:
    state = state_of("sg2-skip-32")
    state["mapping.w_avg"] = state["mapping.w_avg"].to(torch.float8_e4m3fn)
    save_file(state, tmp_path / "file.safetensors")
    with pytest.raises(CheckpointError, match=r"mapping\.w_avg: holds 'F8_E4M3', expected floats"):
        read_checkpoint(tmp_path / "file.safetensors")


# Files that are made to take time or memory.


@pytest.mark.parametrize("entry", [b"[],", b'"":{"dtype":"F32","shape":[],"data_offsets":[0,4]},'])
def test_headers_are_small(entry: bytes, tmp_path: Path) -> None:
    """JSON takes thirty times its own size in memory."""
    many = 5 * 2**20 // len(entry) * entry
    header = b'{"a":[' + many + b"0]}" if entry[:1] == b"[" else b"{" + many + b'"a":0}'
    path = tmp_path / "file.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match=r"takes \d+ bytes, expected at most 4194304"):
        read_checkpoint(path)


def test_a_dict_that_is_there_many_times() -> None:
    """20,000 names for one dict, twice over: each by each would take hours."""
    wide = {f"n{i}": None for i in range(20_000)}
    middle = dict.fromkeys((f"m{i}" for i in range(20_000)), wide)
    value = dict.fromkeys((f"o{i}" for i in range(20_000)), middle)
    assert find_state_dicts(value, "synthesis.b4.const") == []
    assert find_state_dicts({"a": wide, "b": {"G": {"x.synthesis.b4.const": 3}}}, "b4.const")


def test_names_that_are_too_deep(tmp_path: Path) -> None:
    state = {**state_of("sg2-skip-32"), "synthesis." + "a." * 100_000: torch.zeros(1)}
    assert "is no name of a tensor" in refusal(state, tmp_path)


def test_tensors_that_claim_too_much(tmp_path: Path) -> None:
    wide = torch.zeros(1).expand(2**20, 2**10)
    state = {**state_of("sg2-skip-32"), "mapping.fc0.weight": wide}
    assert "the tensors claim more data than the " in refusal(state, tmp_path)
    header = {"synthesis.b4.const": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    path = tmp_path / "file.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_shape_of_a_hundred_thousand_dimensions(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    path = tmp_path / "file.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(CheckpointError, match="no type, or no shape"):
        read_checkpoint(path)
    header = {"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(CheckpointError, match="no type, or no shape"):
        read_checkpoint(path)


def test_a_stylegan3_that_is_not_square(tmp_path: Path) -> None:
    """Its layers' names tell the width only; the filters tell the height."""
    file = GOLDENS / "field" / "human-sg3t.pkl"
    value, _ = read_pickle(memoryview(file.read_bytes()))
    modules = walk_modules(value["G_ema"])
    torch.save({k: torch.from_numpy(modules.read(k)) for k in modules.tensors}, tmp_path / "f.pt")
    expected = read_checkpoint(file)
    assert_equal(read_checkpoint(tmp_path / "f.pt", assume=said_of(expected)), expected)

"""Files of genforce and mmgeneration: the network of rosinality under other names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Assumptions, Checkpoint, read_checkpoint
from stylert.export.checkpoints.checkpoint import Source
from stylert.export.checkpoints.safe_pickle.storages import Tensor, compute_tensor
from stylert.export.checkpoints.state_dict_families import has_state_dicts, read_state_dict
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[3] / "goldens"
State = dict[str, torch.Tensor]
BGR, RGB = Assumptions(colors="bgr"), Assumptions(colors="rgb")


@pytest.fixture
def golden() -> dict[str, Any]:
    value: dict[str, Any] = torch.load(GOLDENS / "rosinality-32.pt", weights_only=True)
    return value


def as_mmgeneration(state: State) -> State:
    """What mmgeneration's own converter makes of rosinality's names."""
    renamed = {}
    for name, tensor in state.items():
        new = re.sub(r"^style\.(\d+)\.weight$", r"style_mapping.\1.linear.weight_orig", name)
        new = re.sub(r"^style\.(\d+)\.bias$", r"style_mapping.\1.bias", new)
        new = new.replace("input.input", "constant_input.input")
        new = new.replace("noises.noise_", "injected_noise_")
        new = new.replace(".modulation.weight", ".style_modulation.linear.weight_orig")
        new = new.replace(".modulation.bias", ".style_modulation.bias")
        new = re.sub(r"\.conv\.weight$", ".conv.weight_orig", new)
        renamed[new.replace(".noise.weight", ".noise_injector.weight")] = tensor
    return renamed


def as_genforce(state: State, average: torch.Tensor) -> State:
    """The other way round of what the field's file of genforce's own code shows."""
    renamed = {"truncation.w_avg": average.reshape(-1)}
    for name, tensor in state.items():
        if match := re.fullmatch(r"style\.(\d+)\.(\w+)", name):
            renamed[f"mapping.dense{int(match[1]) - 1}.{match[2]}"] = tensor
        elif match := re.fullmatch(r"noises\.noise_(\d+)", name):
            renamed[f"synthesis.layer{match[1]}.noise"] = tensor
        elif name.endswith("upsample.kernel"):
            renamed["synthesis.upsample.kernel"] = tensor[None, None]
        elif name == "input.input":
            renamed["synthesis.early_layer.const"] = tensor
        else:
            renamed |= genforce_layer(name, tensor)
    return renamed


def genforce_layer(name: str, tensor: torch.Tensor) -> State:
    match = re.fullmatch(r"(conv1|to_rgb1|convs\.(\d+)|to_rgbs\.(\d+))\.(.+)", name)
    assert match
    number = int(match[2] or match[3] or -1) + 1
    kind = "layer" if name.startswith("conv") else "output"
    leaf = match[4]
    if leaf == "conv.weight":
        turned = kind == "layer" and number % 2 == 1
        leaf, tensor = "weight", (tensor.flip(-1, -2) if turned else tensor)[0]
    elif leaf == "conv.modulation.bias":
        leaf, tensor = "style.bias", tensor - 1
    names = {
        "conv.modulation.weight": "style.weight",
        "conv.blur.kernel": "filter.kernel",
        "noise.weight": "noise_strength",
        "activate.bias": "bias",
    }
    tensor = tensor[None, None] if leaf == "conv.blur.kernel" else tensor
    tensor = tensor.reshape(()) if leaf == "noise.weight" else tensor
    tensor = tensor.reshape(-1) if leaf == "bias" else tensor
    return {f"synthesis.{kind}{number}.{names.get(leaf, leaf)}": tensor}


def read(value: Any, folder: Path, **options: Any) -> Checkpoint:
    torch.save(value, folder / "file.pth")
    return read_checkpoint(folder / "file.pth", **options)


def assert_equal(got: Checkpoint, expected: Checkpoint, *, atol: float = 0) -> None:
    assert got.config == expected.config
    assert got.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert np.allclose(got.tensors[name], tensor, rtol=0, atol=atol), name


def test_genforce(golden: dict[str, Any], tmp_path: Path) -> None:
    state = as_genforce(golden["g_ema"], golden["latent_avg"])
    value = {"generator": state, "discriminator": {}, "generator_smooth": state}
    got = read(value, tmp_path)
    # The 1 of the biases was taken and given again in float32.
    assert_equal(got, read_checkpoint(GOLDENS / "rosinality-32.pt"), atol=1e-6)
    assert got.source.format == "state dict of genforce's StyleGAN2"
    assert got.source.network == "generator_smooth"
    assert any("learning rate of the mapping network is not told" in note for note in got.notes)
    assert read(state, tmp_path).config == got.config
    lr = read(value, tmp_path, assume=Assumptions(mapping_lr=0.1)).config.mapping_lr_multiplier
    assert lr == 0.1


@pytest.mark.parametrize("prefix", ["generator_ema.", "generator_ema.module.", "module.generator."])
def test_mmgeneration(prefix: str, golden: dict[str, Any], tmp_path: Path) -> None:
    state = {f"{prefix}{name}": t for name, t in as_mmgeneration(golden["g_ema"]).items()}
    value = {"meta": {"epoch": 1}, "state_dict": {**state, "steps": torch.tensor(3)}}
    torch.save({"g_ema": golden["g_ema"]}, tmp_path / "rosinality.pt")  # no average there, either
    expected = read_checkpoint(tmp_path / "rosinality.pt")
    assert_equal(read(value, tmp_path, assume=RGB), expected)
    turned = read(value, tmp_path, assume=BGR)
    for name, tensor in expected.tensors.items():
        ours = turned.tensors[name]
        if name.endswith(("torgb.weight", "torgb.bias")):
            ours = ours[::-1]
        assert np.array_equal(ours, tensor), name


def test_colors_are_asked_for(golden: dict[str, Any], tmp_path: Path) -> None:
    value = {"state_dict": as_mmgeneration(golden["g_ema"])}
    with pytest.raises(CheckpointError, match=r"order of its colours: pass colors='rgb' if"):
        read(value, tmp_path)
    more = {f"generator.{k}": t for k, t in value["state_dict"].items()}
    more["generator.head_pos_encoding.weight"] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=r"head_pos_encoding.weight is unknown to"):
        read(more, tmp_path, assume=RGB)
    with pytest.raises(CheckpointError, match=r"got conv_clamp=1\.0, which"):
        read(value, tmp_path, assume=Assumptions(colors="rgb", conv_clamp=1.0))


@pytest.mark.parametrize("kind", ["genforce", "mmgeneration"])
def test_each_tensor_is_needed(kind: str, golden: dict[str, Any], tmp_path: Path) -> None:
    if kind == "genforce":
        state, assume = as_genforce(golden["g_ema"], golden["latent_avg"]), Assumptions()
    else:
        state, assume = as_mmgeneration(golden["g_ema"]), RGB
    entries = {name: as_entry(tensor) for name, tensor in state.items()}
    for name in state:
        if "noise" in name.rpartition(".")[2] or name == "truncation.w_avg":
            continue
        rest = {key: entry for key, entry in entries.items() if key != name}
        if not has_state_dicts(rest):  # without the tensor that tells the family
            assert "no StyleGAN checkpoint" in refusal(state, name, tmp_path)
            continue
        with pytest.raises(CheckpointError) as caught:
            read_state_dict(rest, None, Source("file.pth", "", 10**7), assume)
        assert len(str(caught.value).splitlines()) == 1, name
    state["synthesis.layer1.gate" if kind == "genforce" else "convs.0.gate"] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=r"gate is unknown to rosinality's StyleGAN2"):
        read(state, tmp_path, assume=assume)


def as_entry(tensor: torch.Tensor) -> Tensor:
    """What a file of torch.save gives."""
    array = tensor.numpy()
    return compute_tensor(lambda: array, array.shape)


def refusal(state: State, missing: str, folder: Path) -> str:
    """What is said of a file without one tensor."""
    with pytest.raises(CheckpointError) as caught:
        read({name: tensor for name, tensor in state.items() if name != missing}, folder)
    return str(caught.value)


def test_messages_say_whose_names_they_use(tmp_path: Path) -> None:
    value = torch.load(GOLDENS / "field" / "genforce.pth", weights_only=True)["generator_smooth"]
    del value["synthesis.layer1.bias"]
    torch.save(value, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=r"activate\.bias is missing \(by rosinality's names"):
        read_checkpoint(tmp_path / "file.pth")

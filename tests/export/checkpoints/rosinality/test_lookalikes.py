"""Files that people take for a StyleGAN of ours: each is refused with its reason."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest
import torch

from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[3] / "goldens"
T = torch.zeros(2)

# Names of real files, a few of each.
FILES: dict[str, tuple[dict[str, Any], str]] = {
    "BasicSR": (
        {"params_ema": {"style_mlp.1.weight": T, "style_conv1.modulated_conv.weight": T}},
        "a network of BasicSR",
    ),
    "GFPGAN": (
        {"params_ema": {"stylegan_decoder.style_conv1.modulated_conv.weight": T}},
        "a GFPGAN, which restores faces",
    ),
    "GFPGAN's first": (
        {"params_ema": {"condition_scale.0.0.weight": T, "conv_body_first.0.weight": T}},
        "a GFPGAN, which restores faces",
    ),
    "FastGAN": (
        {
            "g": {"module.init.init.0.weight_orig": T, "module.feat_8.1.weight_orig": T},
            "g_ema": [T],
            "opt_g": {"state": {}},
        },
        "a FastGAN generator, the default of projected-gan",
    ),
    "a training of Lightning": (
        {
            "callbacks": {torch.nn.Linear: {"best": 1}},
            "state_dict": {"student.layers.0.conv1.conv.weight_permute": T},
            "hyper_parameters": torch.nn.Linear(1, 1),
        },
        "a MobileStyleGAN",
    ),
    "MobileStyleGAN": (
        {"state_dict": {"student.layers.0.conv1.conv.weight_dw": T, "mapping_net.a": T}},
        "a MobileStyleGAN",
    ),
    "rosinality's StyleGAN 1": (
        {"generator.progression.0.conv1.0.input": T, "style.1.linear.weight_orig": T},
        "a StyleGAN 1 of rosinality's style-based-gan-pytorch",
    ),
    "rosinality's StyleGAN 1, training": (
        {"g_running": {"generator.progression.0.conv1.0.input": T}, "generator": {}},
        "a StyleGAN 1 of rosinality's style-based-gan-pytorch",
    ),
    "lernapparat": ({"g_synthesis.blocks.4x4.const": T}, "a StyleGAN 1 of lernapparat"),
}


def refusal(value: Any, folder: Path) -> str:
    torch.save(value, folder / "file.pt")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder / "file.pt")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(FILES))
def test_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    value, reason = FILES[name]
    assert f": not supported: {reason}" in refusal(value, tmp_path)


@pytest.fixture
def state() -> dict[str, Any]:
    value: dict[str, Any] = torch.load(GOLDENS / "rosinality-32.pt", weights_only=True)
    return dict(value["g_ema"])


def test_swagan_by_its_wavelets(state: dict[str, Any], tmp_path: Path) -> None:
    state["to_rgbs.0.iwt.ll"] = torch.zeros(2, 2)
    assert "not supported: a SWAGAN" in refusal({"g_ema": state}, tmp_path)


def test_swagan_by_its_channels(state: dict[str, Any], tmp_path: Path) -> None:
    """A file from which the wavelets, that are constant, were left out."""
    for name in ("to_rgb1", "to_rgbs.0", "to_rgbs.1", "to_rgbs.2"):
        state[f"{name}.conv.weight"] = state[f"{name}.conv.weight"].repeat(1, 4, 1, 1, 1)
        state[f"{name}.bias"] = state[f"{name}.bias"].repeat(1, 4, 1, 1)
    assert "not supported: a SWAGAN" in refusal({"g_ema": state}, tmp_path)


def test_gpen_by_its_channels(state: dict[str, Any], tmp_path: Path) -> None:
    names = [name for name in state if name.endswith("activate.bias")]
    state |= {name: state[name].repeat(2) for name in names}
    value = {f"generator.{name}": tensor for name, tensor in state.items()}
    assert "not supported: a generator that joins its noise" in refusal(value, tmp_path)


def test_snapshots_by_their_classes(writer: Any) -> None:
    """A pickle of projected-gan, whose generator is a plain module, and other whole networks."""
    classes = {
        "pg_modules.networks_fastgan\nGenerator": "a FastGAN generator",
        "swagan\nGenerator": "a SWAGAN",
        "gfpgan.archs.gfpganv1_arch\nGFPGANv1": "a GFPGAN",
        "core.models.mobile_synthesis_network\nMobileSynthesisNetwork": "a MobileStyleGAN",
    }
    for name, reason in classes.items():
        network = writer.Raw(f"c{name}\n)\x81}}b".encode("latin1"))
        for others in ({}, {"D": writer.Module("Discriminator")}):
            path = writer.file(writer.dump({"G": network, "G_ema": network, **others}))
            with pytest.raises(CheckpointError, match=f"not supported: {reason}"):
                read_checkpoint(path)


def test_a_whole_network_of_another_kind(tmp_path: Path) -> None:
    message = refusal(torch.nn.Linear(2, 2), tmp_path)
    assert "refuses 'torch.nn.modules.linear.Linear'" in message
    assert "save its state_dict() instead" in message
    other = refusal({"args": collections.Counter("a"), "d": T}, tmp_path)
    assert "refuses 'collections.Counter'" in other
    assert "state_dict" not in other

"""The reference against what the official implementations draw."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import read_checkpoint
from stylert.export.models.stylegan2 import StyleGAN2

AssertSame = Callable[..., None]

CASES = [
    "sg2-cond-32",
    "sg2-fp16-64",
    "sg2-gray-64",
    "sg2-hot-64",
    "sg2-nhwc-32",
    "sg2-orig-32",
    "sg2-resnet-32",
    "sg2-skip-32",
    "sg2-stylegan3repo-64",
]


@dataclass(frozen=True)
class Golden:
    model: StyleGAN2
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]

    def tensor(self, name: str) -> torch.Tensor | None:
        return torch.from_numpy(self.arrays[name]) if name in self.arrays else None

    def map(self, psi: float, cutoff: int | None = None) -> np.ndarray:
        z = self.tensor("z")
        assert z is not None
        ws = self.model.mapping(z, self.tensor("c"), truncation_psi=psi, truncation_cutoff=cutoff)
        return ws.numpy()

    def draw(self, ws: str, noise: Any = "const") -> np.ndarray:
        count = len(self.arrays["img_const"])
        return self.model.synthesis(torch.from_numpy(self.arrays[ws][:count]), noise=noise).numpy()


def load(goldens: Path, name: str) -> Golden:
    checkpoint = read_checkpoint(goldens / f"{name}.pkl")
    with np.load(goldens / f"{name}.npz") as file:
        arrays = dict(file)
    facts = json.loads((goldens / f"{name}.json").read_text())
    return Golden(StyleGAN2.from_checkpoint(checkpoint), arrays, facts)


@pytest.fixture(scope="module", params=CASES)
def golden(request: pytest.FixtureRequest, goldens: Path) -> Golden:
    return load(goldens, request.param)


def test_all_goldens_are_tested(goldens: Path) -> None:
    assert (
        sorted(file.stem for file in goldens.glob("sg2-*.pkl") if "-tf-" not in file.stem) == CASES
    )


def test_maps(golden: Golden, assert_same: AssertSame) -> None:
    assert_same(golden.arrays["ws_psi1"], golden.map(1))
    assert_same(golden.arrays["ws_psi07"], golden.map(0.7))
    assert_same(golden.arrays["ws_psi07_cut"], golden.map(0.7, golden.facts["truncation_cutoff"]))
    assert np.array_equal(golden.arrays["w_avg"], golden.model.mapping.w_avg.numpy())


def test_maps_with_psi_per_layer(golden: Golden, assert_same: AssertSame) -> None:
    psi = torch.ones(golden.arrays["ws_psi1"].shape[:2])
    psi[:, : golden.facts["truncation_cutoff"]] = 0.7
    z = golden.tensor("z")
    got = golden.model.mapping(z, golden.tensor("c"), truncation_psi=psi)
    assert_same(golden.arrays["ws_psi07_cut"], got.numpy())


def test_draws(golden: Golden, assert_same: AssertSame) -> None:
    assert_same(golden.arrays["img_const"], golden.draw("ws_psi1"))
    assert_same(golden.arrays["img_none"], golden.draw("ws_psi1", "none"))
    assert_same(golden.arrays["img_psi07"], golden.draw("ws_psi07_cut"))


def test_draws_from_z(golden: Golden, assert_same: AssertSame) -> None:
    z, c = golden.tensor("z"), golden.tensor("c")
    images = golden.model(
        z, c, truncation_psi=0.7, truncation_cutoff=golden.facts["truncation_cutoff"]
    )
    count = len(golden.arrays["img_psi07"])
    assert_same(golden.arrays["img_psi07"], images[:count].numpy())


def test_given_noise_is_used(golden: Golden, assert_same: AssertSame) -> None:
    layers = {
        name.removeprefix("synthesis.").removesuffix(".noise_const"): field
        for name, field in golden.model.named_buffers()
        if name.endswith("noise_const")
    }
    stored = {name: field[None, None] for name, field in layers.items()}
    assert_same(golden.arrays["img_const"], golden.draw("ws_psi1", stored))
    count = len(golden.arrays["img_const"])
    flipped = {name: field.repeat(count, 1, 1, 1) * -1 for name, field in stored.items()}
    expected = golden.draw("ws_psi1", "none")
    moved = np.abs(golden.draw("ws_psi1", flipped) - expected).max()
    assert moved > 20 * 5e-5


def test_batch_does_not_change_an_image(golden: Golden) -> None:
    ws = torch.from_numpy(golden.arrays["ws_psi1"][:3])
    single = torch.cat([golden.model.synthesis(w[None]) for w in ws])
    assert (golden.model.synthesis(ws) - single).abs().max() < 1e-5


def test_activations_of_every_block(goldens: Path, assert_same: AssertSame) -> None:
    golden = load(goldens, "sg2-skip-32")
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name, block in golden.model.synthesis.named_children():
        block.register_forward_hook(
            lambda module, inputs, output, name=name: found.update({name: output})
        )
    golden.model.synthesis(torch.from_numpy(golden.arrays["ws_psi1"][:1]))
    assert list(found) == ["b4", "b8", "b16", "b32"]
    for name, (x, img) in found.items():
        assert_same(golden.arrays[f"act_{name}_x"], x.numpy())
        assert_same(golden.arrays[f"act_{name}_img"], img.numpy())


def test_clamp_is_reached(goldens: Path) -> None:
    golden = load(goldens, "sg2-hot-64")
    checkpoint = read_checkpoint(goldens / "sg2-hot-64.pkl")
    assert checkpoint.config.conv_clamp == 256
    unclamped = replace(checkpoint, config=replace(checkpoint.config, conv_clamp=None))
    got = replace(golden, model=StyleGAN2.from_checkpoint(unclamped)).draw("ws_psi1")
    assert np.abs(golden.arrays["img_const"] - got).max() > 0.5


def test_goldens_are_what_their_names_say(goldens: Path) -> None:
    configs = {name: read_checkpoint(goldens / f"{name}.pkl").config for name in CASES}
    assert configs["sg2-orig-32"].architecture == "orig"
    assert configs["sg2-resnet-32"].architecture == "resnet"
    assert configs["sg2-skip-32"].architecture == "skip"
    assert configs["sg2-cond-32"].c_dim == 5
    assert configs["sg2-gray-64"].img_channels == 1

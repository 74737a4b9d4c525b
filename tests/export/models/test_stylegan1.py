"""The StyleGAN 1 reference against what the official implementation draws, and its layers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.families import build_model
from stylert.export.models.stylegan1 import StyleGAN1, adaptive_instance_norm
from stylert.runtime.errors import CheckpointError

AssertSame = Callable[..., None]
MakeCheckpoint = Callable[..., Checkpoint]

CASES = ["sg1-tf-256", "sg1-tf-32"]


@dataclass(frozen=True)
class Golden:
    checkpoint: Checkpoint
    model: StyleGAN1
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]

    def map(self, psi: float, cutoff: int | None = None) -> np.ndarray:
        z = torch.from_numpy(self.arrays["z"])
        ws = self.model.mapping(z, truncation_psi=psi, truncation_cutoff=cutoff)
        return ws.numpy()

    def double(self) -> Golden:
        """The same in float64."""
        arrays = {name: array.astype(np.float64) for name, array in self.arrays.items()}
        return replace(
            self, model=StyleGAN1.from_checkpoint(self.checkpoint).double(), arrays=arrays
        )

    def draw(self, ws: str, noise: Any = "const") -> np.ndarray:
        count = len(self.arrays["img_const"])
        return self.model.synthesis(torch.from_numpy(self.arrays[ws][:count]), noise=noise).numpy()


@pytest.fixture(scope="module", params=CASES)
def golden(request: pytest.FixtureRequest, goldens: Path) -> Golden:
    checkpoint = read_checkpoint(goldens / f"{request.param}.pkl")
    with np.load(goldens / f"{request.param}.npz") as file:
        arrays = dict(file)
    facts = json.loads((goldens / f"{request.param}.json").read_text())
    return Golden(checkpoint, StyleGAN1.from_checkpoint(checkpoint), arrays, facts)


@pytest.fixture(scope="module")
def small(make_checkpoint: MakeCheckpoint) -> MakeCheckpoint:
    return partial(make_checkpoint, family="stylegan1", mapping_layers=3)


def test_all_goldens_are_tested(goldens: Path) -> None:
    assert sorted(file.stem for file in goldens.glob("sg1-*.pkl")) == CASES


def test_family_has_this_reference(golden: Golden) -> None:
    assert golden.checkpoint.family == "stylegan1"
    assert type(build_model(golden.checkpoint)) is StyleGAN1


def test_goldens_have_both_up_convolutions(golden: Golden) -> None:
    config = golden.model.config
    fused = [config.is_fused(resolution) for resolution in config.block_resolutions]
    assert fused == [resolution >= 128 for resolution in config.block_resolutions]
    assert any(fused) == (golden.facts["name"] == "sg1-tf-256")


def test_maps(golden: Golden, assert_same: AssertSame) -> None:
    assert_same(golden.arrays["ws_psi1"], golden.map(1))
    assert_same(golden.arrays["ws_psi07"], golden.map(0.7))
    assert_same(golden.arrays["ws_psi07_cut"], golden.map(0.7, golden.facts["truncation_cutoff"]))
    assert np.array_equal(golden.arrays["w_avg"], golden.model.mapping.w_avg.numpy())


def test_draws(golden: Golden, assert_same: AssertSame) -> None:
    draws = {"img_const": ("ws_psi1", "const"), "img_psi07": ("ws_psi07_cut", "const")}
    if "img_none" in golden.arrays:  # of sg1-tf-32 only
        draws["img_none"] = ("ws_psi1", "none")
    for images, (ws, noise) in draws.items():
        exact = lambda ws=ws, noise=noise: golden.double().draw(ws, noise)  # noqa: E731
        assert_same(golden.arrays[images], golden.draw(ws, noise), exact)


def test_draws_from_z(golden: Golden, assert_same: AssertSame) -> None:
    def draw(golden: Golden) -> np.ndarray:
        z = torch.from_numpy(golden.arrays["z"][: len(golden.arrays["img_psi07"])])
        cutoff = golden.facts["truncation_cutoff"]
        return golden.model(z, truncation_psi=0.7, truncation_cutoff=cutoff).numpy()

    assert_same(golden.arrays["img_psi07"], draw(golden), lambda: draw(golden.double()))


def test_given_noise_is_used(golden: Golden, assert_same: AssertSame) -> None:
    stored = {
        layer: torch.from_numpy(field)[None, None]
        for layer, field in golden.checkpoint.noise.items()
    }
    assert list(stored)[:3] == ["b4.conv0", "b4.conv1", "b8.conv0"]
    assert_same(
        golden.arrays["img_const"],
        golden.draw("ws_psi1", stored),
        lambda: golden.double().draw("ws_psi1", {k: field.double() for k, field in stored.items()}),
    )
    silent = golden.draw("ws_psi1", "none")
    for layer in stored:  # every one of them takes part
        changed = {**stored, layer: -stored[layer]}
        moved = np.abs(golden.draw("ws_psi1", changed) - golden.arrays["img_const"]).max()
        assert moved > 20 * 5e-5, layer
    zeros = {layer: torch.zeros_like(field) for layer, field in stored.items()}
    assert_same(silent, golden.draw("ws_psi1", zeros))


def test_batch_does_not_change_an_image(golden: Golden, assert_same: AssertSame) -> None:
    ws = torch.from_numpy(golden.arrays["ws_psi1"][:3])
    single = torch.cat([golden.model.synthesis(w[None]) for w in ws])
    together = golden.model.synthesis(ws).numpy()
    exact = golden.double().model
    assert_same(single.numpy(), together, lambda: exact.synthesis(ws.double()).numpy())


def test_unflipped_kernels_draw_something_else(golden: Golden) -> None:
    """The trap of the two up-convolutions: each form with the other's orientation."""
    config = golden.model.config
    never, always = 1024, 8
    fused_from = never if config.is_fused(config.block_resolutions[-1]) else always
    other = replace(golden.checkpoint, config=replace(config, fused_from=fused_from))
    wrong = replace(golden, model=StyleGAN1.from_checkpoint(other)).draw("ws_psi1")
    assert np.abs(wrong - golden.arrays["img_const"]).max() > 0.5


def test_adaptive_instance_norm_sets_mean_and_deviation() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 8, 5, generator=random, dtype=torch.float64) * 7 + 4
    styles = torch.randn(2, 6, generator=random, dtype=torch.float64)
    y = adaptive_instance_norm(x, styles)
    assert torch.allclose(y.mean(dim=(2, 3)), styles[:, 3:])
    assert torch.allclose(y.var(dim=(2, 3), correction=0).sqrt(), (1 + styles[:, :3]).abs())


def test_adaptive_instance_norm_adds_epsilon_to_the_variance() -> None:
    x = torch.tensor([[[[-1e-4, 1e-4]]]], dtype=torch.float64)  # a variance of epsilon
    y = adaptive_instance_norm(x, torch.zeros(1, 2, dtype=torch.float64))
    assert torch.allclose(y, torch.tensor([-1.0, 1.0], dtype=torch.float64) / math.sqrt(2))


def test_label_and_latent_are_normalised_together(small: MakeCheckpoint) -> None:
    """The mapping network as StyleGAN 1 defines it: its biases have no factor of sqrt(2)."""
    checkpoint = small(c_dim=3, embed_features=8, joint_normalization=True)
    t = {name: array.astype(np.float64) for name, array in checkpoint.tensors.items()}
    random = np.random.RandomState(0)
    z, c = random.randn(4, 8), random.uniform(size=(4, 3))
    label = c @ (t["mapping.embed.weight"] / 3**0.5).T + t["mapping.embed.bias"]
    x = np.concatenate([z, label], axis=1)
    x = x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + 1e-8)
    for i in range(3):
        weight = t[f"mapping.fc{i}.weight"] * (math.sqrt(2) * 0.01 / math.sqrt(x.shape[1]))
        stored_bias = t[f"mapping.fc{i}.bias"] * math.sqrt(2)  # as the TensorFlow file has it
        x = x @ weight.T + 0.01 * stored_bias
        x = np.maximum(x, 0.2 * x)
    model = StyleGAN1.from_checkpoint(checkpoint)
    ws = model.mapping(*(torch.from_numpy(a.astype(np.float32)) for a in (z, c)))
    assert ws.shape == (4, 6, 8)
    assert np.abs(ws[:, 0].numpy() - x).max() < 1e-5


def test_activation_is_that_of_the_configuration(small: MakeCheckpoint) -> None:
    lrelu, relu = small(), small(activation="relu")
    ws = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    images = [StyleGAN1.from_checkpoint(c).synthesis(ws) for c in (lrelu, relu)]
    assert (images[0] - images[1]).abs().max() > 0.05


@pytest.mark.parametrize(("shape", "size"), [((4, 2), (16, 8)), ((3, 5), (12, 20))])
def test_constant_may_be_rectangular(
    small: MakeCheckpoint, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    model = StyleGAN1.from_checkpoint(small(const_shape=shape))
    assert model(torch.randn(2, 8)).shape == (2, 3, *size)


def test_without_noise_all_modes_are_one(small: MakeCheckpoint) -> None:
    model = StyleGAN1.from_checkpoint(small(use_noise=False))
    ws = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.synthesis(ws), model.synthesis(ws, noise="none"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"activation": "swish"}, "activation"),
        ({"conv_clamp": 256.0}, "conv_clamp"),
        ({"const_shape": (1, 1)}, "single one"),
    ],
)
def test_what_no_stylegan1_has_is_refused(
    small: MakeCheckpoint, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(CheckpointError, match=words):
        small(**change)

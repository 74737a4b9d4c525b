"""The StyleGAN3 reference against what the official implementation draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.families import build_model
from stylert.export.models.filtered_lrelu import filtered_lrelu, normalized_conv2d
from stylert.export.models.stylegan3 import StyleGAN3
from stylert.runtime.proof.parity import TOLERANCES, compare
from stylert.runtime.transforms import make_transform_inputs

AssertSame = Callable[..., None]


@dataclass(frozen=True)
class Golden:
    checkpoint: Checkpoint
    model: StyleGAN3
    arrays: dict[str, np.ndarray]

    def tensor(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[name])

    def styles(self, name: str = "ws_psi1") -> torch.Tensor:
        """Those of the first two images: they are slow to draw."""
        return self.tensor(name)[:2]

    def expected(self, name: str) -> np.ndarray:
        return self.arrays[name][:2]

    def double(self) -> Golden:
        """The same in float64."""
        arrays = {name: array.astype(np.float64) for name, array in self.arrays.items()}
        return replace(
            self, model=StyleGAN3.from_checkpoint(self.checkpoint).double(), arrays=arrays
        )

    def draw(self, ws: str = "ws_psi1", **motion: object) -> np.ndarray:
        """The first image of styles, moved."""
        motion = {"translate": None, "rotate": None, **motion}
        feeds = make_transform_inputs(None, **motion, batch=1, taken=True)
        transform = torch.from_numpy(feeds["transform"])
        return self.model.synthesis(self.tensor(ws)[:1], transform=transform)[0].numpy()


def load(goldens: Path, name: str) -> Golden:
    checkpoint = read_checkpoint(goldens / f"{name}.pkl")
    with np.load(goldens / f"{name}.npz") as file:
        arrays = dict(file)
    return Golden(checkpoint, StyleGAN3.from_checkpoint(checkpoint), arrays)


@pytest.fixture(scope="module", params=["sg3-r-64", "sg3-t-64"])
def golden(request: pytest.FixtureRequest, goldens: Path) -> Golden:
    return load(goldens, request.param)


@pytest.fixture(scope="module")
def translated(goldens: Path) -> Golden:
    return load(goldens, "sg3-t-64")


@pytest.fixture(scope="module")
def rotated(goldens: Path) -> Golden:
    return load(goldens, "sg3-r-64")


def test_all_goldens_are_tested(goldens: Path) -> None:
    assert {file.stem for file in goldens.glob("sg3-*.pkl")} == {"sg3-r-64", "sg3-t-64"}


def test_families_know_it(golden: Golden) -> None:
    assert isinstance(build_model(golden.checkpoint), StyleGAN3)


def test_maps(golden: Golden, assert_same: AssertSame) -> None:
    z, mapping = golden.tensor("z"), golden.model.mapping
    assert_same(golden.arrays["ws_psi1"], mapping(z).numpy())
    assert_same(golden.arrays["ws_psi07"], mapping(z, truncation_psi=0.7).numpy())
    cut = mapping(z, truncation_psi=0.7, truncation_cutoff=3)
    assert_same(golden.arrays["ws_psi07_cut"], cut.numpy())


def test_draws(golden: Golden, assert_same: AssertSame) -> None:
    for images, ws in (("img_const", "ws_psi1"), ("img_psi07", "ws_psi07_cut")):

        def draw(golden: Golden, ws: str = ws) -> np.ndarray:
            return golden.model.synthesis(golden.styles(ws)).numpy()

        assert_same(golden.expected(images), draw(golden), lambda: draw(golden.double()))


def test_draws_from_z(golden: Golden, assert_same: AssertSame) -> None:
    def draw(golden: Golden) -> np.ndarray:
        z = golden.tensor("z")[:1]
        return golden.model(z, truncation_psi=0.7, truncation_cutoff=3).numpy()

    assert_same(golden.expected("img_psi07")[:1], draw(golden), lambda: draw(golden.double()))


def test_draws_transformed(golden: Golden, assert_same: AssertSame) -> None:
    expected = golden.expected("img_transform")

    def draw(golden: Golden) -> np.ndarray:
        matrix = golden.tensor("user_transform")
        return golden.model.synthesis(golden.styles(), transform=matrix).numpy()

    def mix(golden: Golden) -> np.ndarray:
        each = golden.tensor("user_transform").repeat(2, 1, 1)
        each[1:] = torch.eye(3)
        return golden.model.synthesis(golden.styles(), transform=each).numpy()

    assert_same(expected, draw(golden), lambda: draw(golden.double()))
    mixed = np.concatenate([expected[:1], golden.expected("img_const")[1:]])
    assert_same(mixed, mix(golden), lambda: mix(golden.double()))


def test_the_checkpoints_own_transform(golden: Golden, assert_same: AssertSame) -> None:
    """It acts like a user's, and a user's acts on the picture that it makes."""

    def draw(golden: Golden, *, back: bool) -> np.ndarray:
        matrix = golden.tensor("user_transform")
        model = StyleGAN3.from_checkpoint(golden.checkpoint).to(matrix.dtype)
        model.synthesis.input.transform = matrix
        undone = matrix.inverse() if back else None
        return model.synthesis(golden.styles(), transform=undone).numpy()

    for images, back in (("img_transform", False), ("img_const", True)):
        assert_same(
            golden.expected(images),
            draw(golden, back=back),
            lambda back=back: draw(golden.double(), back=back),
        )


def test_every_layer(translated: Golden, assert_same: AssertSame) -> None:
    found: dict[str, torch.Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda m, i, out, name=name: found.__setitem__(name, out))
        for name, layer in translated.model.synthesis.named_children()
    ]
    translated.model.synthesis(translated.tensor("ws_psi1")[:1])
    for hook in hooks:
        hook.remove()
    names = [name for name in translated.arrays if name.startswith("act_")]
    assert [f"act_{name}" for name in found] == names
    assert len(names) == 16
    for name in names:
        got = found[name.removeprefix("act_")][:, :2]
        assert_same(translated.arrays[name], got.numpy())


def test_an_image_does_not_depend_on_its_batch(golden: Golden, assert_same: AssertSame) -> None:
    ws = golden.styles()
    together = golden.model.synthesis(ws)
    alone = torch.cat([golden.model.synthesis(row[None]) for row in ws])
    assert_same(alone.numpy(), together.numpy())


def test_translation_moves_the_picture(translated: Golden) -> None:
    """A quarter of 64 pixels to the right, and down: what was in view is the same."""
    still = translated.draw()
    right, down = translated.draw(translate=(0.25, 0)), translated.draw(translate=(0, 0.25))
    tolerance = 0.02 * still.std()
    assert np.abs(right[:, 8:-8, 24:56] - still[:, 8:-8, 8:40]).mean() < tolerance
    assert np.abs(down[:, 24:56, 8:-8] - still[:, 8:40, 8:-8]).mean() < tolerance
    assert np.abs(right[:, 8:-8, 8:40] - still[:, 8:-8, 24:56]).mean() > 10 * tolerance


def test_rotation_turns_the_picture(rotated: Golden, assert_same: AssertSame) -> None:
    """StyleGAN3-R turned by 90 degrees is its picture turned counter-clockwise."""
    still, turned = rotated.draw(), rotated.draw(rotate=90)
    assert_same(np.rot90(still, axes=(1, 2)), turned)
    assert not compare(np.rot90(still, -1, axes=(1, 2)), turned).within(TOLERANCES["fp32"])


def test_filtered_lrelu_step_by_step() -> None:
    """Against the definition, sample by sample, for one channel along one axis at a time."""
    random = np.random.RandomState(0)
    x = random.randn(1, 1, 9, 9).astype(np.float32)
    up_filter, down_filter = random.rand(8), random.rand(6)
    up, down, padding = 4, 2, (-3, 1, -2, 3)  # left, right, top, bottom

    def along(a: np.ndarray, fir: np.ndarray, axis: int) -> np.ndarray:
        return np.apply_along_axis(np.convolve, axis, a, fir, mode="valid")

    dense = np.zeros((36, 36))
    dense[::up, ::up] = x[0, 0]
    dense = np.pad(dense[2:, 3:], ((0, 3), (0, 1))) * up**2
    dense = along(along(dense, up_filter, 0), up_filter, 1)
    dense = np.clip(np.where(dense > 0, dense, 0.2 * dense) * np.sqrt(2), -1.5, 1.5)
    expected = along(along(dense, down_filter, 0), down_filter, 1)[::down, ::down]
    firs = [torch.from_numpy(fir.astype(np.float32)) for fir in (up_filter, down_filter)]
    for down_fir in (firs[1], torch.outer(firs[1], firs[1])):
        got = filtered_lrelu(
            torch.from_numpy(x),
            up_filter=firs[0],
            down_filter=down_fir,
            up=up,
            down=down,
            padding=padding,
            clamp=1.5,
        )
        np.testing.assert_allclose(got[0, 0].numpy(), expected, atol=1e-5)


def test_filtered_lrelu_without_filters() -> None:
    x = torch.tensor([[[[-3.0, 2.0]]]])
    got = filtered_lrelu(x, up_filter=None, down_filter=None, slope=1.0, gain=1.0, clamp=2.5)
    assert got.tolist() == [[[[-2.5, 2.0]]]]


@pytest.mark.parametrize("demodulate", [True, False])
def test_normalized_convolution(demodulate: bool) -> None:
    """Each image's own weights, scaled, on its input over the magnitude's root."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 4, generator=generator)
    weight = torch.randn(6, 3, 3, 3, generator=generator)
    styles = torch.rand(2, 3, generator=generator) + 0.5
    magnitude = torch.tensor(4.0)
    got = normalized_conv2d(x, weight, styles, demodulate=demodulate, magnitude=magnitude)
    for image, style, result in zip(x, styles, got, strict=True):
        scaled = weight * style[:, None, None]
        if demodulate:
            scaled = scaled / scaled.square().sum(dim=[1, 2, 3], keepdim=True).sqrt()
        expected = F.conv2d(image[None] / 2, scaled, padding=2)[0]
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)

"""`Generator.draw_gradient`: finite differences, masks, batches, backends, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.adjoint.bundle_gradient import add_gradient
from stylert.runtime.generator import Generator

Refuses = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="module")
def fitting_bundle(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32x32, with a gradient."""
    copy = shutil.copytree(bundle, tmp_path_factory.mktemp("fitting") / "bundle")
    add_gradient(copy)
    return copy


@pytest.fixture(scope="module")
def fitting(fitting_bundle: Path) -> Iterator[Generator]:
    with Generator.open(fitting_bundle, provider="cpu", threads=1) as opened:
        yield opened


def draw_targets(generator: Generator, count: int) -> np.ndarray:
    """What other seeds look like."""
    drawn = generator.generate([*range(50, 50 + count)], output="img")
    return np.asarray(drawn)


def test_the_gradient_is_the_slope(fitting: Generator) -> None:
    ws, target = fitting.styles([1, 2]), draw_targets(fitting, 2)
    scales = [0.7, 0.2, 0.1]
    found = fitting.draw_gradient(ws, target, scales=scales, noise_mode="seeded", noise_seed=3)
    step = np.random.RandomState(0).randn(*ws.shape).astype(np.float32) * 1e-3
    ahead, behind = (
        fitting.draw_gradient(
            ws + sign * step, target, scales=scales, noise_mode="seeded", noise_seed=3
        ).loss
        for sign in (1, -1)
    )
    slopes = (found.ws * step).sum((1, 2))
    np.testing.assert_allclose((ahead - behind) / 2, slopes, rtol=0.02)
    drawn = fitting.synthesize(ws, output="img", noise_mode="seeded", noise_seed=3)
    np.testing.assert_allclose(found.img, drawn, atol=1e-5)
    assert found.noise == {}


def test_the_loss_is_the_formula(fitting: Generator) -> None:
    ws, target = fitting.styles([1]), draw_targets(fitting, 1)
    mask = np.zeros((1, 1, 32, 32), bool)
    mask[:, :, 4:20, :] = True
    found = fitting.draw_gradient(ws, target, mask=mask, scales=[1, 0.5])
    d = (found.img - target) * mask
    half = d.reshape(1, 3, 16, 2, 16, 2).mean((3, 5))
    expected = (d**2).mean((1, 2, 3)) + 0.5 * (half**2).mean((1, 2, 3))
    np.testing.assert_allclose(found.loss, expected, rtol=1e-5)
    assert fitting.count_scales() == 3


def test_what_the_mask_hides_is_not_read(fitting: Generator) -> None:
    ws, target = fitting.styles([1, 2]), draw_targets(fitting, 2)
    mask = np.ones((1, 1, 32, 32), np.float32)
    mask[..., 8:24] = 0
    seen = fitting.draw_gradient(ws, target, mask=mask)
    target[..., 8:24] = np.nan
    hidden = fitting.draw_gradient(ws, target, mask=mask)
    np.testing.assert_array_equal(seen.ws, hidden.ws)
    np.testing.assert_array_equal(seen.loss, hidden.loss)


def test_a_gradient_of_ones_own_is_added(fitting: Generator) -> None:
    """With the gradient of the same loss by img, without a target, the ws get the same."""
    ws, target = fitting.styles([1, 2]), draw_targets(fitting, 2)
    found = fitting.draw_gradient(ws, target, scales=[1])
    own = 2 * (found.img - target) / target[0].size
    given = fitting.draw_gradient(ws, img_grad=own)
    np.testing.assert_allclose(given.ws, found.ws, rtol=1e-3, atol=1e-8)
    assert not given.loss.any()
    both = fitting.draw_gradient(ws, target, scales=[1], img_grad=own)
    np.testing.assert_allclose(both.ws, 2 * found.ws, rtol=1e-3, atol=1e-8)


def test_batches_do_not_matter(fitting: Generator) -> None:
    ws, targets = fitting.styles([*range(10)]), draw_targets(fitting, 10)
    options: dict[str, Any] = {"with_noise": True, "noise_mode": "seeded"}
    together = fitting.draw_gradient(ws, targets, noise_seed=[*range(10)], **options)
    alone = fitting.draw_gradient(ws[9:], targets[9:], noise_seed=9, **options)
    assert together.ws.shape == ws.shape
    np.testing.assert_allclose(together.ws[9:], alone.ws, rtol=1e-3, atol=1e-8)
    names = [t.name for t in fitting.bundle.noise_inputs]
    assert [*together.noise] == names
    for name in names:
        np.testing.assert_allclose(together.noise[name][9], alone.noise[name][0], 1e-3, 1e-8)


def test_openvino_gives_the_same(fitting: Generator, fitting_bundle: Path) -> None:
    ws, targets = fitting.styles([1, 2, 3]), draw_targets(fitting, 3)
    expected = fitting.draw_gradient(ws, targets, with_noise=True)
    with Generator.open(fitting_bundle, backend="openvino", threads=1) as other:
        found = other.draw_gradient(ws, targets, with_noise=True)
    for one, two in (
        (found.ws, expected.ws),
        *zip(found.noise.values(), expected.noise.values(), strict=True),
    ):
        assert np.linalg.norm(one - two) <= 1e-4 * np.linalg.norm(two)


def test_what_does_not_fit_is_refused(fitting: Generator, refuses: Refuses) -> None:
    ws, target = fitting.styles([1, 2]), draw_targets(fitting, 2)
    wrong: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
        ({"target": target[:, :2]}, ("target: got shape", "(2, 3, 32, 32)")),
        ({"target": target.astype(int)}, ("target: got dtype",)),
        ({"target": np.full_like(target, np.nan)}, ("target: got NaN",)),
        ({"target": target, "mask": np.ones((32, 32))}, ("mask: got shape",)),
        ({"target": target, "scales": [1, 1, 1, 1]}, ("scales: got shape", "1 to 3")),
        ({"target": target, "scales": []}, ("scales: got shape",)),
        ({"img_grad": target[:, :, :4]}, ("img_grad: got shape",)),
        ({"target": [[1.0], [1.0, 2.0]]}, ("target: got a ragged list",)),
        ({"target": target, "with_noise": "no"}, ("with_noise: got 'no'",)),
        ({"target": target, "with_styles": 1}, ("with_styles: got 1",)),
    )
    for options, words in wrong:
        with refuses(*words):
            fitting.draw_gradient(ws, **options)

"""The noise: of the checkpoint, none, drawn from a seed, or given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.runtime.bundle import TensorSpec
from stylert.runtime.noise import UNIFORM, NoiseSource

INPUTS = (
    TensorSpec("noise_a", "float32", ("M_a", 1, 4, 6)),
    TensorSpec("noise_b", "float32", ("M_b", 1, 8, 8)),
)
CONST = {
    "noise_a": np.ones((1, 1, 4, 6), np.float32),
    "noise_b": np.ones((1, 1, 8, 8), np.float32),
}


@pytest.fixture
def source() -> NoiseSource:
    return NoiseSource(INPUTS, CONST)


def test_the_checkpoints_own_and_none(source: NoiseSource) -> None:
    for name, own in CONST.items():
        assert np.array_equal(source.const()[name], own)
        assert np.array_equal(source.none()[name], np.zeros_like(own))
        assert source.none()[name].dtype == np.float32


def test_seeded_noise_is_drawn_per_image(source: NoiseSource) -> None:
    fields = source.seeded([5, 2**32 - 1, 5])
    for name, own in CONST.items():
        assert fields[name].shape == (3, *own.shape[1:])
        assert fields[name].dtype == np.float32
        assert np.array_equal(fields[name][0], fields[name][2])
        assert np.array_equal(fields[name][1:2], source.seeded([2**32 - 1])[name])
        assert not np.array_equal(fields[name][0], fields[name][1])
    first = fields["noise_b"][0].ravel()
    assert not np.isin(fields["noise_a"][0].ravel(), first).any()  # each layer has its own


def test_seeded_noise_is_normal(source: NoiseSource) -> None:
    values = source.seeded(range(400))["noise_b"].ravel()
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02


def test_seeded_noise_is_not_the_latent_of_the_seed(source: NoiseSource) -> None:
    latent = np.random.RandomState(5).randn(24).astype(np.float32)
    assert not np.allclose(source.seeded([5])["noise_a"].ravel(), latent)


def test_seeded_noise_stays_the_same_in_every_version(source: NoiseSource) -> None:
    expected = np.random.RandomState([5, 1]).standard_normal(24 + 64).astype(np.float32)
    fields = source.seeded([5])
    assert np.array_equal(fields["noise_a"].ravel(), expected[:24])
    assert np.array_equal(fields["noise_b"].ravel(), expected[24:])


def test_the_one_map_of_a_lucidrains_network_is_uniform() -> None:
    """Its input has a name of its own, which tells the distribution."""
    inputs = (TensorSpec(UNIFORM, "float32", ("M", 1, 8, 8)),)
    source = NoiseSource(inputs, {UNIFORM: np.full((1, 1, 8, 8), 0.5, np.float32)})
    expected = np.random.RandomState([5, 1]).random_sample(64).astype(np.float32)
    assert np.array_equal(source.seeded([5])[UNIFORM].ravel(), expected)
    values = source.seeded(range(400))[UNIFORM].ravel()
    counts, _ = np.histogram(values, bins=8, range=(0, 1))
    assert counts.sum() == values.size
    assert np.abs(counts / values.size - 1 / 8).max() < 0.01
    assert not source.none()[UNIFORM].any()


@pytest.mark.parametrize("made", ["const", "none"])
def test_nobody_changes_the_noise_of_later_pictures(source: NoiseSource, made: str) -> None:
    noise = getattr(source, made)()
    with pytest.raises(TypeError, match="does not support item assignment"):
        noise["noise_a"] = 2 * noise["noise_a"]
    with pytest.raises(ValueError, match="read-only"):
        noise["noise_a"][:] = 2


def test_given_noise_is_shared_or_per_image(source: NoiseSource) -> None:
    fields = source.check_given({**CONST, "noise_a": np.ones((3, 1, 4, 6))}, 3)
    assert {name: field.shape[0] for name, field in fields.items()} == {"noise_a": 3, "noise_b": 1}
    assert fields["noise_a"].dtype == np.float32


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (
            {"noise_a": CONST["noise_a"]},
            "noise: noise_b is missing, expected the keys ['noise_a', ",
        ),
        ({**CONST, "c\nd": 1}, r"noise: got 'c\nd', expected the keys ['noise_a', 'noise_b']"),
        ({**CONST, "noise_b": CONST["noise_a"]}, "noise_b: got shape (1, 1, 4, 6), expected (1, 1"),
        ({**CONST, "noise_b": np.ones((2, 1, 8, 8))}, "noise_b: got shape (2, 1, 8, 8), expected"),
        ({**CONST, "noise_b": "x"}, "noise_b: got 'x', expected floats."),
        (list(CONST), "noise: got list, expected arrays by input name"),
    ],
)
def test_given_noise_is_checked(
    source: NoiseSource, refuses: Any, noise: Any, message: str
) -> None:
    with refuses(message):
        source.check_given(noise, 3)


def test_one_image_has_one_shape(source: NoiseSource, refuses: Any) -> None:
    with refuses("noise_b: got shape (2, 1, 8, 8), expected (1, 1, 8, 8)."):
        source.check_given({**CONST, "noise_b": np.ones((2, 1, 8, 8))}, 1)


def test_a_network_without_noise(refuses: Any) -> None:
    source = NoiseSource((), {})
    assert (
        source.const() == source.none() == source.seeded([1, 2]) == source.check_given({}, 2) == {}
    )
    with refuses("noise: got 'noise_a', expected the keys []"):
        source.check_given(CONST, 1)

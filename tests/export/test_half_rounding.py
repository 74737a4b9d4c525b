"""Rounding to half precision: every value is one of it, and sums survive."""

from __future__ import annotations

import numpy as np
import pytest

from stylert.export.half_rounding import round_filter, round_weight


def is_half(array: np.ndarray) -> bool:
    return array.dtype == np.float64 and np.array_equal(array.astype(np.float16), array)


@pytest.fixture
def random() -> np.random.RandomState:
    return np.random.RandomState(0)


@pytest.fixture
def low_pass() -> np.ndarray:
    taps = np.sinc((np.arange(24) - 11.5) / 4) * np.hanning(26)[1:-1]
    return np.asarray(taps / taps.sum())


@pytest.mark.parametrize("phases", [1, 2, 4])
def test_a_filter_keeps_the_sum_of_every_phase(low_pass: np.ndarray, phases: int) -> None:
    rounded = round_filter(low_pass, phases=phases)
    assert is_half(rounded)
    assert np.abs(rounded - low_pass).max() < 2**-12  # half a step at the largest tap, of 0.25
    plain = low_pass.astype(np.float16).astype(np.float64)
    for phase in range(phases):
        wanted = low_pass[phase::phases].sum()
        assert abs(rounded[phase::phases].sum() - wanted) < 1e-6
    worst = max(abs((plain - low_pass)[phase::phases].sum()) for phase in range(phases))
    assert worst > 1e-5, "rounded by itself it would do as well"


def test_a_filter_of_two_dimensions(low_pass: np.ndarray) -> None:
    fir = np.outer(low_pass, low_pass)
    rounded = round_filter(fir)
    assert is_half(rounded)
    assert rounded.shape == fir.shape
    assert abs(rounded.sum() - 1) < 1e-6


def test_a_weight_is_close_to_its_factors_times_itself(random: np.random.RandomState) -> None:
    weight = random.randn(10, 7, 3, 3)
    rounded, factors = round_weight(weight)
    assert is_half(rounded)
    assert rounded.shape == weight.shape
    assert factors.shape == (10,)
    assert ((factors > 0.5) & (factors <= 1)).all()
    assert len(set(factors)) > 1
    assert np.abs(rounded / factors[:, None, None, None] - weight).max() < 2**-8


def test_a_kernel_keeps_its_sum(random: np.random.RandomState) -> None:
    weight = random.randn(16, 12, 3, 3)
    rounded, factors = round_weight(weight)
    error = (rounded / factors[:, None, None, None] - weight).sum(axis=(2, 3))
    plain = (weight.astype(np.float16) - weight).sum(axis=(2, 3))
    assert np.sqrt(np.mean(error**2)) < 0.15 * np.sqrt(np.mean(plain**2))


def test_the_best_scale_is_better_than_the_first(random: np.random.RandomState) -> None:
    """1x1: there are no other taps to take up an error."""
    weight = random.randn(64, 40, 1, 1)
    rounded, factors = round_weight(weight)
    error = rounded / factors[:, None, None, None] - weight
    plain = weight.astype(np.float16) - weight
    assert np.mean(error**2) < 0.9 * np.mean(plain**2)
    assert np.mean(error.sum(axis=1) ** 2) < 0.5 * np.mean(plain.sum(axis=1) ** 2)


def test_zeros_stay_zeros(random: np.random.RandomState) -> None:
    weight = random.randn(4, 8, 3, 3)
    weight[1], weight[:, 5], weight[0, 0, 1] = 0, 0, 0
    rounded, factors = round_weight(weight)
    assert not rounded[1].any()
    assert not rounded[:, 5].any()
    assert factors[1] == 1
    assert np.isfinite(rounded).all()

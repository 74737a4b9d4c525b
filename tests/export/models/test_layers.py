"""The layers against their definitions, written out in float64 loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stylert.export.models.layers import (
    ACTIVATION_GAINS,
    FullyConnected,
    activate,
    modulated_conv2d,
    normalize_second_moment,
    upfirdn2d,
    upsample2d,
)

EXACT = 1e-12

FILTERS = {
    "1 tap": np.array([1.0]),
    "2 taps": np.array([1.0, 1]) / 2,
    "3 taps": np.array([1.0, 2, 1]) / 4,
    "4 taps": np.array([1.0, 3, 3, 1]) / 8,
    "asymmetric": np.array([1.0, 2, 3, 4, 5]) / 15,
    "2-D": np.arange(1.0, 17).reshape(4, 4) / 136,
    "2-D odd": np.arange(1.0, 10).reshape(3, 3) / 45,
    "3 rows": np.arange(1.0, 13).reshape(3, 4) / 78,
    "3 columns": np.arange(1.0, 13).reshape(4, 3) / 78,
    "6 rows of 1": np.arange(1.0, 7).reshape(6, 1) / 21,
}


def defined_upfirdn(
    x: np.ndarray,
    fir: np.ndarray,
    up: int,
    padding: tuple[int, int, int, int],
    gain: float,
) -> np.ndarray:
    """y[i, j] = gain * sum over a, b of fir[a, b] * stuffed[i - a + h - 1 - top, ...]."""
    fir = np.outer(fir, fir) if fir.ndim == 1 else fir
    h, w = fir.shape
    N, C, H, W = x.shape
    left, right, top, bottom = padding
    out = np.zeros((N, C, H * up + top + bottom - h + 1, W * up + left + right - w + 1))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            for a in range(h):
                for b in range(w):
                    row, column = i - a + h - 1 - top, j - b + w - 1 - left
                    inside = 0 <= row < H * up and 0 <= column < W * up
                    if inside and row % up == 0 and column % up == 0:
                        out[:, :, i, j] += fir[a, b] * x[:, :, row // up, column // up]
    return out * gain


def defined_modulated_conv(
    x: np.ndarray, weight: np.ndarray, styles: np.ndarray, *, demodulate: bool
) -> np.ndarray:
    """Equations 1 and 3 of StyleGAN2, an image, channel and pixel at a time."""
    N, _, H, W = x.shape
    outputs, inputs, k, _ = weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    out = np.zeros((N, outputs, H, W))
    for n in range(N):
        for o in range(outputs):
            w = np.stack([styles[n, i] * weight[o, i] for i in range(inputs)])
            if demodulate:
                w = w / math.sqrt((w**2).sum() + 1e-8)
            for row in range(H):
                for column in range(W):
                    window = padded[n, :, row : row + k, column : column + k]
                    out[n, o, row, column] = (w * window).sum()
    return out


def defined_up_modulated_conv(
    x: np.ndarray, weight: np.ndarray, styles: np.ndarray, fir: np.ndarray
) -> np.ndarray:
    """The same with upsampling: every pixel spreads its 3x3 weights over a grid twice as fine."""
    N, inputs, H, W = x.shape
    spread = np.zeros((N, len(weight), 2 * H + 1, 2 * W + 1))
    for n in range(N):
        w = styles[n][None, :, None, None] * weight
        w = w / np.sqrt((w**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        for i in range(inputs):
            for row in range(H):
                for column in range(W):
                    target = spread[n, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
                    target += x[n, i, row, column] * w[:, i]
    height, width = (len(fir), len(fir)) if fir.ndim == 1 else fir.shape
    padding = (  # the official padding of a resampling convolution, less the transposed one's
        (width + 1) // 2 - 1,
        (width - 2) // 2,
        (height + 1) // 2 - 1,
        (height - 2) // 2,
    )
    return defined_upfirdn(spread, fir, 1, padding, 4)


@pytest.fixture
def random() -> np.random.RandomState:
    return np.random.RandomState(0)


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(array, np.float64)) for array in arrays]


def assert_equal(expected: np.ndarray, got: torch.Tensor) -> None:
    assert got.dtype == torch.float64
    assert got.shape == expected.shape
    assert np.abs(got.numpy() - expected).max() < EXACT


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("up", [1, 2, 3])
@pytest.mark.parametrize("padding", [(5, 5, 5, 5), (5, 4, 6, 7), (6, -1, -2, 8)])
def test_upfirdn2d(
    random: np.random.RandomState, name: str, up: int, padding: tuple[int, int, int, int]
) -> None:
    x = random.randn(2, 2, 3, 4)
    fir = FILTERS[name]
    got = upfirdn2d(*tensors(x, fir), up=up, padding=padding, gain=1.5)
    assert_equal(defined_upfirdn(x, fir, up, padding, 1.5), got)


@pytest.mark.parametrize("down", [2, 3])
def test_upfirdn2d_keeps_one_pixel_of_so_many(random: np.random.RandomState, down: int) -> None:
    x = random.randn(2, 2, 7, 8)
    for fir in FILTERS.values():
        expected = defined_upfirdn(x, fir, 2, (5, 4, 6, 7), 1.5)[:, :, ::down, ::down]
        got = upfirdn2d(*tensors(x, fir), up=2, down=down, padding=(5, 4, 6, 7), gain=1.5)
        assert_equal(expected, got)


def test_upfirdn2d_crops(random: np.random.RandomState) -> None:
    x = random.randn(1, 1, 5, 6)
    got = upfirdn2d(*tensors(x, np.ones(1)), padding=(-1, -2, -3, 0))
    assert_equal(x[:, :, 3:, 1:-2], got)


def test_upfirdn2d_keeps_the_channels_apart(random: np.random.RandomState) -> None:
    x = random.randn(1, 3, 4, 4)
    x[:, 1] = 0
    got = upfirdn2d(*tensors(x, FILTERS["4 taps"]), padding=(2, 1, 2, 1))
    assert got[:, 1].abs().max() == 0
    assert got[:, [0, 2]].abs().max() > 0.1


@pytest.mark.parametrize("name", FILTERS)
def test_upsample2d(random: np.random.RandomState, name: str) -> None:
    x = random.randn(2, 2, 3, 5)
    fir = FILTERS[name]
    height, width = (len(fir), len(fir)) if fir.ndim == 1 else fir.shape
    padding = ((width + 1) // 2, (width - 2) // 2, (height + 1) // 2, (height - 2) // 2)
    got = upsample2d(*tensors(x, fir))
    assert got.shape == (2, 2, 6, 10)
    assert_equal(defined_upfirdn(x, fir, 2, padding, 4), got)


@pytest.mark.parametrize("name", ["2 taps", "3 taps", "4 taps"])
def test_upsample2d_keeps_the_mean(name: str) -> None:
    got = upsample2d(*tensors(np.full((1, 1, 6, 6), 2.0), FILTERS[name]))
    assert (got[:, :, 2:-2, 2:-2] - 2).abs().max() < EXACT


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_modulated_conv2d(random: np.random.RandomState, k: int, *, demodulate: bool) -> None:
    x, weight, styles = random.randn(3, 4, 3, 5), random.randn(2, 4, k, k), random.randn(3, 4)
    got = modulated_conv2d(*tensors(x, weight, styles), demodulate=demodulate)
    assert_equal(defined_modulated_conv(x, weight, styles, demodulate=demodulate), got)


@pytest.mark.parametrize("name", FILTERS)
def test_modulated_conv2d_upsamples(random: np.random.RandomState, name: str) -> None:
    x, weight, styles = random.randn(2, 3, 3, 4), random.randn(2, 3, 3, 3), random.randn(2, 3)
    fir = FILTERS[name]
    got = modulated_conv2d(*tensors(x, weight, styles), fir=tensors(fir)[0])
    assert got.shape == (2, 2, 6, 8)
    assert_equal(defined_up_modulated_conv(x, weight, styles, fir), got)


def test_modulated_conv2d_of_zero_styles_is_finite() -> None:
    got = modulated_conv2d(torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3), torch.zeros(1, 2))
    assert got.abs().max() == 0


def test_normalize_second_moment(random: np.random.RandomState) -> None:
    x = random.randn(3, 7)
    expected = np.stack([row / math.sqrt((row**2).mean() + 1e-8) for row in x])
    assert_equal(expected, normalize_second_moment(*tensors(x)))


DEFINED_ACTIVATIONS = {
    "linear": lambda v: v,
    "relu": lambda v: math.sqrt(2) * max(v, 0),
    "lrelu": lambda v: math.sqrt(2) * (v if v > 0 else 0.2 * v),
    "swish": lambda v: math.sqrt(2) * v / (1 + math.exp(-v)),
}


@pytest.mark.parametrize("activation", DEFINED_ACTIVATIONS)
@pytest.mark.parametrize(("gain", "clamp"), [(1, None), (1, 0.7), (0.5, 0.7), (0.5, None)])
def test_activate(
    random: np.random.RandomState, activation: str, gain: float, clamp: float | None
) -> None:
    x = random.randn(50) * 2
    bound = math.inf if clamp is None else clamp * gain
    expected = [DEFINED_ACTIVATIONS[activation](v) * gain for v in x]
    got = activate(*tensors(x), activation, gain=gain, clamp=clamp)
    assert_equal(np.clip(expected, -bound, bound), got)


def test_activations_are_all_defined_here() -> None:
    assert set(ACTIVATION_GAINS) == set(DEFINED_ACTIVATIONS)


@pytest.mark.parametrize("activation", DEFINED_ACTIVATIONS)
def test_fully_connected(random: np.random.RandomState, activation: str) -> None:
    layer = FullyConnected(5, 3, activation=activation, lr_multiplier=0.01).double()
    with torch.no_grad():
        layer.bias.copy_(torch.from_numpy(random.randn(3)))
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    x = random.randn(4, 5)
    dense = x @ weight.T * 0.01 / math.sqrt(5) + bias * 0.01
    expected = np.vectorize(DEFINED_ACTIVATIONS[activation])(dense)
    assert_equal(expected, layer(*tensors(x)).detach())

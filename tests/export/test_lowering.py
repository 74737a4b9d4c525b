"""The algebra of the export against the layers' definitions, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from stylert.export import lowering
from stylert.export.models.layers import FullyConnected, modulated_conv2d, upsample2d

EXACT = 1e-12

FILTERS = {
    "1 tap": np.array([1.0]),
    "2 taps": np.array([1.0, 1]) / 2,
    "3 taps": np.array([1.0, 2, 1]) / 4,
    "4 taps": np.array([1.0, 3, 3, 1]) / 8,
    "5 taps": np.array([1.0, 4, 6, 4, 1]) / 16,
    "6 taps": np.array([1.0, 5, 10, 10, 5, 1]) / 32,
    "8 taps": np.array([1.0, 7, 21, 35, 35, 21, 7, 1]) / 128,
    "12 taps": np.hanning(14)[1:-1] / np.hanning(14).sum(),
    "asymmetric 2 taps": np.array([1.0, 3]) / 4,
    "asymmetric 3 taps": np.array([1.0, 2, 4]) / 7,
    "asymmetric 4 taps": np.array([1.0, 2, 3, 4]) / 10,
    "asymmetric 5 taps": np.array([-1.0, 2, 3, 4, 7]) / 15,
    "2-D": np.outer([1.0, 3, 3, 1], [1, 3, 3, 1]) / 64,
    "2-D asymmetric": np.arange(1.0, 17).reshape(4, 4) / 136,
    "2-D odd": np.arange(1.0, 26).reshape(5, 5) / 325,
    "3 rows": np.arange(1.0, 13).reshape(3, 4) / 78,
    "3 columns": np.arange(1.0, 13).reshape(4, 3) / 78,
    "5 rows of 2": np.arange(1.0, 11).reshape(5, 2) / 55,
    "1 row of 6": np.arange(1.0, 7).reshape(1, 6) / 21,
}

every_filter = pytest.mark.parametrize("fir", FILTERS.values(), ids=FILTERS.keys())


@pytest.fixture
def random() -> np.random.RandomState:
    return np.random.RandomState(0)


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(array, np.float64)) for array in arrays]


def assert_equal(expected: torch.Tensor, got: torch.Tensor) -> None:
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype == torch.float64
    assert (got - expected).abs().max() < EXACT
    assert expected.abs().max() > 0.1


def correlate(
    x: torch.Tensor, kernel: np.ndarray, pads: list[int], groups: int = 1
) -> torch.Tensor:
    """What ONNX's Conv does; its pads are (top, left, bottom, right), and never negative."""
    assert min(pads) >= 0
    top, left, bottom, right = pads
    return functional.conv2d(
        functional.pad(x, [left, right, top, bottom]), *tensors(kernel), groups=groups
    )


def four_phases(y: torch.Tensor) -> torch.Tensor:
    """What ONNX's DepthToSpace does in CRD order."""
    return functional.pixel_shuffle(y, 2)


@pytest.mark.parametrize(("lr_multiplier", "gain"), [(1, 1), (0.01, 1), (0.01, 2**0.5), (1, 0.25)])
def test_fully_connected(random: np.random.RandomState, lr_multiplier: float, gain: float) -> None:
    layer = FullyConnected(5, 3, lr_multiplier=lr_multiplier).double()
    weight, bias = random.randn(3, 5), random.randn(3)
    layer.load_state_dict(dict(zip(("weight", "bias"), tensors(weight, bias), strict=True)))
    matrix, offset = lowering.fold_dense(weight, bias, lr_multiplier=lr_multiplier, gain=gain)
    (x,) = tensors(random.randn(4, 5) * 10 / lr_multiplier)
    got = x @ torch.from_numpy(matrix) + torch.from_numpy(offset)
    assert_equal(layer(x).detach() * gain, got)


def test_fully_connected_keeps_float64_of_float32_weights() -> None:
    weight = np.full((2, 3), 0.1, np.float32)
    matrix, bias = lowering.fold_dense(weight, weight[:, 0], gain=1 / 3)
    assert matrix.dtype == bias.dtype == np.float64
    assert np.abs(matrix - np.float64(np.float32(0.1)) / 3 / 3**0.5).max() < 1e-17


@pytest.mark.parametrize("gain", [1.0, 2**0.5, 0.5, 3.0])
@pytest.mark.parametrize("scale", [1.0, 1e-5])  # at 1e-5, epsilon takes part
def test_demodulation(random: np.random.RandomState, gain: float, scale: float) -> None:
    x, weight, styles = random.randn(3, 4, 5, 5), random.randn(6, 4, 3, 3), random.randn(3, 4)
    styles *= scale
    expected = modulated_conv2d(*tensors(x, weight, styles)) * gain
    matrix, epsilon = lowering.fold_demodulation(weight, gain=gain)
    factors = (styles**2 @ matrix + epsilon) ** -0.5
    modulated = torch.from_numpy(x * styles[:, :, None, None])
    got = correlate(modulated, weight, [1, 1, 1, 1]) * torch.from_numpy(factors)[:, :, None, None]
    assert_equal(expected, got)


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_demodulation_of_styles_with_a_mean_square_of_1(
    random: np.random.RandomState, scale: float
) -> None:
    """StyleGAN3, appendix F.3: the epsilon is of the styles as they are normalised."""
    weight = random.standard_normal((5, 6, 3, 3)) * 1e-4  # so small that the epsilon counts
    styles = random.standard_normal((4, 6)) * scale
    unit = styles / np.sqrt(np.square(styles).mean(axis=1, keepdims=True))
    w = weight[None] * unit[:, None, :, None, None]
    exact = 1 / np.sqrt(np.square(w).sum(axis=(2, 3, 4)) + 1e-8)
    matrix, epsilon = lowering.fold_demodulation(weight, channels=6)
    size = np.sqrt(np.square(styles).mean(axis=1, keepdims=True))
    got = size / np.sqrt(np.square(styles) @ matrix + epsilon)
    assert np.allclose(got, exact, rtol=1e-12)


def test_demodulation_takes_a_gain_per_channel(random: np.random.RandomState) -> None:
    weight, gains = random.randn(6, 4, 3, 3), random.uniform(0.1, 3, 6)
    matrix, epsilon = lowering.fold_demodulation(weight, gain=gains)
    for o, gain in enumerate(gains):
        column, alone = lowering.fold_demodulation(weight[o : o + 1], gain=gain)
        assert np.array_equal(matrix[:, o : o + 1], column)
        assert np.array_equal(epsilon[o : o + 1], alone)


def test_normalize_weight(random: np.random.RandomState) -> None:
    weight = random.randn(6, 4, 3, 3) * 10.0 ** np.arange(-3, 3)[:, None, None, None]
    weight[5] = 0
    normalized, factors = lowering.normalize_weight(weight)
    assert np.abs(normalized[:5]).max(axis=(1, 2, 3)) == pytest.approx(1 / 6)  # 6^2 = 4 * 3 * 3
    assert np.abs(normalized - weight * factors[:, None, None, None]).max() < EXACT
    assert np.isfinite(factors).all()
    assert not normalized[5].any()


@every_filter
def test_even_fir(fir: np.ndarray) -> None:
    even = lowering.make_even(fir)
    assert even.ndim == 2
    assert [side % 2 for side in even.shape] == [0, 0]
    assert abs(even.sum() - fir.sum() ** (2 if fir.ndim == 1 else 1)) < EXACT
    (x,) = tensors(np.random.RandomState(0).randn(1, 2, 5, 4))
    assert_equal(upsample2d(x, *tensors(fir)), upsample2d(x, *tensors(even)))


@every_filter
def test_transposed_fir(random: np.random.RandomState, fir: np.ndarray) -> None:
    x, weight = random.randn(2, 3, 4, 5), random.randn(6, 3, 3, 3)
    expected = plain_up_convolution(x, weight, fir)
    kernel, pads = lowering.transpose_fir(fir)
    up = functional.conv_transpose2d(*tensors(x, weight.transpose(1, 0, 2, 3)), stride=2)
    kernels = np.broadcast_to(kernel, (6, 1, *kernel.shape))
    assert_equal(expected, correlate(up, kernels, pads, groups=6))


@every_filter
def test_up_convolution_folded(random: np.random.RandomState, fir: np.ndarray) -> None:
    x, weight = random.randn(2, 3, 4, 5), random.randn(6, 3, 3, 3)
    folded, pads = lowering.fold_up_convolution(weight, fir)
    assert folded.shape[:2] == (24, 3)
    (x_,) = tensors(x)
    got = four_phases(correlate(x_, folded, pads))
    assert_equal(plain_up_convolution(x, weight, fir), got)


def test_up_convolution_folded_is_3x3_for_the_usual_filter(random: np.random.RandomState) -> None:
    folded, pads = lowering.fold_up_convolution(random.randn(2, 3, 3, 3), FILTERS["4 taps"])
    assert folded.shape == (8, 3, 3, 3)
    assert pads == [1, 1, 1, 1]


@every_filter
def test_up_fir(random: np.random.RandomState, fir: np.ndarray) -> None:
    x = random.randn(2, 3, 4, 5)
    phases, pads = lowering.split_up_fir(fir)
    assert phases.shape[0] == 4
    (x_,) = tensors(x)
    got = four_phases(correlate(x_, np.tile(phases, (3, 1, 1))[:, None], pads, groups=3))
    assert_equal(upsample2d(x_, *tensors(fir)), got)


@every_filter
def test_up_fir_in_one_step(random: np.random.RandomState, fir: np.ndarray) -> None:
    x = random.randn(2, 3, 4, 5)
    kernel, pads = lowering.transpose_up_fir(fir)
    assert pads[:2] == pads[2:]
    x_, kernels = tensors(x, np.tile(kernel, (3, 1, 1, 1)))
    got = functional.conv_transpose2d(x_, kernels, stride=2, padding=pads[:2], groups=3)
    assert_equal(upsample2d(x_, *tensors(fir)), got)


@pytest.mark.parametrize("offsets", [(0, 0), (1, 1), (2, 2), (0, 3), (3, 1), (5, 4)])
@pytest.mark.parametrize("sides", [(6, 6), (5, 6), (4, 7), (6, 1)])
def test_polyphase(
    random: np.random.RandomState, sides: tuple[int, int], offsets: tuple[int, int]
) -> None:
    """Y[o] = sum over i of x[i] * kernel[o - 2 i + offset], summed as it stands."""
    x, kernel = random.randn(4, 3), random.randn(*sides)
    expected = np.zeros((8, 6))
    for row, column in np.ndindex(8, 6):
        for i, j in np.ndindex(4, 3):
            a, b = row - 2 * i + offsets[0], column - 2 * j + offsets[1]
            if 0 <= a < sides[0] and 0 <= b < sides[1]:
                expected[row, column] += x[i, j] * kernel[a, b]
    phases, pads = lowering.split_phases(kernel, offsets)
    got = four_phases(correlate(*tensors(x[None, None]), phases[:, None], pads))
    assert_equal(torch.from_numpy(expected)[None, None], got)


def test_polyphase_takes_leading_axes(random: np.random.RandomState) -> None:
    kernels = random.randn(2, 3, 6, 6)
    phases, pads = lowering.split_phases(kernels, (2, 2))
    assert phases.shape[:3] == (2, 3, 4)
    alone, alone_pads = lowering.split_phases(kernels[1, 2], (2, 2))
    assert np.array_equal(phases[1, 2], alone)
    assert pads == alone_pads


def plain_up_convolution(x: np.ndarray, weight: np.ndarray, fir: np.ndarray) -> torch.Tensor:
    """The reference's up-convolution, with styles of 1 and no demodulation."""
    styles = np.ones(x.shape[:2])
    x_, weight_, styles_, fir_ = tensors(x, weight, styles, fir)
    return modulated_conv2d(x_, weight_, styles_, demodulate=False, fir=fir_)

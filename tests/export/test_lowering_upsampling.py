"""StyleGAN 1's up-convolutions against their definition and their fast form, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from stylert.export.lowering import make_blur_kernel, make_box_kernel, transpose_weight
from stylert.export.models.stylegan1 import blur, up_convolution

EXACT = 1e-12
SIZES = [(4, 5), (1, 3), (2, 1)]

both_forms = pytest.mark.parametrize("fused", [False, True])


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(array, np.float64)) for array in arrays]


def assert_equal(expected: torch.Tensor, got: torch.Tensor) -> None:
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype == torch.float64
    assert (got - expected).abs().max() < EXACT
    assert expected.abs().max() > 0.1


def lowered(x: torch.Tensor, weight: np.ndarray, *, fused: bool) -> torch.Tensor:
    """What ONNX's operators do with the lowered kernels, up to the blur."""
    kernel, box = tensors(transpose_weight(weight, fused=fused), make_box_kernel(len(weight)))
    y = functional.conv_transpose2d(x, kernel, stride=2)
    return functional.conv2d(y, box, groups=len(weight))


def gathered(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The plain form as it stands: every output sums the doubled pixels around it."""
    doubled = np.pad(x.repeat(2, axis=2).repeat(2, axis=3), [(0, 0), (0, 0), (1, 1), (1, 1)])
    y = np.zeros((len(x), len(weight), x.shape[2] * 2, x.shape[3] * 2))
    for row, column in np.ndindex(*y.shape[2:]):
        window = doubled[:, :, row : row + 3, column : column + 3]
        y[:, :, row, column] = np.einsum("nihw,oihw->no", window, weight)
    return y


def spread(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The fused form as it stands: every pixel adds four shifted copies of the kernel."""
    N, _, H, W = x.shape
    y = np.zeros((N, len(weight), 2 * H + 2, 2 * W + 2))  # a frame of 1 that is cut off
    for row, column in np.ndindex(H, W):
        stamp = np.einsum("ni,oihw->nohw", x[:, :, row, column], weight)
        for down, right in np.ndindex(2, 2):
            top, left = 2 * row + down, 2 * column + right
            y[:, :, top : top + 3, left : left + 3] += stamp
    return y[:, :, 1:-1, 1:-1]


@pytest.fixture
def random() -> np.random.RandomState:
    return np.random.RandomState(0)


@both_forms
@pytest.mark.parametrize("size", SIZES)
def test_reference_follows_the_definition(
    random: np.random.RandomState, size: tuple[int, int], fused: bool
) -> None:
    x, weight = random.randn(2, 3, *size), random.randn(5, 3, 3, 3)
    (expected,) = tensors((spread if fused else gathered)(x, weight))
    x_, weight_ = tensors(x, weight)
    assert_equal(expected, up_convolution(x_, weight_, fused=fused))


@both_forms
@pytest.mark.parametrize("size", SIZES)
def test_lowered_up_convolution(
    random: np.random.RandomState, size: tuple[int, int], fused: bool
) -> None:
    x, weight = random.randn(2, 3, *size), random.randn(5, 3, 3, 3)
    x_, weight_ = tensors(x, weight)
    got = lowered(x_, weight, fused=fused)
    assert_equal(up_convolution(x_, weight_, fused=fused), got)
    blurred = functional.conv2d(got, *tensors(make_blur_kernel(5)), padding=1, groups=5)
    assert_equal(blur(up_convolution(x_, weight_, fused=fused)), blurred)


def test_forms_differ_by_the_flip_of_the_kernel(random: np.random.RandomState) -> None:
    x, weight = random.randn(1, 3, 4, 4), random.randn(2, 3, 3, 3)
    x_, weight_ = tensors(x, weight)
    plain = up_convolution(x_, weight_, fused=False)
    assert_equal(plain, up_convolution(x_, weight_.flip([2, 3]), fused=True))
    assert (plain - up_convolution(x_, weight_, fused=True)).abs().max() > 1


def test_blur_keeps_the_mean_and_sees_zeros_around() -> None:
    flat = blur(torch.ones(1, 2, 4, 5, dtype=torch.float64))
    assert_equal(torch.ones(1, 2, 2, 3, dtype=torch.float64), flat[:, :, 1:-1, 1:-1])
    assert flat[0, 1, 0, 2] == 0.75
    assert flat[0, 1, 0, 0] == 0.75**2


def test_box_and_blur_are_one_filter_but_at_the_border(random: np.random.RandomState) -> None:
    """So that nobody folds them: StyleGAN2's [1, 3, 3, 1] is the same inside of the image only."""
    x, weight = random.randn(1, 3, 5, 5), random.randn(2, 3, 3, 3)
    x_, kernel = tensors(x, transpose_weight(weight, fused=True))
    taps = np.array([1.0, 3, 3, 1]) / 4
    (fir,) = tensors(np.broadcast_to(np.outer(taps, taps), (2, 1, 4, 4)))
    y = functional.conv_transpose2d(x_, kernel, stride=2)
    folded = functional.conv2d(y, fir, padding=1, groups=2)
    expected = blur(lowered(x_, weight, fused=True))
    assert_equal(expected[:, :, 1:-1, 1:-1], folded[:, :, 1:-1, 1:-1])
    assert (expected - folded).abs().max() > 0.1

"""The exact algebra that turns a trained network into a fast graph. NumPy only, in float64.

Everything here is an identity of real numbers, so that the graph draws the reference's picture; the
proof of every export (`export.parity`) shows that it holds in floating point.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = [
    "UP_CONVOLUTIONS",
    "convolve",
    "fold_demodulation",
    "make_blur_kernel",
    "make_box_kernel",
    "make_even",
    "fold_dense",
    "normalize_weight",
    "split_phases",
    "transpose_fir",
    "transpose_weight",
    "fold_up_convolution",
    "split_up_fir",
    "transpose_up_fir",
]

UP_CONVOLUTIONS = ("transposed", "folded")  # ways to lower an up-convolution


def fold_dense(
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    lr_multiplier: float = 1.0,
    gain: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Fold the equalised learning rate, and a gain of the result, into a dense layer.

    Args:
        weight: [out, in] as stored.
        bias: [out] as stored.
        lr_multiplier: the layer's learning rate multiplier.
        gain: factor of the layer's result.

    Returns:
        The matrix [in, out] and the bias [out], so that the layer is x @ matrix + bias.
    """
    scale = gain * lr_multiplier / math.sqrt(weight.shape[1])
    return weight.T.astype(np.float64) * scale, bias.astype(np.float64) * (lr_multiplier * gain)


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A 3x3 convolution of a constant.

    Args:
        x: [I, H, W].
        weight: [O, I, 3, 3].
        bias: [O].

    Returns:
        [O, H, W].
    """
    _, height, width = x.shape
    padded = np.pad(x.astype(np.float64), [(0, 0), (1, 1), (1, 1)])
    y = np.broadcast_to(bias.astype(np.float64)[:, None, None], (len(bias), height, width))
    for row in range(3):
        for column in range(3):
            seen = padded[:, row : row + height, column : column + width]
            y = y + np.tensordot(weight[:, :, row, column].astype(np.float64), seen, axes=1)
    return y


def normalize_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale every output channel so that its convolution stays small: the half-precision form.

    With inputs of at most x and styles of at most 1, no output is larger than sqrt(I k k) x, and
    of random signs it is about x. The demodulation takes the factor back.

    Args:
        weight: [O, I, k, k].

    Returns:
        The scaled weight, its largest entry in a channel 1 / sqrt(I k k), and the factors [O].
    """
    peak = np.abs(weight).max(axis=(1, 2, 3)).astype(np.float64)
    factors = 1 / (np.where(peak > 0, peak, 1) * math.sqrt(math.prod(weight.shape[1:])))
    return weight * factors[:, None, None, None], factors


def fold_demodulation(
    weight: np.ndarray, *, gain: float | np.ndarray = 1.0, channels: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Demodulation of a modulated convolution, as a matrix (StyleGAN2, equation 3).

    With styles s [N, I], the factor of the output channels is rsqrt(s^2 @ matrix + epsilon).
    A gain of the result goes in as its inverse square.

    StyleGAN3 brings the styles to a mean square of 1 first (appendix F.3). The demodulation takes
    that back, but for its epsilon, which is of the styles' mean square then: a share of every entry
    of the matrix.

    Args:
        weight: [O, I, k, k].
        gain: factor of the result, or one for every output channel [O].
        channels: of the styles that are brought to a mean square of 1, None = they are not.

    Returns:
        The matrix [I, O] and epsilon [O].
    """
    squares = np.square(weight, dtype=np.float64).sum(axis=(2, 3)).T
    gains = np.broadcast_to(gain, weight.shape[:1])
    matrix, epsilon = squares / gains**2, 1e-8 / gains**2
    return (matrix, epsilon) if channels is None else (matrix + epsilon / channels, epsilon * 0)


def make_even(fir: np.ndarray) -> np.ndarray:
    """The filter as [t, t] with even sides; a zero in front keeps its pictures where they are."""
    fir = np.asarray(fir, np.float64)
    fir = np.outer(fir, fir) if fir.ndim == 1 else fir
    return np.pad(fir, [(side % 2, 0) for side in fir.shape])


def transpose_fir(fir: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The filter that follows a transposed 3x3 convolution, as a correlation.

    Args:
        fir: [t, t] or [t], sum 1.

    Returns:
        The kernel [t, t] with the gain of 4, and its ONNX pads (top, left, bottom, right), which
        bring the 2H+1 by 2W+1 pixels of the transposed convolution to 2H by 2W.
    """
    kernel, pads = transpose_up_fir(fir)
    return kernel[::-1, ::-1], pads


def split_phases(kernel: np.ndarray, offsets: tuple[int, int]) -> tuple[np.ndarray, list[int]]:
    """Split an upsampling by 2 into the four convolutions that make its output phases.

    The upsampling is y[o] = sum over i of x[i] * kernel[o - 2 i + offset] along both axes, a
    transposed convolution. Its output pixels at (2m + p, 2n + q) are one convolution of x.

    Args:
        kernel: [..., kh, kw].
        offsets: of the rows and the columns.

    Returns:
        The kernels [..., 4, h, w], phases ordered (0,0), (0,1), (1,0), (1,1), and their ONNX pads.
    """
    reach = [
        max(max(abs((p + o) // 2), abs(-((size - 1 - p - o) // 2))) for p in (0, 1))
        for size, o in zip(kernel.shape[-2:], offsets, strict=True)
    ]
    height, width = (2 * r + 1 for r in reach)
    phases = np.zeros((*kernel.shape[:-2], 4, height, width))
    for phase in range(4):
        for y in range(height):
            for x in range(width):
                row = phase // 2 + offsets[0] - 2 * (y - reach[0])
                column = phase % 2 + offsets[1] - 2 * (x - reach[1])
                if 0 <= row < kernel.shape[-2] and 0 <= column < kernel.shape[-1]:
                    phases[..., phase, y, x] = kernel[..., row, column]
    return phases, reach * 2


def split_up_fir(fir: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Upsampling by 2 with a filter, as the kernels of its four phases [4, h, w] and ONNX pads."""
    kernel = make_even(fir) * 4
    rows, columns = (side // 2 - 1 for side in kernel.shape)
    return split_phases(kernel, (rows, columns))


def transpose_up_fir(fir: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Upsampling by 2 with a filter, as a transposed convolution of stride 2.

    Args:
        fir: [t, t] or [t], sum 1.

    Returns:
        The kernel [t, t] with the gain of 4, and its ONNX pads, which bring H by W pixels to 2H by
        2W.
    """
    kernel = make_even(fir) * 4
    pads = [side // 2 - 1 for side in kernel.shape]
    return kernel, pads * 2


def fold_up_convolution(weight: np.ndarray, fir: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """An up-convolution and its filter as one convolution to four phases of every channel.

    Args:
        weight: [O, I, 3, 3].
        fir: [t, t] or [t], sum 1.

    Returns:
        The weight [4 * O, I, h, w] (phases of a channel side by side, so that DepthToSpace in
        CRD order puts them in place), and its ONNX pads.
    """
    kernel = make_even(fir) * 4
    O, I, k, _ = weight.shape
    combined = np.zeros((O, I, kernel.shape[0] + k - 1, kernel.shape[1] + k - 1))
    for y in range(k):
        for x in range(k):
            taps = weight[:, :, y, x].astype(np.float64)[:, :, None, None] * kernel
            combined[:, :, y : y + kernel.shape[0], x : x + kernel.shape[1]] += taps
    rows, columns = (side // 2 for side in kernel.shape)
    phases, pads = split_phases(combined, (rows, columns))  # [O, I, 4, h, w]
    return phases.transpose(0, 2, 1, 3, 4).reshape(4 * O, I, *phases.shape[3:]), pads


# StyleGAN 1's up-convolutions as a transposed 3x3 convolution, a box and a blur. Doubling the
# pixels and convolving, and spreading each pixel over 4x4 outputs, are the same: zeros between the
# pixels, the 3x3 kernel, and a 2x2 box, in any order. The transposed convolution comes first, on
# the fewest pixels, with 9 multiply-adds a pixel instead of 36 or 16. The box cannot be folded into
# the blur after it: the zeros that the blur sees around the image stand where the box has values.


def transpose_weight(weight: np.ndarray, *, fused: bool) -> np.ndarray:
    """The kernel of the transposed convolution: stride 2, no padding, to 2H+1 by 2W+1 pixels.

    Args:
        weight: [O, I, 3, 3].
        fused: the checkpoint's own form is the transposed one; else it convolves doubled pixels,
            which is the same with the kernel flipped.

    Returns:
        [I, O, 3, 3].
    """
    kernel = weight if fused else weight[:, :, ::-1, ::-1]
    return kernel.transpose(1, 0, 2, 3)


def make_box_kernel(channels: int) -> np.ndarray:
    """The box [C, 1, 2, 2] after it, without padding: from 2H+1 by 2W+1 to 2H by 2W pixels."""
    return np.ones((channels, 1, 2, 2))


def make_blur_kernel(channels: int) -> np.ndarray:
    """The blur [C, 1, 3, 3] after that, with a padding of 1: [1, 2, 1] along both axes."""
    taps = np.array([0.25, 0.5, 0.25])
    return np.broadcast_to(np.outer(taps, taps), (channels, 1, 3, 3))

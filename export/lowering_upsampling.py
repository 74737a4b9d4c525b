"""StyleGAN 1's up-convolutions as a transposed 3x3 convolution, a box and a blur. NumPy, exact.

Doubling the pixels and convolving, and spreading each pixel over 4x4 outputs, are the same: zeros
between the pixels, the 3x3 kernel, and a 2x2 box, in any order. The transposed convolution comes
first, on the fewest pixels, with 9 multiply-adds a pixel instead of 36 or 16.

The box cannot be folded into the blur after it: the zeros that the blur sees around the image
stand where the box has values.
"""

from __future__ import annotations

import numpy as np

__all__ = ["make_blur_kernel", "make_box_kernel", "transpose_weight"]


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

"""The layers that only StyleGAN3 has, in plain PyTorch: Fourier features and filtered leaky ReLU.

"StyleGAN3" is Karras et al. 2021 (Alias-Free Generative Adversarial Networks). Each step of the
filtered leaky ReLU runs by itself, as in the official implementation without its CUDA kernels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from stylert.export.models.layers import modulated_conv2d, upfirdn2d

__all__ = ["filtered_lrelu", "fourier_features", "normalized_conv2d", "make_styled_transforms"]


def filtered_lrelu(
    x: Tensor,
    *,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    slope: float = 0.2,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
) -> Tensor:
    """A leaky ReLU that does not alias: computed at a higher rate, and filtered (figure 4b).

    Args:
        x: activations [N, C, H, W].
        up_filter: [t] of sum 1, None = none.
        down_filter: [t] or [t, t] of sum 1, None = none.
        up: factor of the rate at which the nonlinearity acts.
        down: factor from there to the rate of the output.
        padding: left, right, top, bottom, at the higher rate; negative values crop.
        slope: of the leaky ReLU below 0.
        gain: of the leaky ReLU.
        clamp: bound of the absolute value after the gain, None = no bound.
    """
    unit = torch.ones(1, device=x.device)
    x = upfirdn2d(
        x,
        unit if up_filter is None else up_filter,
        up=up,
        padding=padding,
        gain=up * up,
    )
    x = F.leaky_relu(x, slope) * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return upfirdn2d(x, unit if down_filter is None else down_filter, down=down)


def normalized_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool,
    magnitude: Tensor,
) -> Tensor:
    """A modulated convolution whose input is brought to unit variance (appendix F.3).

    It pads so that every output which the input touches is there.

    Args:
        x: activations [N, I, H, W].
        weight: [O, I, k, k].
        styles: scale of each input channel [N, I].
        demodulate: bring the weights of every output channel to unit norm.
        magnitude: mean square of x in training [].

    Returns:
        [N, O, H + k - 1, W + k - 1].
    """
    k = weight.shape[-1]
    if demodulate:  # which cancels the two norms, but for its epsilon
        weight = weight * weight.square().mean(dim=[1, 2, 3], keepdim=True).rsqrt()
        styles = styles * styles.square().mean(dim=1, keepdim=True).rsqrt()
    x = F.pad(x * magnitude.rsqrt(), [k // 2] * 4)  # the convolution pads as much again
    return modulated_conv2d(x, weight, styles, demodulate=demodulate)


def make_styled_transforms(pose: Tensor) -> Tensor:
    """The rotation and translation that a network gives its features.

    Args:
        pose: [N, 4]: cosine and sine of the angle times any length, and the shift in x and y in
            units of that length.

    Returns:
        [N, 3, 3] matrices of the coordinates (x, y, 1).
    """
    cos, sin, x, y = (pose / pose[:, :2].norm(dim=1, keepdim=True)).unbind(1)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rotation = _stack_matrices([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])
    translation = _stack_matrices([[one, zero, -x], [zero, one, -y], [zero, zero, one]])
    return rotation @ translation


def fourier_features(
    transforms: Tensor,
    freqs: Tensor,
    phases: Tensor,
    *,
    shape: tuple[int, int],
    rate: float,
    bandwidth: float,
) -> Tensor:
    """Plane waves over the image and its margin, in transformed coordinates (section 3).

    Waves that a transform brings above the bandwidth fade out before they would alias.

    Args:
        transforms: of the coordinates (x, y, 1), [N, 3, 3].
        freqs: of each wave in x and y, [C, 2], in cycles per unit.
        phases: of each wave [C], in cycles.
        shape: height and width of the features in pixels.
        rate: pixels per unit of the coordinates, whose origin is the image's centre.
        bandwidth: the highest frequency with full amplitude.

    Returns:
        [N, C, *shape].
    """
    linear, shift = transforms[:, :2, :2], transforms[:, :2, 2]
    phases = phases + shift @ freqs.T  # [N, C]
    freqs = freqs @ linear  # [N, C, 2]
    fade = (freqs.norm(dim=2) - bandwidth) / (rate / 2 - bandwidth)
    amplitudes = (1 - fade).clamp(0, 1)  # [N, C]
    rows, columns = (
        (torch.arange(side, device=freqs.device) + 0.5 - side / 2) / rate for side in shape
    )
    along_x = freqs[:, :, 0, None, None] * columns  # [N, C, 1, W]
    along_y = freqs[:, :, 1, None, None] * rows[:, None]  # [N, C, H, 1]
    cycles = along_x + along_y + phases[:, :, None, None]
    features: Tensor = torch.sin(2 * math.pi * cycles) * amplitudes[:, :, None, None]
    return features


def _stack_matrices(rows: list[list[Tensor]]) -> Tensor:
    """Rows of numbers [N] as matrices [N, 3, 3]."""
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)

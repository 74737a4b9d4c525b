"""The layers that StyleGAN generators share, in plain PyTorch, written to be read.

They are the reference of every export, so they follow the papers' equations as they stand:
"StyleGAN2" is Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN),
"ADA" is Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "ACTIVATION_GAINS",
    "FullyConnected",
    "activate",
    "modulated_conv2d",
    "normalize_second_moment",
    "upfirdn2d",
    "upsample2d",
]

# Each gain restores the variance that its activation takes away.
ACTIVATION_GAINS = {
    "linear": 1.0,
    "relu": math.sqrt(2),
    "lrelu": math.sqrt(2),
    "swish": math.sqrt(2),
}


def activate(
    x: Tensor,
    activation: str,
    *,
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    """Apply an activation with its own gain times `gain`, then clamp to +-`clamp` times `gain`.

    Args:
        x: values of any shape.
        activation: 'linear', 'relu', 'lrelu' (slope 0.2) or 'swish'.
        gain: extra factor, 1 unless the architecture asks for one.
        clamp: bound of the absolute value before `gain`, None = no bound.
    """
    if activation == "lrelu":
        x = F.leaky_relu(x, 0.2)
    elif activation == "relu":
        x = F.relu(x)
    elif activation == "swish":
        x = x * torch.sigmoid(x)
    x = x * (ACTIVATION_GAINS[activation] * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale each row of x [N, F] to a mean square of 1 (StyleGAN: pixel norm of the latent)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class FullyConnected(nn.Module):
    """A fully connected layer with an equalised learning rate (Karras et al. 2018, section 4.1).

    The stored weight has unit variance over `lr_multiplier`; its scale is applied at run time.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        weight = torch.randn(out_features, in_features)
        # Weights that are overwritten are made on the meta device, where arithmetic has no effect
        # but to load the compiler of PyTorch, which takes a second.
        self.weight = nn.Parameter(weight if weight.is_meta else weight / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init)))

    def forward(self, x: Tensor) -> Tensor:
        """Map x [N, in_features] to [N, out_features]."""
        x = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return activate(x, self.activation)


def upfirdn2d(
    x: Tensor,
    fir: Tensor,
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros between the pixels, pad, convolve every channel with one filter, and decimate.

    Args:
        x: images [N, C, H, W].
        fir: filter [t, t] (its sides may differ), or [t] for a separable one.
        up: factor of the zero insertion; the last pixel gets its zeros too.
        down: of every so many pixels one is kept, the first of them all included.
        padding: left, right, top, bottom, in pixels after the insertion; negative values crop.
        gain: factor of the result; up * up keeps the mean.
    """
    left, right, top, bottom = padding
    if fir.ndim == 2:
        passes = [(fir * gain, (up, up), list(padding), (down, down))]
    else:  # separable: along the rows, then the columns, where rows of zeros are not filtered
        passes = [
            (fir[None] * gain, (1, up), [left, right, 0, 0], (1, down)),
            (fir[:, None], (up, 1), [0, 0, top, bottom], (down, 1)),
        ]
    for kernel, factors, pads, steps in passes:
        x = _spread(x, *factors, pads)
        kernel = kernel.flip([0, 1]).to(x.dtype)  # a convolution; conv2d correlates
        if kernel.numel() == 1:  # a fifth of the time
            x = x[:, :, :: steps[0], :: steps[1]] * kernel
        else:  # pixels that are dropped are not computed
            C = x.shape[1]
            x = F.conv2d(x, kernel.expand(C, 1, *kernel.shape), stride=steps, groups=C)
    return x


def _spread(x: Tensor, rows: int, columns: int, padding: list[int]) -> Tensor:
    """Images [N, C, H, W] to [N, C, rows * H, columns * W], zeros behind each pixel; then pad."""
    if rows == columns == 1 and not any(padding):
        return x
    N, C, H, W = x.shape[0], x.shape[1], rows * x.shape[2], columns * x.shape[3]
    left, right, top, bottom = (max(pad, 0) for pad in padding)
    spread = x.new_zeros(N, C, top + H + bottom, left + W + right)
    spread[:, :, top : top + H : rows, left : left + W : columns] = x
    cropped = [min(pad, 0) for pad in padding]
    return F.pad(spread, cropped) if any(cropped) else spread


def upsample2d(x: Tensor, fir: Tensor) -> Tensor:
    """Double the height and width of x [N, C, H, W], smoothing with `fir` (StyleGAN2, fig. 7)."""
    return upfirdn2d(x, fir, up=2, padding=_find_up_padding(fir), gain=4)


def _find_up_padding(fir: Tensor, *, crop: tuple[int, int] = (0, 0)) -> tuple[int, int, int, int]:
    """The padding (left, right, top, bottom) that centres a filter, less the crop of each axis."""
    width, height = fir.shape[-1], fir.shape[0]
    before, after = crop
    return (
        (width + 1) // 2 - before,
        (width - 2) // 2 - after,
        (height + 1) // 2 - before,
        (height - 2) // 2 - after,
    )


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    fir: Tensor | None = None,
) -> Tensor:
    """Convolve each image with its own weights (StyleGAN2, equations 1 and 3).

    The weights of all images form one grouped convolution, as in the official implementation. Its
    half precision differs, and so does ours for x of float16: weights and styles are brought to at
    most 1 before they are demodulated, which takes that back, so that no sum overflows (ADA,
    appendix on mixed precision); and several images share one weight, their activations scaled.
    So do they while the weight is trained: that has the same result, and faster gradients.

    Args:
        x: activations [N, I, H, W].
        weight: [O, I, k, k] float32.
        styles: scale of each input channel [N, I] float32.
        demodulate: bring the weights of every output channel to unit norm.
        fir: where given, upsample by 2 with this filter.

    Returns:
        [N, O, H, W], or [N, O, 2H, 2W] with `fir`, of x's dtype.
    """
    N, I, H, W = x.shape
    O, _, k, _ = weight.shape
    half = x.dtype == torch.float16
    if half and demodulate:
        weight, styles = _scale_to_one(weight, styles)
    share_weight = N > 1 and (half or weight.requires_grad)
    d: Tensor | None = None  # [N, O]
    if share_weight:
        x, w, groups = x * styles[:, :, None, None].to(x.dtype), weight[None], 1
        if demodulate:
            d = torch.rsqrt(styles.square() @ weight.square().sum(dim=[2, 3]).T + 1e-8)
    else:
        w, groups = weight[None] * styles[:, None, :, None, None], N  # [NOIkk]
        x = x.reshape(1, N * I, H, W)
        if demodulate:
            w = w * torch.rsqrt(w.square().sum(dim=[2, 3, 4], keepdim=True) + 1e-8)
    w = w.to(x.dtype)
    if fir is None:
        y = F.conv2d(x, w.reshape(groups * O, I, k, k), padding=k // 2, groups=groups)
    else:
        w = w.transpose(1, 2).reshape(groups * I, O, k, k)
        y = F.conv_transpose2d(x, w, stride=2, groups=groups)  # [.., .., 2H+k-2, 2W+k-2]
    y = y.reshape(N, O, *y.shape[2:])
    if fir is not None:
        # The filter's own delay and the transposed convolution's border cancel to 2H by 2W.
        y = upfirdn2d(y, fir, padding=_find_up_padding(fir, crop=(k // 2, k // 2 - 1)), gain=4)
    if share_weight and d is not None:
        y = y * d[:, :, None, None].to(y.dtype)
    return y


def _scale_to_one(weight: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Weight [OIkk] and styles [N, I], scaled so that a sum over I, k, k stays small."""
    fan_in = weight[0].numel()
    peaks = weight.abs().amax(dim=[1, 2, 3], keepdim=True)
    return weight / (peaks * math.sqrt(fan_in)), styles / styles.abs().amax(dim=1, keepdim=True)

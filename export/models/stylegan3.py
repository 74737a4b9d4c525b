"""StyleGAN3 (Karras et al. 2021) in plain PyTorch: the reference of the export's parity check.

Written from the paper to be read. Every tensor has the name that `export.checkpoints.configs` gives
it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stylert.export.checkpoints import StyleGAN3Config, StyleGAN3Layer
from stylert.export.models.filtered_lrelu import (
    filtered_lrelu,
    fourier_features,
    make_styled_transforms,
    normalized_conv2d,
)
from stylert.export.models.generator import GeneratorModel
from stylert.export.models.layers import FullyConnected

__all__ = ["StyleGAN3", "Synthesis3"]


class Synthesis3(nn.Module):
    """The synthesis network: ws [N, num_ws, w_dim] to images [N, C, H, W]."""

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        self.output_scale = config.output_scale
        self.input = FourierInput(config)
        for layer in config.layers:
            self.add_module(layer.name, FilteredLayer(config, layer))

    def forward(self, ws: Tensor, *, transform: Tensor | None = None) -> Tensor:
        """Draw the images of ws.

        Args:
            ws: [N, num_ws, w_dim].
            transform: where in the untransformed picture each place (x, y, 1) of this one is to be
                found: [3, 3] or [N, 3, 3], None = in the same place.
        """
        first, *others = self.children()
        x: Tensor = first(ws[:, 0], transform)
        for layer, w in zip(others, ws.unbind(1)[1:], strict=True):
            x = layer(x, w)
        return x * self.output_scale


class StyleGAN3(GeneratorModel):
    """The whole generator of a StyleGAN3, T or R."""

    synthesis_class = Synthesis3


class FourierInput(nn.Module):
    """The Fourier features that take the place of the learned constant (StyleGAN3, section 3)."""

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        wide = config.input_channels
        self.shape = config.input_shape
        self.rate = config.input_rate
        self.bandwidth = config.input_bandwidth
        self.affine = FullyConnected(config.w_dim, 4)
        self.weight = nn.Parameter(torch.randn(wide, wide))
        self.register_buffer("transform", torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]))
        self.register_buffer("freqs", torch.zeros(wide, 2))
        self.register_buffer("phases", torch.zeros(wide))

    def forward(self, w: Tensor, transform: Tensor | None = None) -> Tensor:
        """The features [N, C, H, W] in the pose that w [N, w_dim] gives them."""
        transforms = make_styled_transforms(self.affine(w)) @ self.transform  # [N, 3, 3]
        if transform is not None:
            transforms = transforms @ transform
        waves = fourier_features(
            transforms,
            self.freqs,
            self.phases,
            shape=self.shape,
            rate=self.rate,
            bandwidth=self.bandwidth,
        )
        mix = self.weight / math.sqrt(self.weight.shape[1])  # [out, in]
        return torch.einsum("oi,nihw->nohw", mix, waves)


class FilteredLayer(nn.Module):
    """Modulated convolution, bias, filtered leaky ReLU (StyleGAN3, figure 4b)."""

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, config: StyleGAN3Config, layer: StyleGAN3Layer) -> None:
        super().__init__()
        self.layer = layer
        self.conv_clamp = config.conv_clamp
        wide_in, wide_out, k = layer.in_channels, layer.out_channels, layer.kernel
        self.affine = FullyConnected(config.w_dim, wide_in, bias_init=1)
        self.weight = nn.Parameter(torch.randn(wide_out, wide_in, k, k))
        self.bias = nn.Parameter(torch.zeros(wide_out))
        self.register_buffer("magnitude_ema", torch.ones([]))
        up, down = [layer.up_taps], [layer.down_taps] * (2 if layer.down_radial else 1)
        self.register_buffer("up_filter", torch.zeros(up) if layer.up_taps else None)
        self.register_buffer("down_filter", torch.zeros(down) if layer.down_taps else None)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map x [N, I, H, W] in the style of w [N, w_dim] to [N, O, H', W']."""
        layer = self.layer
        styles = self.affine(w)
        if layer.is_torgb:
            styles = styles / math.sqrt(layer.in_channels * layer.kernel**2)
        x = normalized_conv2d(
            x,
            self.weight,
            styles,
            demodulate=not layer.is_torgb,
            magnitude=self.magnitude_ema,
        )
        return filtered_lrelu(
            x + self.bias[:, None, None],
            up_filter=self.up_filter,
            down_filter=self.down_filter,
            up=layer.up,
            down=layer.down,
            padding=layer.padding,
            slope=layer.slope,
            gain=layer.gain,
            clamp=self.conv_clamp,
        )

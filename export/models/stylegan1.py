"""StyleGAN 1 (Karras et al. 2019) in plain PyTorch: the reference of the export's parity check.

Written from the paper ("A Style-Based Generator Architecture for Generative Adversarial Networks")
to be read. Every tensor has the name that `export.checkpoints.configs` gives it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylert.export.checkpoints import StyleGAN1Config
from stylert.export.models.generator import GeneratorModel, Noise
from stylert.export.models.layers import FullyConnected

__all__ = ["StyleGAN1", "Synthesis1"]


class Synthesis1(nn.Module):
    """The synthesis network: ws [N, num_ws, w_dim] to images [N, C, H, W] (figure 1b)."""

    def __init__(self, config: StyleGAN1Config) -> None:
        super().__init__()
        self.num_blocks = len(config.channels)
        widths = (0, *config.channels)
        for resolution, wide_in, wide_out in zip(
            config.block_resolutions, widths, config.channels, strict=False
        ):
            self.add_module(f"b{resolution}", Block(config, resolution, wide_in, wide_out))
        self.torgb = ToRGB(config)

    def forward(self, ws: Tensor, *, noise: Noise = "const") -> Tensor:
        """Draw the images of ws; `noise` is 'const', 'none', or maps [M, 1, H, W] by layer name."""
        x: Tensor | None = None
        for i in range(self.num_blocks):
            x = self.get_submodule(f"b{4 << i}")(x, ws[:, 2 * i], ws[:, 2 * i + 1], noise)
        images: Tensor = self.torgb(x)
        return images


class StyleGAN1(GeneratorModel):
    """The whole generator of a StyleGAN 1."""

    synthesis_class = Synthesis1


class Block(nn.Module):
    """One resolution of the synthesis network: two layers, of which the first upsamples."""

    def __init__(
        self,
        config: StyleGAN1Config,
        resolution: int,
        in_channels: int,  # 0 in the first block, which starts from the learned constant
        out_channels: int,
    ) -> None:
        super().__init__()
        names = f"b{resolution}.conv0", f"b{resolution}.conv1"
        shape = config.find_block_shape(resolution)
        if in_channels:
            self.conv0: Layer = UpConv(config, names[0], in_channels, out_channels, resolution)
        else:
            self.const = nn.Parameter(torch.ones(out_channels, *shape))
            self.conv0 = Layer(config, names[0], out_channels, shape)
        self.conv1 = Conv(config, names[1], out_channels, out_channels, shape)

    def forward(self, x: Tensor | None, w0: Tensor, w1: Tensor, noise: Noise) -> Tensor:
        """Advance the activations x [N, C, H, W] to this block's resolution."""
        if x is None:
            x = self.const[None].repeat(w0.shape[0], 1, 1, 1)
        x = self.conv0(x, w0, noise)
        x = self.conv1(x, w1, noise)
        return x


class Layer(nn.Module):
    """What follows every convolution, and the constant: noise, bias, activation, AdaIN."""

    noise_const: Tensor

    def __init__(
        self,
        config: StyleGAN1Config,
        name: str,  # key of this layer's noise, e.g. 'b8.conv0'
        channels: int,
        shape: tuple[int, int],  # height and width of the output
    ) -> None:
        super().__init__()
        self.name = name
        self.activation = config.activation
        self.use_noise = config.use_noise
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = FullyConnected(config.w_dim, 2 * channels)
        if config.use_noise:
            self.register_buffer("noise_const", torch.randn(shape))
            self.noise_strength = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor, noise: Noise) -> Tensor:
        """Give x [N, C, H, W] the style of w [N, w_dim]."""
        if self.use_noise and noise != "none":
            field = self.noise_const if isinstance(noise, str) else noise[self.name]
            x = x + field * self.noise_strength[:, None, None]
        x = x + self.bias[:, None, None]
        x = F.leaky_relu(x, 0.2) if self.activation == "lrelu" else F.relu(x)
        return adaptive_instance_norm(x, self.affine(w))


class Conv(Layer):
    """A 3x3 convolution with all that follows it."""

    def __init__(
        self,
        config: StyleGAN1Config,
        name: str,
        in_channels: int,
        out_channels: int,
        shape: tuple[int, int],
    ) -> None:
        super().__init__(config, name, out_channels, shape)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.weight_gain = math.sqrt(2) / math.sqrt(9 * in_channels)  # the activation's gain too

    def forward(self, x: Tensor, w: Tensor, noise: Noise) -> Tensor:
        """Convolve x [N, I, H, W] in the style of w [N, w_dim]."""
        x = self.convolve(x, self.weight * self.weight_gain)
        return super().forward(x, w, noise)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution alone."""
        return F.conv2d(x, weight, padding=1)


class UpConv(Conv):
    """The same, upsampling by 2 and blurring before all that follows."""

    def __init__(
        self,
        config: StyleGAN1Config,
        name: str,
        in_channels: int,
        out_channels: int,
        resolution: int,
    ) -> None:
        super().__init__(
            config, name, in_channels, out_channels, config.find_block_shape(resolution)
        )
        self.is_fused = config.is_fused(resolution)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """Map x [N, I, H, W] to [N, O, 2H, 2W]."""
        return blur(up_convolution(x, weight, fused=self.is_fused))


class ToRGB(nn.Module):
    """1x1 convolution to the image's channels."""

    def __init__(self, config: StyleGAN1Config) -> None:
        super().__init__()
        in_channels = config.channels[-1]
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.weight = nn.Parameter(torch.randn(config.img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.img_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Turn activations x [N, I, H, W] into an image [N, img_channels, H, W]."""
        return F.conv2d(x, self.weight * self.weight_gain, self.bias)


def adaptive_instance_norm(x: Tensor, styles: Tensor) -> Tensor:
    """AdaIN (equation 1): every channel with mean 0 and variance 1, then its own scale and offset.

    Args:
        x: activations [N, C, H, W] of more than one pixel.
        styles: [N, 2 C], the scales less 1, then the offsets.
    """
    scale, offset = styles[:, :, None, None].chunk(2, dim=1)  # [N, C, 1, 1]
    return F.instance_norm(x, eps=1e-8) * (scale + 1) + offset


def up_convolution(x: Tensor, weight: Tensor, *, fused: bool) -> Tensor:
    """Upsample x [N, I, H, W] by 2 and convolve it with a weight [O, I, 3, 3].

    The fused form is one transposed convolution, for speed. It spreads every pixel over the 4x4
    outputs around it, where the other form gathers: the same weight means a flipped kernel.
    """
    if not fused:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return F.conv2d(x, weight, padding=1)
    w = F.pad(weight, [1, 1, 1, 1])
    w = w[:, :, 1:, 1:] + w[:, :, 1:, :-1] + w[:, :, :-1, 1:] + w[:, :, :-1, :-1]  # [OI44]
    return F.conv_transpose2d(x, w.transpose(0, 1), stride=2, padding=1)


def blur(x: Tensor) -> Tensor:
    """Smooth x [N, C, H, W] with [1, 2, 1] along both axes, zeros around it."""
    taps = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])

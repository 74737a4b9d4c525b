"""StyleGAN2 (Karras et al. 2020) in plain PyTorch: the reference of the export's parity check.

Written from the paper to be read. Every tensor has the name that `export.checkpoints.configs` gives
it.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylert.export.checkpoints import StyleGAN2Config
from stylert.export.models.generator import GeneratorModel, Noise
from stylert.export.models.layers import FullyConnected, activate, modulated_conv2d, upsample2d

__all__ = ["StyleGAN2", "Synthesis2"]


class Synthesis2(nn.Module):
    """The synthesis network: ws [N, num_ws, w_dim] to images [N, C, H, W].

    Args:
        config: the architecture.
        half_blocks: names of the blocks that compute in half precision ('b32', ...). It is how the
            official code draws on a GPU; the reference of the export has none.
    """

    def __init__(self, config: StyleGAN2Config, half_blocks: Collection[str] = ()) -> None:
        super().__init__()
        widths = (0, *config.channels)
        for resolution, wide_in, wide_out in zip(
            config.block_resolutions, widths, widths[1:], strict=False
        ):
            name = f"b{resolution}"
            half = name in half_blocks
            self.add_module(name, Block(config, resolution, wide_in, wide_out, half))

    def forward(self, ws: Tensor, *, noise: Noise = "const") -> Tensor:
        """Draw the images of ws; `noise` is 'const', 'none', or maps [M, 1, H, W] by layer name."""
        x: Tensor | None = None
        img: Tensor | None = None
        for block in self.children():
            assert isinstance(block, Block)
            x, img = block(x, img, ws, noise)
            ws = ws[:, block.num_convs :]  # a block's ToRGB shares its w with the next block
        assert img is not None
        return img


class StyleGAN2(GeneratorModel):
    """The whole generator of a StyleGAN2."""

    synthesis_class = Synthesis2


class Block(nn.Module):
    """One resolution of the synthesis network (StyleGAN2, figures 2 and 7)."""

    resample_filter: Tensor

    def __init__(
        self,
        config: StyleGAN2Config,
        resolution: int,
        in_channels: int,  # 0 in the first block, which starts from the learned constant
        out_channels: int,
        half: bool,  # of the activations; weights, styles and the image stay as they are
    ) -> None:
        super().__init__()
        self.in_half = half
        self.architecture = config.architecture
        self.own_image_filter = config.own_image_filter
        self.num_convs = 2 if in_channels else 1
        taps = (1, 3, 3, 1)
        fir = torch.tensor([[a * b / 64 for a in taps] for b in taps])
        self.register_buffer("resample_filter", fir)
        shape = config.find_block_shape(resolution)
        name = f"b{resolution}"
        if in_channels:
            self.conv0 = StyledConv(config, f"{name}.conv0", in_channels, out_channels, shape)
        else:
            self.const = nn.Parameter(torch.randn(out_channels, *shape))
        self.conv1 = StyledConv(config, f"{name}.conv1", out_channels, out_channels, shape)
        if config.has_torgb(resolution):
            self.torgb = ToRGB(config, out_channels)
        if in_channels and self.architecture == "resnet":
            self.skip = Skip(in_channels, out_channels)

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        ws: Tensor,
        noise: Noise,
    ) -> tuple[Tensor, Tensor | None]:
        """Advance the activations x [N, C, H, W] and the image to this block's resolution."""
        fir = self.resample_filter
        dtype = torch.float16 if self.in_half else ws.dtype
        # Main branch.
        if x is None:
            y = self.const[None].to(dtype).repeat(ws.shape[0], 1, 1, 1)
        else:
            x = x.to(dtype)
            y = self.conv0(x, ws[:, 0], noise, fir=fir)
        residual = x is not None and self.architecture == "resnet"
        # Halving the variance of both branches keeps that of their sum.
        y = self.conv1(y, ws[:, self.num_convs - 1], noise, gain=math.sqrt(0.5) if residual else 1)
        if residual:
            y = y + self.skip(x, fir) * math.sqrt(0.5)
        # Image branch.
        if img is not None:
            img = upsample2d(img, self.torgb.resample_filter if self.own_image_filter else fir)
        if hasattr(self, "torgb"):
            rgb = self.torgb(y, ws[:, self.num_convs])
            img = rgb if img is None else img + rgb
        return y, img


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, activation, clamp (StyleGAN2, figure 2d)."""

    noise_const: Tensor

    def __init__(
        self,
        config: StyleGAN2Config,
        name: str,  # key of this layer's noise, e.g. 'b8.conv0'
        in_channels: int,
        out_channels: int,
        shape: tuple[int, int],  # height and width of the output
    ) -> None:
        super().__init__()
        self.name = name
        self.activation = config.activation
        self.conv_clamp = config.conv_clamp
        self.use_noise = config.use_noise
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        if self.use_noise:
            self.register_buffer("noise_const", torch.randn(*shape))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def forward(
        self,
        x: Tensor,
        w: Tensor,
        noise: Noise,
        *,
        fir: Tensor | None = None,
        gain: float = 1.0,
    ) -> Tensor:
        """Convolve x [N, I, H, W] in the style of w [N, w_dim]; with `fir`, upsample by 2."""
        x = modulated_conv2d(x, self.weight, self.affine(w), fir=fir)
        if self.use_noise and noise != "none":
            field = self.noise_const if isinstance(noise, str) else noise[self.name]
            x = x + (field * self.noise_strength).to(x.dtype)
        x = x + self.bias[:, None, None].to(x.dtype)
        return activate(x, self.activation, gain=gain, clamp=self.conv_clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the image's channels, without demodulation."""

    resample_filter: Tensor  # of the image, where it has its own

    def __init__(self, config: StyleGAN2Config, in_channels: int) -> None:
        super().__init__()
        self.conv_clamp = config.conv_clamp
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(config.img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.img_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Turn activations x [N, I, H, W] into an image [N, img_channels, H, W]."""
        styles = self.affine(w) * self.weight_gain
        x = modulated_conv2d(x, self.weight, styles, demodulate=False)
        x = x + self.bias[:, None, None].to(x.dtype)
        return activate(x, "linear", clamp=self.conv_clamp).to(w.dtype)


class Skip(nn.Module):
    """The residual branch: 1x1 convolution, then upsampling by 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))

    def forward(self, x: Tensor, fir: Tensor) -> Tensor:
        """Map x [N, I, H, W] to [N, O, 2H, 2W]."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        return upsample2d(F.conv2d(x, weight), fir)

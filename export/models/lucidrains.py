"""lucidrains' stylegan2_pytorch in plain PyTorch: the reference of the export's parity check.

Written from its mathematics to be read. It is a StyleGAN2 (Karras et al. 2020) whose blocks
upsample bilinearly, whose noise is one uniform map for all layers, and which may attend (the
linear attention is that of Shen et al. 2021, "Efficient Attention"). Every tensor has the name that
`export.checkpoints.configs` gives it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylert.export.checkpoints.configs.lucidrains import HEAD_FEATURES, HEADS, LucidrainsConfig
from stylert.export.models.generator import GeneratorModel, Noise
from stylert.export.models.layers import FullyConnected, modulated_conv2d

__all__ = ["Lucidrains", "LucidrainsSynthesis"]


class LucidrainsSynthesis(nn.Module):
    """The synthesis network: ws [N, num_ws, w_dim], one for each block, to images [N, C, S, S]."""

    noise_const: Tensor

    def __init__(self, config: LucidrainsConfig) -> None:
        super().__init__()
        self.register_buffer("noise_const", torch.rand(config.img_shape))
        self.start = Start(config)
        self.block_names = config.block_names
        previous = config.channels[0]
        for name, wide in zip(config.block_names, config.channels, strict=True):
            self.add_module(name, Block(config, name, previous, wide))
            previous = wide

    def forward(self, ws: Tensor, *, noise: Noise = "const") -> Tensor:
        """Draw the images of ws; `noise` is 'const', 'none', or {'': the map [M, 1, S, S]}."""
        field = self.noise_const[None, None] if isinstance(noise, str) else noise[""]
        if noise == "none":
            field = torch.zeros_like(field)
        x: Tensor = self.start(ws)
        rgb: Tensor | None = None
        for name, w in zip(self.block_names, ws.unbind(dim=1), strict=True):
            block = self.get_submodule(name)
            assert isinstance(block, Block)
            x = block(x, w, field)
            more = block.torgb(x, w)
            rgb = more if rgb is None else block.enlarge(rgb) + more
        assert rgb is not None
        return 2 * rgb - 1  # it is drawn from 0 to 1


class Lucidrains(GeneratorModel):
    """The whole generator."""

    synthesis_class = LucidrainsSynthesis


class Start(nn.Module):
    """The first activations [N, C, 4, 4]: a learned constant, or a linear function of the ws."""

    def __init__(self, config: LucidrainsConfig) -> None:
        super().__init__()
        wide = config.channels[0]
        if config.learned_const:
            self.const = nn.Parameter(torch.randn(wide, 4, 4))
        else:
            self.project = Projection(config.w_dim, wide)
        self.conv = Conv(wide, wide, 3, bias=True)

    def forward(self, ws: Tensor) -> Tensor:
        """Begin the images of ws [N, num_ws, w_dim]."""
        if hasattr(self, "project"):
            start = self.project(ws.mean(dim=1))
        else:
            start = self.const.expand(len(ws), -1, -1, -1)
        x: Tensor = self.conv(start)
        return x


class Projection(nn.Module):
    """A linear layer to 4x4 pixels, without bias."""

    def __init__(self, w_dim: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(w_dim, channels, 4, 4))

    def forward(self, w: Tensor) -> Tensor:
        """Map w [N, w_dim] to [N, C, 4, 4]."""
        return torch.einsum("nw,wchv->nchv", w, self.weight)


class Block(nn.Module):
    """One resolution of the synthesis network."""

    def __init__(
        self, config: LucidrainsConfig, name: str, in_channels: int, out_channels: int
    ) -> None:
        super().__init__()
        self.is_first = name == config.block_names[0]
        if name in config.attention:
            self.attention = Attention(in_channels)
            self.feedforward = Feedforward(in_channels)
        self.conv0 = StyledConv(config, in_channels, out_channels)
        self.conv1 = StyledConv(config, out_channels, out_channels)
        self.enlarge = Enlarge()
        self.torgb = ToRGB(config, out_channels)

    def forward(self, x: Tensor, w: Tensor, field: Tensor) -> Tensor:
        """Advance the activations x [N, C, H, W]; w [N, w_dim], the map [M, 1, S, S] of noise."""
        if hasattr(self, "attention"):
            x = x + self.attention(x)
            x = x + self.feedforward(x)
        if not self.is_first:
            x = upsample(x)
        noise = cut_noise(field, x.shape[-1])
        x = self.conv0(x, w, noise)
        x = self.conv1(x, w, noise)
        return x


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise through a linear layer, and the activation."""

    def __init__(self, config: LucidrainsConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """Convolve x [N, I, H, W] in the style of w [N, w_dim], with noise [M, 1, H, W]."""
        x = modulated_conv2d(x, self.weight, self.affine(w))
        x = x + noise * self.noise_strength[:, None, None] + self.bias[:, None, None]
        return F.leaky_relu(x, 0.2)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the image's channels, without demodulation and bias."""

    def __init__(self, config: LucidrainsConfig, in_channels: int) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(config.img_channels, in_channels, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Turn activations x [N, I, H, W] into an image [N, img_channels, H, W]."""
        return modulated_conv2d(x, self.weight, self.affine(w), demodulate=False)


class Enlarge(nn.Module):
    """Brings the image of the blocks before to the size of this one."""

    def forward(self, rgb: Tensor) -> Tensor:
        """Double the height and width of an image [N, C, H, W], and smooth it."""
        return blur(upsample(rgb))


class Conv(nn.Module):
    """A plain convolution that keeps the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, groups: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.randn(outputs, inputs // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map x [N, inputs, H, W] to [N, outputs, H, W]."""
        padding = self.weight.shape[-1] // 2
        return F.conv2d(x, self.weight, self.bias, padding=padding, groups=self.groups)


class ChannelNorm(nn.Module):
    """Each pixel with mean 0 and variance 1 over its channels, then scaled and shifted."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [N, C, H, W]."""
        x = x - x.mean(dim=1, keepdim=True)
        x = x / (x.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class Attention(nn.Module):
    """Linear attention of eight heads: all pixels make a matrix, with which each is answered."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = HEADS * HEAD_FEATURES
        self.norm = ChannelNorm(channels)
        self.queries = Conv(channels, inner, 1)
        self.near = Conv(channels, channels, 3, groups=channels)
        self.keys = Conv(channels, inner, 1)
        self.values = Conv(channels, inner, 1)
        self.out = Conv(inner, channels, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """What is added to x [N, C, H, W]."""
        shape = len(x), HEADS, HEAD_FEATURES, -1  # the last are the pixels
        x = self.norm(x)
        near = self.near(x)
        queries = self.queries(x).reshape(shape).softmax(dim=2) * HEAD_FEATURES**-0.5
        keys = self.keys(near).reshape(shape).softmax(dim=3)
        values = self.values(near).reshape(shape)
        context = keys @ values.transpose(2, 3)  # [N, heads, features of keys, of values]
        answers = context.transpose(2, 3) @ queries
        out: Tensor = self.out(F.gelu(answers.reshape(len(x), -1, *x.shape[2:])))
        return out


class Feedforward(nn.Module):
    """Two 1x1 convolutions with twice the channels between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.wide = Conv(channels, 2 * channels, 1, bias=True)
        self.narrow = Conv(2 * channels, channels, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """What is added to x [N, C, H, W]."""
        x = self.narrow(F.leaky_relu(self.wide(self.norm(x)), 0.2))
        return x


def cut_noise(field: Tensor, side: int) -> Tensor:
    """The noise [M, 1, side, side] of a layer: a corner of the map, rows and columns exchanged."""
    return field[:, :, :side, :side].transpose(2, 3)


def upsample(x: Tensor) -> Tensor:
    """Double the height and width of x [N, C, H, W] bilinearly."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def blur(rgb: Tensor) -> Tensor:
    """Blur an image [N, C, H, W] with [1, 2, 1] along both axes, mirrored at its borders."""
    taps = torch.tensor([0.25, 0.5, 0.25], dtype=rgb.dtype)
    kernel = torch.outer(taps, taps).expand(rgb.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(rgb, [1, 1, 1, 1], mode="reflect"), kernel, groups=rgb.shape[1])

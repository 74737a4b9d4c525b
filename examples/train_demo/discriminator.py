"""The discriminator: residual blocks, minibatch standard deviation, a projection for the label.

Residual: StyleGAN2 (Karras et al. 2020), figure 7c. Projection:
Miyato and Koyama 2018 (cGANs with Projection Discriminator), figure 1d. A block of R x R positions
sees patches of 2 x 2 pixels of a picture of 2R x 2R: nothing is lost, and three quarters of the
convolutions' work is saved.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylert.export.models.layers import FullyConnected, activate

__all__ = ["GROUP", "Discriminator", "minibatch_deviation"]

GROUP = 4  # pictures whose deviation is measured together: 0, N/4, N/2, ... of a batch of N


class Discriminator(nn.Module):
    """Judges pictures [N, C, H, W] of labels c [N, c_dim]: one logit each [N], high if real.

    Args:
        channels: of the activations at 4, 8, 16, ... positions; the pictures have twice as many
            pixels as the last one to a side.
        c_dim: length of the one-hot label.
        img_channels: of the pictures.
    """

    def __init__(self, channels: tuple[int, ...], c_dim: int, *, img_channels: int = 3) -> None:
        super().__init__()
        self.resolutions = [4 << i for i in range(len(channels))][::-1]
        self.seen = Convolution(img_channels * 4, channels[-1], 1)
        for resolution, wide, narrow in zip(
            self.resolutions, channels[::-1], channels[-2::-1], strict=False
        ):
            self.add_module(f"b{resolution}", Block(wide, narrow))
        width = channels[0]
        self.conv = Convolution(width + 1, width, 3)
        self.dense = FullyConnected(width * 16, width, activation="lrelu")
        self.realness = FullyConnected(width, 1)
        self.embed = FullyConnected(c_dim, width)

    def forward(self, images: Tensor, c: Tensor) -> Tensor:
        """Judge images of the largest resolution, nominal range [-1, 1]."""
        return self.judge(self.features(images), c)

    def features(self, images: Tensor) -> list[Tensor]:
        """What the blocks make of images, from fine to coarse: each [N, C, H, W]."""
        found: list[Tensor] = [self.seen(F.pixel_unshuffle(images, 2))]
        for resolution in self.resolutions[:-1]:
            found.append(self.get_submodule(f"b{resolution}")(found[-1]))
        return found

    def judge(self, features: list[Tensor], c: Tensor) -> Tensor:
        """The logits of images with such features."""
        x = features[-1]
        x = activate(self.conv(torch.cat([x, minibatch_deviation(x)], dim=1)), "lrelu")
        x = self.dense(x.flatten(1))
        projected: Tensor = (x * self.embed(c)).mean(dim=1) * math.sqrt(x.shape[1])
        logits: Tensor = self.realness(x)[:, 0] + projected
        return logits


class Block(nn.Module):
    """Two convolutions and a way around them; halves the resolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = Convolution(in_channels, in_channels, 3)
        self.conv1 = Convolution(in_channels, out_channels, 3)
        self.skip = Convolution(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [N, I, H, W] to [N, O, H/2, W/2]."""
        x = activate(x, "lrelu")
        y = F.avg_pool2d(activate(self.conv0(x), "lrelu"), 2)
        z: Tensor = self.conv1(y) + self.skip(F.avg_pool2d(x, 2))
        return z * math.sqrt(0.5)


class Convolution(nn.Module):
    """A convolution with an equalised learning rate, same size out as in."""

    def __init__(
        self, in_channels: int, out_channels: int, size: int, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.gain = 1 / math.sqrt(in_channels * size * size)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, size, size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map x [N, I, H, W] to [N, O, H, W]."""
        size = self.weight.shape[-1]
        return F.conv2d(x, self.weight * self.gain, self.bias, padding=size // 2)


def minibatch_deviation(x: Tensor, *, group: int = GROUP) -> Tensor:
    """How much the pictures of a group differ, as one more channel [N, 1, H, W].

    Karras et al. 2018 (Progressive Growing of GANs), section 3.
    """
    N, C, H, W = x.shape
    members = x.reshape(-1, N // group, C, H, W) if N % group == 0 else x[:, None]  # [GMCHW]
    deviation = torch.sqrt(members.var(dim=0, correction=0) + 1e-8).mean(dim=[1, 2, 3])  # [M]
    return deviation.repeat(members.shape[0])[:, None, None, None].expand(N, 1, H, W)

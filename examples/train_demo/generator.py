"""The generator that is trained: StyleRT's reference model, and what training adds to it."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from stylert.export.checkpoints import StyleGAN2Config
from stylert.export.models.stylegan2 import StyleGAN2

__all__ = [
    "draw_classes",
    "make_config",
    "grow_generator",
    "load_shared",
    "mix_styles",
    "track_mean_style",
]

MEAN_STYLE_DECAY = 0.998  # a step, of the running mean of w that truncation pulls to


def make_config(
    channels: tuple[int, ...], *, z_dim: int, width: int, classes: int
) -> StyleGAN2Config:
    """A small conditional StyleGAN2: channels of the blocks b4, b8, ..., lengths of z, w, label."""
    return StyleGAN2Config(
        z_dim=z_dim,
        c_dim=classes,
        w_dim=width,
        img_channels=3,
        mapping_layers=4,
        embed_features=width,
        mapping_features=width,
        mapping_lr_multiplier=1.0,  # 0.01 is for trainings that are a hundred times as long
        const_shape=(4, 4),
        channels=channels,
        num_fp16_res=min(2, len(channels) - 1),
    )


def grow_generator(config: StyleGAN2Config, smaller: StyleGAN2 | None) -> StyleGAN2:
    """A new generator that draws as a smaller one did, which has fewer blocks.

    The skip architecture makes it simple: the new block's ToRGB is 0 at first, and the picture is
    the smaller one's, upsampled (StyleGAN2, figure 7b).
    """
    generator = StyleGAN2(config)
    if smaller is not None:
        load_shared(generator, smaller)
        last = generator.synthesis.get_submodule(config.block_names[-1])
        with torch.no_grad():
            last.get_parameter("torgb.weight").zero_()
    return generator


def load_shared(target: nn.Module, source: nn.Module) -> None:
    """Copy all tensors of the source; the target may have more."""
    missing = target.load_state_dict(copy.deepcopy(source.state_dict()), strict=False)
    assert not missing.unexpected_keys


def mix_styles(generator: StyleGAN2, z: Tensor, c: Tensor, *, crossover: int) -> Tensor:
    """Styles ws [N, L, w] of z [2, N, z]: rows before the crossover are the first z's.

    Style mixing: StyleGAN (Karras et al. 2019), section 3.1.
    """
    ws: Tensor = generator.mapping(z.flatten(0, 1), c.repeat(2, 1))
    first, second = ws.chunk(2)
    return torch.cat([first[:, :crossover], second[:, crossover:]], dim=1)


@torch.no_grad()
def draw_classes(
    generator: StyleGAN2, z: Tensor, labels: Tensor, *, psi: float
) -> NDArray[np.uint8]:
    """Pictures [N, C, H, W] of z [N, z_dim] and classes [N], wherever the generator is."""
    device = generator.mapping.w_avg.device
    c = F.one_hot(labels, generator.config.c_dim).float()
    drawn = generator(z.to(device), c.to(device), truncation_psi=psi)
    pictures: NDArray[np.uint8] = (drawn * 127.5 + 128).clamp(0, 255).to(torch.uint8).cpu().numpy()
    return pictures


@torch.no_grad()
def track_mean_style(generator: StyleGAN2, ws: Tensor) -> None:
    """Move the generator's running mean of w a little towards that of ws [N, L, w]."""
    generator.mapping.w_avg.lerp_(ws[:, 0].mean(dim=0), 1 - MEAN_STYLE_DECAY)

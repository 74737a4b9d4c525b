"""The losses: non-saturating logistic (Goodfellow et al. 2014), R1, path length regularisation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stylert.examples.train_demo.discriminator import Discriminator

__all__ = [
    "discriminator_loss",
    "feature_distance",
    "generator_loss",
    "gradient_penalty",
    "path_lengths",
]


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Small where the discriminator takes the fakes for real."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Small where it tells them apart."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def feature_distance(some: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Mean distance of features, layer by layer (feature matching: Wang et al. 2018, eq. 4)."""
    pairs = zip(some, others, strict=True)
    return torch.stack([F.l1_loss(one, other) for one, other in pairs]).mean()


def gradient_penalty(discriminator: Discriminator, images: Tensor, c: Tensor) -> Tensor:
    """R1: the mean squared gradient norm at real images (Mescheder et al. 2018, equation 9)."""
    images = images.detach().requires_grad_()
    logits = discriminator(images, c)
    (slopes,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return slopes.square().sum(dim=[1, 2, 3]).mean()


def path_lengths(images: Tensor, ws: Tensor, directions: Tensor) -> Tensor:
    """How far images move with ws, along random directions [N, C, H, W] (StyleGAN2, equation 4)."""
    scale = 1 / math.sqrt(images.shape[2] * images.shape[3])
    (slopes,) = torch.autograd.grad((images * directions * scale).sum(), ws, create_graph=True)
    return slopes.square().sum(dim=2).mean(dim=1).sqrt()

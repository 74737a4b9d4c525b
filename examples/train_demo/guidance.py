"""What a z should look like: the guidance of the training.

A GAN alone finds out over millions of pictures which z should become which picture. Here every
picture is drawn from numbers, so there is one that belongs to a z: the one whose choices are the
z's components. The generator learns to draw it, and the styles of the coarse layers learn shapes,
those of the finer ones paint, because the picture of a mixed style has the shape of the one and the
paint of the other.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylert.examples.train_demo.dataset import PAINT, SHAPE, draw

__all__ = ["COARSE_LAYERS", "Z_DIM", "find_choices", "guidance_loss", "draw_mixed"]

Z_DIM = SHAPE + PAINT
COARSE_LAYERS = 4  # rows of ws whose styles decide the shape: those of 4 x 4 and 8 x 8


def find_choices(z: Tensor) -> tuple[Tensor, Tensor]:
    """The choices of shape [N, SHAPE] and paint [N, PAINT], 0 to 1, that belong to z [N, Z_DIM].

    Each is as good as uniform; as in the mapping network, the length of z does not matter.
    """
    normal = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
    shape, paint = torch.special.ndtr(normal).split([SHAPE, PAINT], dim=1)
    return shape, paint


def draw_mixed(labels: Tensor, z_shape: Tensor, z_paint: Tensor, *, size: int) -> Tensor:
    """Pictures [N, 3, size, size] in [-1, 1] of classes [N], the shape of one z, paint of another.

    Args:
        labels: of the classes [N].
        z_shape: whose choices of shape count [N, Z_DIM].
        z_paint: whose choices of paint count [N, Z_DIM].
        size: height and width in pixels.
    """
    shape, paint = find_choices(z_shape)[0].numpy(), find_choices(z_paint)[1].numpy()
    images = np.empty((len(labels), 3, size, size), np.uint8)
    for label in labels.unique().tolist():
        mine = (labels == label).numpy()
        images[mine], _ = draw(label, shape[mine], paint[mine], size=size)
    return torch.from_numpy(images).float() / 127.5 - 1


def guidance_loss(images: Tensor, wanted: Tensor, *, largest: int) -> Tensor:
    """Mean distance of images [N, C, H, W], averaged over halved sizes down to 4 x 4 pixels.

    Args:
        images: what was drawn.
        wanted: what should have been.
        largest: height and width of the largest pictures that are compared.
    """
    losses = []
    while images.shape[-1] >= 4:
        if images.shape[-1] <= largest:
            losses.append(F.l1_loss(images, wanted))
        images, wanted = F.avg_pool2d(images, 2), F.avg_pool2d(wanted, 2)
    return torch.stack(losses).mean()

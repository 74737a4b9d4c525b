"""Small changes of pictures that leave what they show: blur, noise, contrast and shifts."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stylert.apps.words.preprocessing import DEVIATION, MEAN

__all__ = ["disturb", "normalise"]


def disturb(images: NDArray[Any], random: torch.Generator, *, shrink: int = 1) -> Tensor:
    """Pictures [N, 3, H, W] uint8 as float32 of 0 to 1, each changed at random.

    Args:
        images: the pictures.
        random: chooses how they are changed.
        shrink: pixels a side that become one, at first.
    """
    x = F.avg_pool2d(torch.from_numpy(images).float() / 255, shrink)
    N = len(x)

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(N, 1, 1, 1, generator=random)

    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = x + draw(-0.4, 0.9).clamp(min=0) * (blurred - x)
    x = (x - 0.5) * draw(0.85, 1.15) + 0.5 + draw(-0.06, 0.06)
    x = x + torch.randn(x.shape, generator=random) * draw(-0.05, 0.06).clamp(min=0)
    return x.clamp(0, 1)


def normalise(x: Tensor) -> Tensor:
    """Pictures [N, 3, H, W] of 0 to 1 as CLIP takes them."""
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (MEAN, DEVIATION))
    return (x - mean) / deviation

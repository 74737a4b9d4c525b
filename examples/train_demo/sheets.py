"""Sheets of pictures: what the training's progress looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from stylert.examples.train_demo.dataset import CLASSES
from stylert.examples.train_demo.generator import draw_classes
from stylert.export.models.stylegan2 import StyleGAN2

__all__ = ["draw_class_samples", "save_sheet"]


def draw_class_samples(
    generator: StyleGAN2, per_class: int, *, seed: int = 0, psi: float = 0.7
) -> NDArray[np.uint8]:
    """Pictures [classes * per_class, 3, H, W], class by class, of the same z in every class."""
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(per_class, generator.config.z_dim, generator=random)
    classes = torch.arange(len(CLASSES))[:, None].expand(-1, per_class)
    return np.concatenate([draw_classes(generator, z, labels, psi=psi) for labels in classes])


def save_sheet(images: NDArray[np.uint8], columns: int, path: Path) -> None:
    """Write images [N, 3, H, W] as one PNG, row by row."""
    N, C, H, W = images.shape
    rows = images.reshape(N // columns, columns, C, H, W).transpose(0, 3, 1, 4, 2)
    Image.fromarray(rows.reshape(N // columns * H, columns * W, C)).save(path)

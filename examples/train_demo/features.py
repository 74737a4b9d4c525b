"""The feature extractor of the quality figures: a small network that reads the drawn pictures.

It learns the class of a picture and the traits that it was drawn with (pose, colours, pattern), so
its features tell pictures apart in everything that varies. No download is needed; the figures
compare with nothing but themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from stylert.examples.train_demo.dataset import CLASSES, TRAITS, draw_pictures

__all__ = ["FEATURES", "Reader", "Reading", "make_halvings", "read", "train_reader"]

FEATURES = 64
BATCH = 64
WIDTHS = (16, 32, 64, 96)
SEED_OFFSET = 1_000_003  # its pictures are none of the generator's


class Reader(nn.Module):
    """Pictures [N, 3, H, W] in [-1, 1] to features [N, 64], class logits and traits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *make_halvings(WIDTHS), nn.Flatten(), nn.Linear(WIDTHS[-1] * 16, FEATURES)
        )
        self.classes = nn.Linear(FEATURES, len(CLASSES))
        self.traits = nn.Linear(FEATURES, TRAITS)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read pictures of 64 x 64 pixels."""
        features = self.body(images)
        active = F.leaky_relu(features, 0.1)
        return features, self.classes(active), self.traits(active)


def make_halvings(widths: Sequence[int]) -> list[nn.Module]:
    """Layers that halve pictures [N, 3, H, W] step by step, to so many channels each."""
    layers: list[nn.Module] = []
    for wide_in, wide_out in zip((3, *widths), widths, strict=False):
        conv = nn.Conv2d(wide_in, wide_out, 4, stride=2, padding=1)
        layers += [conv, nn.BatchNorm2d(wide_out), nn.LeakyReLU(0.1)]
    return layers


@dataclass(frozen=True)
class Reading:
    """What the network reads in N pictures."""

    features: NDArray[np.float64]  # [N, 64]
    labels: NDArray[np.int64]  # [N]


def train_reader(pictures: int, *, seed: int) -> Reader:
    """A network that has seen so many pictures, each once."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = Reader()
    steps = pictures // BATCH
    optimizer = torch.optim.Adam(reader.parameters(), lr=2e-3)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    data = draw_pictures(steps * BATCH, seed=seed + SEED_OFFSET)
    for start in range(0, steps * BATCH, BATCH):
        batch = slice(start, start + BATCH)
        _, logits, traits = reader(_scaled(data.images[batch]))
        loss = F.cross_entropy(logits, torch.from_numpy(data.labels[batch]))
        loss = loss + 4 * F.mse_loss(traits, torch.from_numpy(data.traits[batch]))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        falling.step()
    return reader.eval().requires_grad_(False)


def read(reader: Reader, images: NDArray[np.uint8]) -> Reading:
    """Read pictures [N, 3, H, W]."""
    parts = list(_parts(reader, images))
    features, labels = zip(*parts, strict=True)
    return Reading(np.concatenate(features).astype(np.float64), np.concatenate(labels))


def _parts(
    reader: Reader, images: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    for start in range(0, len(images), BATCH):
        features, logits, _ = reader(_scaled(images[start : start + BATCH]))
        yield features.numpy(), logits.argmax(dim=1).numpy()


def _scaled(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).float() / 127.5 - 1

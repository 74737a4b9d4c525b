"""The reader that judges searches: class and main colour of a picture, learnt apart from the pair.

It has a seed, pictures and weights of its own, so that a search is not judged by what it climbed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylert.examples.train_demo.dataset import CLASSES
from stylert.examples.train_demo.features import make_halvings
from stylert.examples.train_words.attributes import find_hues
from stylert.examples.train_words.disturbing import disturb
from stylert.examples.train_words.pictures import Labelled

__all__ = ["Reader", "train_reader"]

WIDTHS = (16, 32, 64, 80)
BATCH = 96


class Reader(nn.Module):
    """Pictures [N, 3, 64, 64] in [-1, 1] to class logits [N, 6] and hue [N, 2]: cosine, sine."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *make_halvings(WIDTHS), nn.Flatten(), nn.Linear(WIDTHS[-1] * 16, 48)
        )
        self.classes = nn.Linear(48, len(CLASSES))
        self.hue = nn.Linear(48, 2)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Read pictures."""
        active = F.leaky_relu(self.body(pictures), 0.1)
        return self.classes(active), self.hue(active)


def train_reader(
    data: Labelled, *, steps: int, seed: int, progress: Callable[[int, int, float], None]
) -> Reader:
    """Train the reader; `progress` is called with steps done, all steps, and the loss."""
    random = np.random.default_rng(seed)
    drawing = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    reader = Reader()
    reader.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    angle = torch.from_numpy(find_hues(data.main) * 2 * np.pi).float()
    hues = torch.stack([angle.cos(), angle.sin()], dim=1)
    labels = torch.from_numpy(data.attributes[:, 0])
    optimizer = torch.optim.Adam(reader.parameters())
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        rows = random.integers(len(labels), size=BATCH)
        classes, hue = reader(disturb(data.images[rows], drawing) * 2 - 1)
        loss = F.cross_entropy(classes, labels[rows])
        loss = loss + 2 * (F.normalize(hue, dim=1) - hues[rows]).norm(dim=1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rates.step()
        progress(step + 1, steps, loss.item())
    return reader.eval().requires_grad_(False)

"""Two towers: a picture and a sentence become points of one space, near if they agree."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylert.examples.train_demo.features import make_halvings

__all__ = ["CONTEXT", "DIM", "SIZE", "ImageTower", "Pair", "TextTower"]

SIZE = 32  # pixels of a picture
CONTEXT = 77  # tokens of a text, as in CLIP
DIM = 64  # of the common space
CHANNELS = (32, 64, 128)
WIDTH = 64  # of the text's tokens
HEADS = 4
LAYERS = 2


class ImageTower(nn.Module):
    """Pictures [N, 3, 32, 32], normalised as CLIP's, to points [N, DIM].

    Its operators all have an adjoint in `stylert.export.adjoint`, so that a search can follow it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*make_halvings(CHANNELS), nn.Flatten())
        self.last = nn.Linear(CHANNELS[-1] * (SIZE // 2 ** len(CHANNELS)) ** 2, DIM)

    def forward(self, pictures: Tensor) -> Tensor:
        """See pictures."""
        seen: Tensor = self.last(self.body(pictures))
        return seen


class Block(nn.Module):
    """A layer of a transformer: every token looks at those before it (Vaswani et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.mixed = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.wider = nn.Linear(WIDTH, 2 * WIDTH)
        self.back = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Mix tokens [N, L, WIDTH]; `mask` [L, L] is added to their attention."""
        N, L, _ = x.shape
        q, k, v = (
            part.reshape(N, L, HEADS, WIDTH // HEADS).transpose(1, 2)
            for part in self.mixed(self.norms[0](x)).split(WIDTH, dim=2)
        )  # [N, HEADS, L, WIDTH / HEADS]
        weights = torch.softmax(q @ k.transpose(2, 3) * (WIDTH // HEADS) ** -0.5 + mask, dim=3)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(N, L, WIDTH))
        wider: Tensor = self.back(F.gelu(self.wider(self.norms[1](x))))
        return x + wider


class TextTower(nn.Module):
    """Tokens [N, CONTEXT] to points [N, DIM]; the end token has the highest number, as in CLIP."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, WIDTH)
        self.places = nn.Parameter(torch.randn(CONTEXT, WIDTH) * 0.02)
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH)
        self.last = nn.Linear(WIDTH, DIM, bias=False)
        mask = torch.full((CONTEXT, CONTEXT), -1e4).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Read texts; shorter rows than CONTEXT will do, too."""
        L = ids.shape[1]
        x = self.tokens(ids) + self.places[:L]
        mask: Tensor = self.mask  # type: ignore[assignment]
        for block in self.blocks:
            x = block(x, mask[:L, :L])
        end = ids.argmax(1)[:, None, None].expand(-1, 1, WIDTH)
        read: Tensor = self.last(self.norm(x.gather(1, end)[:, 0]))
        return read


class Pair(nn.Module):
    """Both towers, and how steep their agreement is."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.image = ImageTower()
        self.text = TextTower(vocabulary)
        self.steepness = nn.Parameter(torch.tensor(2.5))  # its logarithm

    def forward(self, pictures: Tensor, ids: Tensor) -> Tensor:
        """How well pictures [M] and texts [N] agree: [M, N]."""
        images = F.normalize(self.image(pictures), dim=1)
        texts = F.normalize(self.text(ids), dim=1)
        agreement: Tensor = images @ texts.T * self.steepness.clamp(max=3.5).exp()
        return agreement

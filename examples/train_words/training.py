"""The training of the pair: every picture of a batch with every caption that is true of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from stylert.examples.train_words.captions import find_truth, write_captions
from stylert.examples.train_words.disturbing import disturb, normalise
from stylert.examples.train_words.pictures import Labelled
from stylert.examples.train_words.towers import Pair
from stylert.examples.train_words.vocabulary import make_ids, make_tokenizer

__all__ = ["Settings", "train_pair"]

SPELLED = 4000  # captions that the tokenizer is made of


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the pair is trained."""

    steps: int = 800
    batch: int = 128
    rate: float = 3e-3
    foreign: float = 0.15  # share of captions that are true of nothing
    seed: int = 1


def train_pair(
    data: Labelled, settings: Settings, *, progress: Callable[[int, int, float], None]
) -> tuple[Pair, Tokenizer]:
    """Train both towers.

    Args:
        data: pictures and what they show.
        settings: how.
        progress: called with steps done, all steps, and the loss.
    """
    random = np.random.default_rng(settings.seed)
    texts, _ = write_captions(data.attributes[:SPELLED], random, foreign=settings.foreign)
    tokenizer = make_tokenizer(texts)
    torch.manual_seed(settings.seed)
    pair = Pair(tokenizer.get_vocab_size())
    pair.image.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(pair.parameters(), lr=settings.rate, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, total_steps=settings.steps, pct_start=0.1
    )
    drawing = torch.Generator().manual_seed(settings.seed)
    for step in range(settings.steps):
        rows = random.integers(len(data.images), size=settings.batch)
        attributes = data.attributes[rows]
        captions, told = write_captions(attributes, random, foreign=settings.foreign)
        pictures = normalise(disturb(data.images[rows], drawing, shrink=2))
        agreement = pair(pictures, torch.from_numpy(make_ids(tokenizer, captions)))
        loss = find_loss(agreement, find_truth(told, attributes))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(pair.parameters(), 1.0)
        optimizer.step()
        rates.step()
        progress(step + 1, settings.steps, loss.item())
    return pair.eval().requires_grad_(False), tokenizer


def find_loss(agreement: Tensor, truth: NDArray[np.bool_]) -> Tensor:
    """Cross entropy both ways [M, N], the right answers of a row being all that are true."""
    wanted = torch.from_numpy(truth).float()
    return (_find_entropy(agreement, wanted) + _find_entropy(agreement.T, wanted.T)) / 2


def _find_entropy(agreement: Tensor, wanted: Tensor) -> Tensor:
    """Of the rows that have right answers at all."""
    some = wanted.sum(1) > 0
    wanted = wanted[some] / wanted[some].sum(1, keepdim=True)
    return -(wanted * torch.log_softmax(agreement[some], dim=1)).sum(1).mean()

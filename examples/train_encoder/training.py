"""The training: first the w itself, which is cheap, then the picture that it draws, which counts.

The first half of the way needs no generator: the w of each sample is known. But not all of w shows:
so a fine-tuning draws the picture of the w that was found, and compares it with the sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylert.examples.train_encoder.samples import Samples
from stylert.export.checkpoints import Checkpoint
from stylert.export.checkpoints.checkpoint import Source
from stylert.export.encoders.config import Encoder, EncoderConfig
from stylert.export.encoders.models import EncoderModel
from stylert.export.families import build_model

__all__ = ["Settings", "choose_config", "train"]

WIDTHS = (16, 24, 32, 64, 96, 128)  # of the stages of 256 pixels; smaller pictures lose the first
MOST_PIXELS = 256  # a side


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a training depends on."""

    seed: int = 1
    steps: int = 1200  # on w
    batch: int = 64
    rate: float = 1.5e-3
    fine_steps: int = 300  # on pictures
    fine_batch: int = 24
    fine_rate: float = 6e-4


def choose_config(checkpoint: Checkpoint) -> EncoderConfig:
    """An encoder of fewer than a million numbers, for pictures of up to 256 pixels a side."""
    height, width = checkpoint.config.img_shape
    while max(height, width) > MOST_PIXELS:
        height, width = height // 2, width // 2
    stages = min(len(WIDTHS), int(math.log2(min(height, width))) - 2)
    return EncoderConfig(
        title="StyleRT",
        backbone="plain",
        head="plain",
        widths=WIDTHS[-stages:],
        hidden=192,
        num_codes=1,
        num_ws=checkpoint.config.num_ws,
        w_dim=checkpoint.config.w_dim,
        height=height,
        width=width,
    )


def train(
    checkpoint: Checkpoint,
    samples: Samples,
    settings: Settings,
    *,
    progress: Callable[[str, int, int], None],
) -> Encoder:
    """Train an encoder.

    Args:
        checkpoint: the generator.
        samples: of it.
        settings: how long, and how.
        progress: called with what is going on, the steps done, and those in all.
    """
    torch.manual_seed(settings.seed)
    model = EncoderModel(choose_config(checkpoint))
    _initialise(model)
    mean = checkpoint.tensors["mapping.w_avg"]
    mean = mean if mean.ndim == 1 else mean.mean(axis=0)  # StyleGAN-XL has one for each class
    model.average = torch.tensor(np.broadcast_to(mean, (model.config.num_ws, len(mean))).copy())
    spread = float(np.sqrt(np.square(samples.w - mean).mean()))
    _learn_styles(model, samples, settings, spread, progress)
    _learn_pictures(model, checkpoint, samples, settings, spread, progress)
    tensors = {
        name.partition(".")[2]: parameter.detach().numpy().copy()
        for name, parameter in model.named_parameters()
    }
    return Encoder(model.config, tensors, model.average.numpy(), Source("", "", 0))


def _initialise(model: EncoderModel) -> None:
    """The last layer starts at a tenth: from the mean, that is."""
    with torch.no_grad():
        for name, parameter in model.head.named_parameters():
            if name.endswith("weight"):
                parameter.mul_(0.1)


def _learn_styles(
    model: EncoderModel,
    samples: Samples,
    settings: Settings,
    spread: float,
    progress: Callable[[str, int, int], None],
) -> None:
    optimizer = torch.optim.Adam(model.parameters(), settings.rate)
    random = np.random.RandomState(settings.seed)
    for step in range(settings.steps):
        _set_rate(optimizer, settings.rate, step, settings.steps)
        rows = random.randint(0, len(samples.w), settings.batch)
        loss = (_measure_styles(model(_see(samples, rows)), samples, rows) / spread).square().mean()
        _take_step(optimizer, loss)
        progress(f"learning w, {loss.item():.3f}", step + 1, settings.steps)


def _learn_pictures(
    model: EncoderModel,
    checkpoint: Checkpoint,
    samples: Samples,
    settings: Settings,
    spread: float,
    progress: Callable[[str, int, int], None],
) -> None:
    generator = build_model(checkpoint).synthesis
    optimizer = torch.optim.Adam(model.parameters(), settings.fine_rate, betas=(0.9, 0.99))
    random = np.random.RandomState(settings.seed + 1)
    for step in range(settings.fine_steps):
        _set_rate(optimizer, settings.fine_rate, step, settings.fine_steps)
        rows = random.randint(0, len(samples.w), settings.fine_batch)
        photos = _see(samples, rows)
        ws = model(photos)
        drawn = _shrink(generator(ws), photos)
        squares = (drawn.clamp(-1.1, 1.1) - photos).square().mean(dim=[1, 2, 3])  # [N]
        off = (_measure_styles(ws, samples, rows) / spread).square().mean()
        # The logarithm: a picture that is nearly right gains as much by a decibel as a bad one.
        _take_step(optimizer, 0.5 * torch.log(squares + 1e-3).mean() + 0.2 * off)
        found = -10 * math.log10(squares.mean().item() / 4)
        progress(f"learning pictures, {found:.1f} dB", step + 1, settings.fine_steps)


def _see(samples: Samples, rows: np.ndarray) -> Tensor:
    photos = torch.from_numpy(samples.photos[rows]).permute(0, 3, 1, 2)  # [N, 3, H, W]
    return photos.float().div(127.5).sub(1)


def _measure_styles(ws: Tensor, samples: Samples, rows: np.ndarray) -> Tensor:
    """How far off each w is: [N, w_dim]."""
    return ws[:, 0] - torch.from_numpy(samples.w[rows])


def _shrink(drawn: Tensor, photos: Tensor) -> Tensor:
    """Pictures of the generator as the photos are: their size, and RGB."""
    colours = drawn[:, :3].expand(-1, 3, -1, -1) if drawn.shape[1] != 2 else drawn[:, :1]
    return torch.nn.functional.adaptive_avg_pool2d(colours, photos.shape[2:])


def _set_rate(optimizer: torch.optim.Optimizer, rate: float, step: int, steps: int) -> None:
    """A short rise, then a cosine down to a twentieth."""
    rise = min(1.0, (step + 1) / max(1, steps // 12))
    fall = 0.525 + 0.475 * math.cos(math.pi * step / steps)
    for group in optimizer.param_groups:
        group["lr"] = rate * rise * fall


def _take_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()

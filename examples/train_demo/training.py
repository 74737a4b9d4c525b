"""The training: alternating steps of discriminator and generator, from small pictures to large.

A small resolution costs a fraction of the last one's time, and teaches what the classes look like;
then a block is added to both networks (Karras et al. 2018, Progressive Growing of GANs, without
their fading, which the skip connections make needless).
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylert.examples.train_demo.dataset import CLASSES, Pictures
from stylert.examples.train_demo.discriminator import GROUP, Discriminator
from stylert.examples.train_demo.generator import (
    generator_config,
    grown_generator,
    load_shared,
    mixed_styles,
    noise_maps,
    track_mean_style,
)
from stylert.examples.train_demo.losses import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    path_lengths,
)
from stylert.export.checkpoints import StyleGAN2Config
from stylert.export.models.stylegan2 import StyleGAN2

__all__ = ["Settings", "Training"]

RECORD = 1000  # images between two entries of the loss curves
PATH_DECAY = 0.01  # of the running mean of the path length, as in StyleGAN2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a training depends on, besides the pictures."""

    seed: int = 1
    channels: tuple[int, ...] = (96, 96, 64, 32, 16)  # of the generator's blocks 4, 8, 16, ...
    d_channels: tuple[int, ...] = (96, 96, 64, 32)  # of the discriminator's
    width: int = 128  # of z, w and the embedded label
    batch: int = 12  # a multiple of the discriminator's groups
    grow_at: tuple[int, ...] = (30_000, 110_000)  # images seen before a block is added
    learning_rate: float = 0.004
    r1_weight: float = 2.0  # gamma at the last resolution; it goes with the number of pixels
    r1_interval: int = 16  # steps
    path_weight: float = 0.0  # 0 = no path length regularisation
    path_interval: int = 8  # steps
    mixing: float = 0.5  # share of the pictures that have two styles
    ema_images: int = 5000  # half-life of the averaged weights, at most
    ema_rampup: float = 0.05  # and at most this share of the images seen

    def blocks(self, seen: int) -> int:
        """How many blocks the networks have after `seen` images."""
        return len(self.channels) - sum(seen < images for images in self.grow_at)


class Training:
    """Both networks, their optimisers, the averaged generator, and where the training is.

    Args:
        settings: of this training.
        pictures: what it learns from, of the last resolution.
    """

    config: StyleGAN2Config
    generator: StyleGAN2
    average: StyleGAN2
    discriminator: Discriminator

    def __init__(self, settings: Settings, pictures: Pictures) -> None:
        self.settings, self.pictures = settings, pictures
        self._by_class = [np.flatnonzero(pictures.labels == k) for k in range(len(CLASSES))]
        self.random = torch.Generator().manual_seed(settings.seed)
        self.seen = self.steps = 0
        self.seconds = 0.0  # of the processor
        self.mean_path = torch.zeros([])
        self.changes: list[dict[str, Any]] = []
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, list[float]] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self._build(settings.blocks(0))

    def _build(self, blocks: int, smaller: Training | None = None) -> None:
        """Make networks of so many blocks, which go on from the smaller ones."""
        s = self.settings
        channels = s.channels[:blocks]
        self.config = generator_config(channels, width=s.width, classes=len(CLASSES))
        self.generator = grown_generator(self.config, smaller.generator if smaller else None)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.discriminator = Discriminator(s.d_channels[: blocks - 1], len(CLASSES))
        if smaller is not None:
            load_shared(self.average, smaller.average)
            load_shared(self.discriminator, smaller.discriminator)
            self.discriminator.mute_largest()
        for network in (self.generator, self.discriminator):
            # Faster convolutions on a CPU.
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), fused=True)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), fused=True)
        self._set_rates()

    def _set_rates(self) -> None:
        """Make Adam work as if the steps of a lazy regularisation were none (StyleGAN2, app. B)."""
        s = self.settings
        path_interval = s.path_interval if s.path_weight else None
        optimizers = (self.g_optimizer, path_interval), (self.d_optimizer, s.r1_interval)
        for optimizer, interval in optimizers:
            share = interval / (interval + 1) if interval else 1.0
            rates = {"lr": s.learning_rate * share, "betas": (0.0, 0.99**share)}
            optimizer.param_groups[0].update(rates)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Go on with other settings, which the record will tell."""
        fresh: dict[str, Any] = asdict(self.settings) | dict(changes)
        fresh = {name: tuple(v) if isinstance(v, list) else v for name, v in fresh.items()}
        settings = Settings(**fresh)
        if settings != self.settings:
            before, after = asdict(self.settings), asdict(settings)
            turned = {name: [before[name], after[name]] for name in changes}
            self.changes.append({"images": self.seen, **turned})
            self.settings = settings
        self._set_rates()

    def step(self) -> None:
        """See one batch."""
        started = time.process_time()
        if self.settings.blocks(self.seen) > len(self.config.channels):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.settings.seed + self.seen)
                self._build(self.settings.blocks(self.seen), smaller=copy.copy(self))
        images, c = self._reals()
        z = torch.randn(2, len(images), self.config.z_dim, generator=self.random)
        mixing = self.settings.mixing
        ws = mixed_styles(self.generator, z, c, probability=mixing, random=self.random)
        track_mean_style(self.generator, ws)
        noise = noise_maps(self.config, len(images), self.random)
        fakes = self.generator.synthesis(ws, noise=noise)
        self._train_discriminator(images, fakes.detach(), c)
        self._train_generator(fakes, c)
        if self.settings.path_weight and self.steps % self.settings.path_interval == 0:
            self._regularise_paths()
        self._average(len(images))
        self.steps += 1
        self.seen += len(images)
        self.seconds += time.process_time() - started
        if self.seen // RECORD > (self.seen - len(images)) // RECORD:
            self._record()

    def _reals(self) -> tuple[Tensor, Tensor]:
        """Real images [N, 3, H, W] of the present resolution, and their labels, one-hot."""
        labels = self._labels()
        index = [self._any_of(label) for label in labels.tolist()]
        images = torch.from_numpy(self.pictures.images[index]).float() / 127.5 - 1
        factor = images.shape[-1] // self.config.img_shape[0]
        return F.avg_pool2d(images, factor), F.one_hot(labels, len(CLASSES)).float()

    def _labels(self) -> Tensor:
        """Classes in turn; those whose deviation is measured together are of one class.

        So the discriminator sees at once when all pictures of a class become the same one.
        """
        groups = self.settings.batch // GROUP
        return (torch.arange(groups).repeat(GROUP) + self.steps * groups) % len(CLASSES)

    def _any_of(self, label: int) -> int:
        """The index of a picture of one class."""
        mine = self._by_class[label]
        return int(mine[int(torch.randint(len(mine), (), generator=self.random))])

    def _train_discriminator(self, images: Tensor, fakes: Tensor, c: Tensor) -> None:
        self.discriminator.requires_grad_(True)
        real, fake = self.discriminator(images, c), self.discriminator(fakes, c)
        loss = discriminator_loss(real, fake)
        torch.autograd.backward(loss)
        self._update(self.d_optimizer)
        self._note(d_loss=loss, real_logit=real.mean(), fake_logit=fake.mean())
        if self.steps % self.settings.r1_interval == 0:
            penalty = gradient_penalty(self.discriminator, images, c)
            pixels = 4.0 ** (len(self.config.channels) - len(self.settings.channels))
            weight = self.settings.r1_weight * pixels / 2 * self.settings.r1_interval
            torch.autograd.backward(penalty * weight)
            self._update(self.d_optimizer)
            self._note(r1=penalty)

    def _train_generator(self, fakes: Tensor, c: Tensor) -> None:
        self.discriminator.requires_grad_(False)  # whose gradients would be thrown away
        loss = generator_loss(self.discriminator(fakes, c))
        torch.autograd.backward(loss)
        self._update(self.g_optimizer)
        self._note(g_loss=loss)

    def _regularise_paths(self) -> None:
        count = max(1, self.settings.batch // 2)
        z = torch.randn(count, self.config.z_dim, generator=self.random)
        labels = torch.randint(len(CLASSES), (count,), generator=self.random)
        ws = self.generator.mapping(z, F.one_hot(labels, len(CLASSES)).float())
        images = self.generator.synthesis(ws, noise=noise_maps(self.config, count, self.random))
        lengths = path_lengths(images, ws, torch.randn(images.shape, generator=self.random))
        self.mean_path.lerp_(lengths.detach().mean(), PATH_DECAY)
        penalty = (lengths - self.mean_path).square().mean()
        torch.autograd.backward(penalty * self.settings.path_weight * self.settings.path_interval)
        self._update(self.g_optimizer)
        self._note(path=penalty)

    def _update(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _average(self, images: int) -> None:
        """Move the averaged generator; its memory is short at first."""
        half_life = min(self.settings.ema_images, (self.seen + images) * self.settings.ema_rampup)
        share = 1 - 0.5 ** (images / max(half_life, 1e-8))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.generator.parameters()), share
        )
        for mine, theirs in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            mine.copy_(theirs)

    def _note(self, **values: Tensor) -> None:
        for name, value in values.items():
            self._sums.setdefault(name, []).append(float(value.detach()))

    def _record(self) -> None:
        means = {name: round(sum(v) / len(v), 4) for name, v in self._sums.items()}
        resolution = float(self.config.img_shape[0])
        self.history.append({"images": self.seen, "resolution": resolution, **means})
        self._sums = {}

    def save(self, path: Path) -> None:
        """Write everything that the training goes on from: all of it, or nothing."""
        state: dict[str, Any] = {
            "settings": asdict(self.settings),
            "blocks": len(self.config.channels),
            "random": self.random.get_state(),
            **{name: getattr(self, name) for name in _PLAIN},
            **{name: getattr(self, name).state_dict() for name in _PARTS},
        }
        part = path.with_name(f"{path.name}.part")
        torch.save(state, part)
        os.replace(part, path)

    @classmethod
    def restored(cls, path: Path, pictures: Pictures) -> Training:
        """The training that `save` wrote; it goes on with the very same numbers."""
        state = torch.load(path, weights_only=True)
        training = cls(Settings(**state["settings"]), pictures)
        training._build(state["blocks"])
        for name in _PARTS:
            getattr(training, name).load_state_dict(state[name])
        for name in _PLAIN:
            setattr(training, name, state[name])
        training.random.set_state(state["random"])
        return training


_PLAIN = ("seen", "steps", "seconds", "mean_path", "changes", "history", "_sums")
_PARTS = ("generator", "discriminator", "average", "g_optimizer", "d_optimizer")

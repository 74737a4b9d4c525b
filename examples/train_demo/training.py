"""The training: guided first, from small pictures to large, then adversarial as well.

A small resolution costs a fraction of the last one's time, and teaches what the classes look like;
then a block is added to the generator (Karras et al. 2018, Progressive Growing of GANs, without
their fading, which the skip connections make needless). At the last resolution the discriminator
joins in, and the guidance looks from afar: what it leaves blurred, the discriminator wants sharp.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylert.examples.train_demo.dataset import CLASSES
from stylert.examples.train_demo.discriminator import GROUP, Discriminator
from stylert.examples.train_demo.generator import (
    grow_generator,
    load_shared,
    make_config,
    mix_styles,
    track_mean_style,
)
from stylert.examples.train_demo.guidance import (
    COARSE_LAYERS,
    Z_DIM,
    draw_mixed,
    guidance_loss,
)
from stylert.examples.train_demo.losses import (
    discriminator_loss,
    feature_distance,
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
    """What a training depends on."""

    seed: int = 1
    channels: tuple[int, ...] = (128, 128, 96, 48, 24)  # of the generator's blocks 4, 8, 16, ...
    d_channels: tuple[int, ...] = (96, 96, 64, 32)  # of the discriminator's
    width: int = 128  # of w and the embedded label
    batch: int = 24  # a multiple of the discriminator's groups
    grow_at: tuple[int, ...] = (40_000, 130_000)  # images seen before a block is added
    adversarial_at: int = 155_000  # images seen before the discriminator joins in
    guidance_weight: float = 20.0
    guided_size: int = 16  # pixels a side of what is guided then: it leaves details to both of them
    matching_weight: float = 20.0  # of the discriminator's features, as guidance in the details
    learning_rate: float = 0.006
    discriminator_rate: float = 3.0  # times that of the generator (Heusel et al. 2017, TTUR)
    steady_images: int = 10_000  # well beyond them, the rate falls with the root of the images seen
    r1_weight: float = 0.3  # gamma
    r1_interval: int = 16  # steps
    path_weight: float = 0.0  # 0 = no path length regularisation
    path_interval: int = 8  # steps
    mixing: float = 0.5  # share of the steps whose pictures have two styles
    ema_images: int = 5000  # half-life of the averaged weights, at most
    ema_rampup: float = 0.05  # and at most this share of the images seen

    def blocks(self, seen: int) -> int:
        """How many blocks the networks have after `seen` images."""
        return len(self.channels) - sum(seen < images for images in self.grow_at)


class Training:
    """Both networks, their optimisers, the averaged generator, and where the training is.

    Args:
        settings: of this training.
        device: of the networks; what is random is drawn on the CPU, the same for every device.
    """

    config: StyleGAN2Config
    generator: StyleGAN2
    average: StyleGAN2
    discriminator: Discriminator

    def __init__(self, settings: Settings, *, device: str = "cpu") -> None:
        self.settings, self.device = settings, torch.device(device)
        self.random = torch.Generator().manual_seed(settings.seed)
        self.seen = self.steps = 0
        self.seconds = 0.0  # of the processor
        self.mean_path = torch.zeros([])
        self.changes: list[dict[str, Any]] = []
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, list[float]] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.discriminator = Discriminator(settings.d_channels, len(CLASSES))
            self._build(settings.blocks(0))
        self._place(self.discriminator)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), fused=True)
        self._set_rates()

    def _build(self, blocks: int, smaller: Training | None = None) -> None:
        """Make a generator of so many blocks, which goes on from the smaller one."""
        s = self.settings
        self.config = make_config(
            s.channels[:blocks], z_dim=Z_DIM, width=s.width, classes=len(CLASSES)
        )
        self.generator = grow_generator(self.config, smaller.generator if smaller else None)
        self.generator.to(self.device)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        if smaller is not None:
            load_shared(self.average, smaller.average)
        self._place(self.generator)
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), fused=True)

    def _place(self, network: torch.nn.Module) -> None:
        """To the device, in the memory format whose convolutions are faster."""
        network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _set_rates(self) -> None:
        """Make Adam work as if the steps of a lazy regularisation were none (StyleGAN2, app. B).

        Momentum helps as long as what is wanted does not change, so without the discriminator only.
        """
        s = self.settings
        rate = s.learning_rate / math.sqrt(1 + self.seen / s.steady_images)
        momentum = 0.0 if self.adversarial else 0.9
        path_interval = s.path_interval if s.path_weight else None
        for optimizer, times, interval, beta in (
            (self.g_optimizer, 1.0, path_interval, momentum),
            (self.d_optimizer, s.discriminator_rate, s.r1_interval, 0.0),
        ):
            share = interval / (interval + 1) if interval else 1.0
            rates = {"lr": rate * times * share, "betas": (beta, 0.99**share)}
            optimizer.param_groups[0].update(rates)

    @property
    def adversarial(self) -> bool:
        """Whether the discriminator takes part."""
        return self.seen >= self.settings.adversarial_at

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
        self._set_rates()
        labels, z = self._labels(), self._latents()
        images = draw_mixed(labels, z[0], z[1], size=self.config.img_shape[0]).to(self.device)
        c = F.one_hot(labels, len(CLASSES)).float().to(self.device)
        z = z.to(self.device)
        ws = mix_styles(self.generator, z, c, crossover=COARSE_LAYERS)
        track_mean_style(self.generator, ws)
        fakes = self.generator.synthesis(ws, noise="none")  # the data set has no random detail
        if self.adversarial:
            self._train_discriminator(images, fakes.detach(), c)
        self._train_generator(fakes, images, c)
        if self.settings.path_weight and self.steps % self.settings.path_interval == 0:
            self._regularise_paths()
        self._average(len(images))
        self.steps += 1
        self.seen += len(images)
        self.seconds += time.process_time() - started
        if self.seen // RECORD > (self.seen - len(images)) // RECORD:
            self._record()

    def _labels(self) -> Tensor:
        """Classes in turn; those whose deviation is measured together are of one class.

        So the discriminator sees at once when all pictures of a class become the same one.
        """
        groups = self.settings.batch // GROUP
        return (torch.arange(groups).repeat(GROUP) + self.steps * groups) % len(CLASSES)

    def _latents(self) -> Tensor:
        """Latents z [2, N, Z_DIM] of coarse and finer layers; the same if no styles are mixed."""
        z = torch.randn(2, self.settings.batch, Z_DIM, generator=self.random)
        mixed = float(torch.rand((), generator=self.random)) < self.settings.mixing
        return z if mixed else z[:1].expand_as(z)

    def _train_discriminator(self, images: Tensor, fakes: Tensor, c: Tensor) -> None:
        self.discriminator.requires_grad_(True)
        real, fake = self.discriminator(images, c), self.discriminator(fakes, c)
        loss = discriminator_loss(real, fake)
        torch.autograd.backward(loss)
        self._update(self.d_optimizer)
        self._note(d_loss=loss, real_logit=real.mean(), fake_logit=fake.mean())
        if self.steps % self.settings.r1_interval == 0:
            penalty = gradient_penalty(self.discriminator, images, c)
            weight = self.settings.r1_weight / 2 * self.settings.r1_interval
            torch.autograd.backward(penalty * weight)
            self._update(self.d_optimizer)
            self._note(r1=penalty)

    def _train_generator(self, fakes: Tensor, images: Tensor, c: Tensor) -> None:
        largest = self.settings.guided_size if self.adversarial else images.shape[-1]
        guidance = guidance_loss(fakes, images, largest=largest)
        self._note(guidance=guidance)
        loss = guidance * self.settings.guidance_weight
        if self.adversarial:
            self.discriminator.requires_grad_(False)  # whose gradients would be thrown away
            features = self.discriminator.features(fakes)
            realism = generator_loss(self.discriminator.judge(features, c))
            with torch.no_grad():
                wanted = self.discriminator.features(images)
            matching = feature_distance(features, wanted)
            self._note(g_loss=realism, matching=matching)
            loss = loss + realism + matching * self.settings.matching_weight
        torch.autograd.backward(loss)
        self._update(self.g_optimizer)

    def _regularise_paths(self) -> None:
        count = max(1, self.settings.batch // 2)
        z = torch.randn(count, self.config.z_dim, generator=self.random).to(self.device)
        labels = torch.randint(len(CLASSES), (count,), generator=self.random).to(self.device)
        ws = self.generator.mapping(z, F.one_hot(labels, len(CLASSES)).float())
        images = self.generator.synthesis(ws, noise="none")
        directions = torch.randn(images.shape, generator=self.random).to(self.device)
        lengths = path_lengths(images, ws, directions)
        self.mean_path.lerp_(lengths.detach().mean().cpu(), PATH_DECAY)
        penalty = (lengths - self.mean_path.to(self.device)).square().mean()
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
    def restore(cls, path: Path, *, device: str = "cpu") -> Training:
        """The training that `save` wrote; it goes on with the very same numbers."""
        state = torch.load(path, weights_only=True, map_location="cpu")
        training = cls(Settings(**state["settings"]), device=device)
        training._build(state["blocks"])
        for name in _PARTS:
            getattr(training, name).load_state_dict(state[name])
        for name in _PLAIN:
            setattr(training, name, state[name])
        training.random.set_state(state["random"])
        return training


_PLAIN = ("seen", "steps", "seconds", "mean_path", "changes", "history", "_sums")
_PARTS = ("generator", "discriminator", "average", "g_optimizer", "d_optimizer")

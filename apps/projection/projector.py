"""`Projector`: finds the styles that draw given pictures, step by step, by gradients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from stylert.apps.projection.adam import Adam
from stylert.apps.projection.feature_loss import FeatureLoss
from stylert.apps.projection.latent_statistics import measure_latents
from stylert.apps.projection.lbfgs import Lbfgs
from stylert.apps.projection.noise_correlation import correlate, normalise
from stylert.apps.projection.settings import ProjectionSettings
from stylert.apps.projection.starting import choose_start, count_starts
from stylert.apps.projection.step import ProjectionStep
from stylert.apps.projection.task import to_img, to_mask, to_start
from stylert.runtime import EngineError, Generator, InvalidInput
from stylert.runtime.control.picture_fitting import PictureGradient

__all__ = ["ProjectionStep", "Projector", "open_projector", "project"]

FIRST = 0.025  # how long the first step of L-BFGS is, in deviations of w
HALVINGS = 10  # of the rate after losses that are no numbers; then it is an error


class Projector:
    """A projection of N pictures at once; the same seed gives the same styles.

    Args:
        generator: with a gradient in its bundle.
        target: [N, C, H, W] floats in [-1, 1].
        start: [N, num_ws, w_dim] floats, where it starts.
        mask: [N, 1, H, W] or [1, 1, H, W] of 0 to 1: where the target matters. None = everywhere.
        settings: how it goes.
        deviation: of w, None = it is measured.
        features: a loss by features, besides that of the pixels.
    """

    def __init__(
        self,
        generator: Generator,
        target: np.ndarray,
        start: np.ndarray,
        *,
        mask: np.ndarray | None = None,
        settings: ProjectionSettings | None = None,
        deviation: float | None = None,
        features: FeatureLoss | None = None,
    ) -> None:
        self.generator = generator
        self.settings = settings or ProjectionSettings()
        N = len(target)
        self.mask = to_mask(mask, N, generator)
        # What is hidden is never looked at, whatever stands there.
        self.target = np.where(self.mask > 0, target, 0).astype(np.float32)
        self.deviation = measure_latents(generator).deviation if deviation is None else deviation
        self._features = features
        self._seen = None if features is None else features.describe(self.target * self.mask)
        self._scales = self.settings.scales[: generator.count_scales()]
        self.number = 0
        self._ws = to_start(start, N, generator).copy()
        if self.settings.space == "w":
            self._ws[:] = self._ws.mean(1, keepdims=True)
        apart = bool(np.ptp(self._ws, axis=1).any())
        self._release = np.array(0.0 if apart else self.settings.release)
        self._sane = self._ws
        self._adam = Adam(self._ws[:, :1].shape)
        self._lbfgs: Lbfgs | None = None
        if self.settings.uses_lbfgs:
            start = self._ws if self.settings.space == "w+" else self._ws[:, :1]
            self._lbfgs = Lbfgs(start, FIRST * self.deviation)
        self._shrunk = np.ones(N, np.float32)  # factors of the rate
        self._random = np.random.RandomState(self.settings.seed)
        self._noise: dict[str, np.ndarray] = {}
        if self.settings.noise:
            drawn = generator.inputs.noise.seeded([self.settings.seed])
            self._noise = {name: np.repeat(field, N, axis=0) for name, field in drawn.items()}
        self._noise_adams = {name: Adam(field.shape) for name, field in self._noise.items()}
        self._best_loss = np.full(N, np.inf)
        self._best_ws = self._ws.copy()
        self._best_psnr = np.full(N, -np.inf)
        self._best_noise = {name: field.copy() for name, field in self._noise.items()}

    @property
    def done(self) -> bool:
        """Whether all steps are."""
        return self.number >= self.settings.steps

    def take_step(self) -> ProjectionStep:
        """Draw, compare, and move on.

        Raises:
            EngineError: the loss is no number, whatever the rate; or the backend failed.
        """
        step = self.number
        parted = self._part_layers(step)
        used = self._ws + self._draw_jitter(step)
        found, distance = self._compare(used)
        pull, towards = self._hold_together(used)
        loss = found.loss + pull
        if distance is not None:
            loss = loss + self.settings.features * distance
        gradient = found.ws + towards
        if not parted:
            gradient = gradient.sum(1, keepdims=True)
        broken = ~(np.isfinite(loss) & np.isfinite(gradient).all((1, 2)))
        psnr = self._measure(found.img)
        self._keep_best(loss, psnr, used, broken)
        rates = self.settings.find_rate(step) * self._shrunk
        gradient = np.where(_rows(broken, 3), 0, gradient)
        if self._lbfgs is None:
            self._recover(broken, self._ws + self._adam.find_step(gradient, rates))
        else:
            self._recover(broken, self._ws)
            moved = self._lbfgs.move(np.where(broken, np.inf, loss), gradient)
            self._ws = np.broadcast_to(moved, self._ws.shape)
        self._move_noise(found.noise, rates, broken)
        self.number += 1
        return ProjectionStep(
            self.number,
            self.settings.steps,
            loss,
            psnr,
            distance,
            found.img,
            self._best_ws.copy(),
            self._best_psnr.copy(),
            {name: field.copy() for name, field in self._best_noise.items()},
        )

    def __iter__(self) -> Iterator[ProjectionStep]:
        while not self.done:
            yield self.take_step()

    def save_state(self) -> dict[str, np.ndarray]:
        """All that `load_state` needs to go on as if nothing had happened."""
        kind, keys, place, has_gauss, gauss = self._random.get_state()
        assert kind == "MT19937"
        return {
            "number": np.array(self.number),
            "settings": np.array(repr(sorted(asdict(self.settings).items()))),
            "features": np.array("" if self._features is None else self._features.sha256),
            "photos": np.array(self._hash_photos()),
            "network": np.array(self.generator.bundle.graph_sha256("synthesis")),
            "random": np.concatenate([keys, [place, has_gauss]]).astype(np.int64),
            "random_gauss": np.array(gauss),
            **{name: np.asarray(getattr(self, f"_{name}")) for name in _STATE},
            **self._adam.save("adam"),
            **({} if self._lbfgs is None else self._lbfgs.save("lbfgs")),
            **{f"noise/{name}": field for name, field in self._noise.items()},
            **{f"best_noise/{name}": field for name, field in self._best_noise.items()},
            **{
                key: array
                for name, adam in self._noise_adams.items()
                for key, array in adam.save(f"noise_adam/{name}").items()
            },
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where another projector of the same pictures and settings was.

        Raises:
            InvalidInput: it had other settings, other pictures or another network.
        """
        try:
            mine = self.save_state()
            if any(str(state[name]) != str(mine[name]) for name in ("settings", "features")):
                raise InvalidInput(
                    "resume: the settings are not those of before. Give the same, or start anew."
                )
            if state["ws"].shape != self._ws.shape:
                raise InvalidInput(
                    f"resume: got {len(state['ws'])} pictures before, and {len(self._ws)} now."
                )
            told = {"photos": "photos are not those", "network": "network is not that"}
            for name, what in told.items():
                if str(state[name]) != str(mine[name]):
                    raise InvalidInput(
                        f"resume: the {what} of before. Give the same, or start anew."
                    )
            self.number = int(state["number"])
            place, has_gauss = state["random"][-2:].tolist()
            keys = state["random"][:-2].astype(np.uint32)
            gauss = float(state["random_gauss"])
            self._random.set_state(("MT19937", keys, place, has_gauss, gauss))
            for name in _STATE:
                setattr(self, f"_{name}", np.array(state[name]))
            self._adam = Adam.read("adam", state)
            if self._lbfgs is not None:
                self._lbfgs.load("lbfgs", state)
            for name in self._noise:
                self._noise[name] = np.array(state[f"noise/{name}"])
                self._best_noise[name] = np.array(state[f"best_noise/{name}"])
                self._noise_adams[name] = Adam.read(f"noise_adam/{name}", state)
        except (KeyError, ValueError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"resume: the state is not whole ({error}). Start anew.") from None

    def _hash_photos(self) -> str:
        return hashlib.sha256(self.target.tobytes() + self.mask.tobytes()).hexdigest()

    def _part_layers(self, step: int) -> bool:
        """Whether each layer has a way of its own in this step; then Adam keeps a state of each."""
        parted = self.settings.space == "w+" and (
            self._lbfgs is not None or step >= self._release * self.settings.steps
        )
        if parted and self._adam.mean.shape != self._ws.shape:
            self._adam = Adam(self._ws.shape)
        return bool(parted)

    def _compare(self, ws: np.ndarray) -> tuple[PictureGradient, np.ndarray | None]:
        """The loss by pixels, with the gradients of all; and the distance of features [N]."""
        options: dict[str, Any] = {"noise": self._noise} if self._noise else {}
        distance, img_grad = self._compare_features(ws, options)
        found = self.generator.draw_gradient(
            ws,
            self.target,
            img_grad=img_grad,
            mask=self.mask,
            scales=self._scales,
            with_noise=bool(self._noise),
            **options,
        )
        return found, distance

    def _compare_features(
        self, ws: np.ndarray, options: Mapping[str, Any]
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The distance of features [N], and the gradient by img of what it adds to the loss."""
        if self._features is None or self._seen is None:
            return None, None
        img = np.asarray(self.generator.synthesize(ws, output="img", **options))
        distance, gradient = self._features.measure(img * self.mask, self._seen)
        return distance, self.settings.features * gradient * self.mask

    def _draw_jitter(self, step: int) -> np.ndarray:
        """The same for all layers and pictures, so that a picture's company changes nothing."""
        size = self.deviation * self.settings.find_jitter(step)
        drawn = self._random.standard_normal((1, 1, self._ws.shape[2]))
        return np.asarray(size * drawn, np.float32)

    def _hold_together(self, ws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What it costs that layers part [N], and the gradient."""
        apart = ws - ws.mean(1, keepdims=True)
        weight = self.settings.spread / self.deviation**2 / ws.shape[1]
        return weight * np.square(apart).sum((1, 2)), 2 * weight * apart

    def _measure(self, img: np.ndarray) -> np.ndarray:
        """The PSNR [N] where the target is seen."""
        square = np.square((img - self.target) * self.mask).sum((1, 2, 3), dtype=np.float64)
        count = np.square(self.mask).sum((1, 2, 3), dtype=np.float64) * img.shape[1]
        found: np.ndarray = 10 * np.log10(4 / np.maximum(square / np.maximum(count, 1), 1e-12))
        return found

    def _keep_best(
        self, loss: np.ndarray, psnr: np.ndarray, ws: np.ndarray, broken: np.ndarray
    ) -> None:
        better = (loss < self._best_loss) & ~broken
        self._best_loss = np.where(better, loss, self._best_loss)
        self._best_psnr = np.where(better, psnr, self._best_psnr)
        self._best_ws[better] = ws[better]
        for name, field in self._noise.items():
            self._best_noise[name][better] = field[better]

    def _recover(self, broken: np.ndarray, moved: np.ndarray) -> None:
        """Go on; where the loss was no number, from before, at half the rate."""
        self._shrunk = np.where(broken, self._shrunk / 2, self._shrunk)
        if (self._shrunk < 2.0**-HALVINGS).any():
            image = int(np.argmin(self._shrunk))
            raise EngineError(
                f"The loss of picture {image} is no number in step {self.number + 1}, at any rate. "
                "Start elsewhere, or with a lower rate."
            )
        self._ws, self._sane = (
            np.where(_rows(broken, 3), self._sane, moved),
            np.where(_rows(broken, 3), self._sane, self._ws),
        )

    def _move_noise(
        self, gradients: Mapping[str, np.ndarray], rates: np.ndarray, broken: np.ndarray
    ) -> None:
        for name, gradient in gradients.items():
            _, correlation = correlate(self._noise[name])
            whole = gradient + self.settings.noise_weight * correlation
            step = self._noise_adams[name].find_step(np.where(_rows(broken, 4), 0, whole), rates)
            self._noise[name] = normalise(self._noise[name] + step)


_STATE = ("release", "ws", "sane", "shrunk", "best_loss", "best_ws", "best_psnr")


def project(
    generator: Generator,
    images: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
    seeds_start: int | None = None,
    settings: ProjectionSettings | None = None,
    features: FeatureLoss | None = None,
    **options: Any,
) -> Iterator[ProjectionStep]:
    """Find the styles that draw pictures; see `Projector`.

        for step in project(generator, photos, steps=100, space="w+"):
            ...
        ws = step.best_ws

    Args:
        generator: with a gradient in its bundle (`stylert gradient`).
        images: [N, H, W, C] uint8, as `generate` gives and `read_photos` reads them.
        mask: [1, 1, H, W] or [N, 1, H, W] floats: where they matter; None = everywhere.
        start: ws [N, num_ws, w_dim] to start from; None = the best of `seeds_start` samples.
        seeds_start: how many, None = 600, of large pictures 100; 0 = the mean w instead.
        settings: how it goes; None = of the options.
        features: a loss by features, besides that of the pixels; its weight is a setting.
        **options: see `ProjectionSettings`.

    Returns:
        The steps, one by one: what is not asked for is not computed.

    Raises:
        InvalidInput: at once, a shape or a value that does not fit, or a bundle without gradient.
        EngineError: on the way, the loss is no number, or the backend failed.
    """
    settings = settings or ProjectionSettings(**options)
    generator.count_scales()  # refuses a bundle without gradient
    N = len(to_img(images, generator))
    to_mask(mask, N, generator)
    if start is not None:
        to_start(start, N, generator)
    count_starts(generator, seeds_start, least=0)

    def steps() -> Iterator[ProjectionStep]:
        yield from open_projector(
            generator,
            images,
            mask=mask,
            start=start,
            seeds_start=seeds_start,
            settings=settings,
            features=features,
        )

    return steps()


def open_projector(
    generator: Generator,
    images: np.ndarray,
    *,
    settings: ProjectionSettings,
    mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
    seeds_start: int | None = None,
    features: FeatureLoss | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Projector:
    """A projector at its start, which is looked for; see `project`."""
    generator.count_scales()  # refuses a bundle without gradient
    target = to_img(images, generator)
    seen = to_mask(mask, len(target), generator)
    chosen = choose_start(
        generator, target, seen, start=start, seeds_start=seeds_start, progress=progress
    )
    return Projector(generator, target, chosen, mask=seen, settings=settings, features=features)


def _rows(which: np.ndarray, rank: int) -> np.ndarray:
    """[N] as [N, 1, ...]."""
    return which.reshape(-1, *[1] * (rank - 1))

"""How a projection goes: its options, and what they are at a step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stylert.runtime.arguments import check_choice, check_integer, shown
from stylert.runtime.control.truncation import as_number
from stylert.runtime.errors import InvalidInput

__all__ = ["ProjectionSettings"]

MAX_STEPS = 1_000_000
_RISE, _FALL = 0.05, 0.25  # the shares of the steps in which the rate rises and falls
_JITTERED = 0.75  # the share of the steps in which w is moved about


@dataclass(frozen=True, kw_only=True)
class ProjectionSettings:
    """How styles are found: the recipe of Karras et al. 2020 (StyleGAN2), section 5.

    Attributes:
        space: 'w', one for all layers; or 'w+', one for each.
        steps: how many.
        optimizer: 'lbfgs'; 'adam', which needs five times the steps; or 'auto': L-BFGS, but Adam
            where w is moved about or noise is found, which L-BFGS cannot.
        rate: of Adam, at its highest.
        jitter: noise that is added to w at first, in deviations of w: 0.05 from the mean w on; from
            a sample on, which is near already, it costs 10 dB.
        scales: the weight of each scale of the loss, the finest first; see `draw_gradient`.
        features: the weight of the loss by features, where there is one.
        spread: how much w+ is held to w: the weight of the mean square distance of the layers from
            their mean, in deviations of w.
        release: of 'w+' by Adam, the share of the steps after which the layers part; where those of
            the start differ, they are apart from the first step on.
        noise: find the noise of the layers, too.
        noise_weight: how much that is held to be noise: the weight of its correlations.
        seed: of the jitter.
    """

    space: str = "w+"
    steps: int = 100
    optimizer: str = "auto"
    rate: float = 0.1
    jitter: float = 0.0
    scales: tuple[float, ...] = (0.5, 0.3, 0.2)
    features: float = 0.1
    spread: float = 1e-4
    release: float = 0.3
    noise: bool = False
    noise_weight: float = 1e3
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("space", self.space, ("w", "w+"))
        check_choice("optimizer", self.optimizer, ("auto", "lbfgs", "adam"))
        check_integer("steps", self.steps, 1, MAX_STEPS)
        check_integer("seed", self.seed, 0, 2**32 - 1)
        free = ("jitter", "features", "spread", "noise_weight")
        for name, least in (("rate", 1e-9), *((name, 0) for name in free)):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and least <= value < math.inf):
                expected = f"a number of {least} or more"
                raise InvalidInput(f"{name}: got {shown(value)}, expected {expected}.")
        if self.optimizer == "lbfgs" and (self.noise or self.jitter):
            raise InvalidInput(
                "optimizer: got 'lbfgs' with noise or jitter, expected 'adam': L-BFGS needs a loss "
                "that is the same whenever it is asked."
            )
        if not 0 <= as_number(self.release) <= 1:
            raise InvalidInput(f"release: got {shown(self.release)}, expected a share of 0 to 1.")

    @property
    def uses_lbfgs(self) -> bool:
        """Whether that is what follows the gradient."""
        free = not self.noise and self.jitter == 0
        return self.optimizer == "lbfgs" or (self.optimizer == "auto" and free)

    def find_rate(self, step: int) -> float:
        """The rate at a step: up in a line, then level, then down as a cosine."""
        t = step / self.steps
        fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / _FALL))
        return self.rate * fall * min(1.0, t / _RISE)

    def find_jitter(self, step: int) -> float:
        """How far w is moved about at a step."""
        return self.jitter * max(0.0, 1 - step / self.steps / _JITTERED) ** 2

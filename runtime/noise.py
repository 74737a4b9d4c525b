"""The noise of the synthesis layers: the checkpoint's own, none, drawn from a seed, or given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from stylert.runtime.arguments import check_choice, one_or
from stylert.runtime.bundle import TensorSpec
from stylert.runtime.errors import InvalidInput
from stylert.runtime.feeds import Feeds, SeededNoise
from stylert.runtime.latents import check_floats, check_seeds

__all__ = ["NOISE_MODES", "UNIFORM", "NoiseSource", "draw_noise"]

NOISE_MODES = ("const", "none", "seeded")
UNIFORM = "noise"  # the input whose noise is uniform in [0, 1); that of all others is normal

# Keeps the noise of a seed apart from the z of the same seed.
_STREAM = 1


class NoiseSource:
    """Makes the noise inputs of a synthesis graph.

    Args:
        inputs: the noise inputs, each [M, 1, h, w]; empty for a network without noise.
        const: the checkpoint's own noise [1, 1, h, w] by input name.
    """

    def __init__(self, inputs: Sequence[TensorSpec], const: Mapping[str, np.ndarray]) -> None:
        self._shapes = {t.name: (int(t.shape[2]), int(t.shape[3])) for t in inputs}
        # Read-only, so that a backend may keep them on its device.
        self._const = MappingProxyType({name: _frozen(field) for name, field in const.items()})
        zeros = {name: np.zeros((1, 1, *shape), np.float32) for name, shape in self._shapes.items()}
        self._none = MappingProxyType({name: _frozen(field) for name, field in zeros.items()})

    def feed(
        self,
        mode: str,
        seed: int | Sequence[int] | np.ndarray | None,
        given: Mapping[str, Any] | None,
        *,
        batch: int,
    ) -> Feeds:
        """Check what a user asks for, and give the noise inputs of a batch.

        Args:
            mode: 'const', 'none' or 'seeded'.
            seed: for 'seeded': one for all images, or one per image.
            given: noise of the user's own instead, with the mode 'const'.
            batch: how many images.

        Raises:
            InvalidInput: an unknown mode, or arguments that do not go together.
        """
        seeds = _check_seeds(mode, seed, batch)
        if given is not None:
            if mode != "const":
                raise InvalidInput(
                    f"noise: got arrays and noise_mode {mode!r}, expected one of the two."
                )
            return Feeds(batch, self.check_given(given, batch))
        if seeds is not None and self._shapes:
            return Feeds(batch, noise=SeededNoise(self.seeded, tuple(seeds)))
        return Feeds(batch, constants=self.none() if mode == "none" else self.const())

    def const(self) -> Mapping[str, np.ndarray]:
        """The noise that the checkpoint was trained with: the same for every image; read-only."""
        return self._const

    def none(self) -> Mapping[str, np.ndarray]:
        """No noise; read-only."""
        return self._none

    def seeded(self, seeds: Sequence[int], *, stream: int = _STREAM) -> dict[str, np.ndarray]:
        """Noise [N, 1, h, w], drawn per image: its seed alone decides an image's noise.

        It has the distribution of the input. Another stream gives other noise of the same seeds.
        """
        fields = {
            name: np.empty((len(seeds), 1, *shape), np.float32)
            for name, shape in self._shapes.items()
        }
        drawn: dict[int, int] = {}  # the first place of each seed
        for i, seed in enumerate(seeds):
            generator = np.random.RandomState([seed, stream])
            first = drawn.setdefault(seed, i)
            for name, shape in self._shapes.items():
                field = fields[name]
                field[i, 0] = draw_noise(generator, name, shape) if first == i else field[first, 0]
        return fields

    def check_given(self, noise: Mapping[str, Any], batch: int) -> dict[str, np.ndarray]:
        """Check noise that a user passes: all inputs by name, each [1, 1, h, w] or [N, 1, h, w].

        Raises:
            InvalidInput: a name is missing or unknown, or an array has another shape or dtype.
        """
        if not isinstance(noise, Mapping):
            raise InvalidInput(f"noise: got {type(noise).__name__}, expected arrays by input name.")
        if set(noise) != set(self._shapes):
            missing, unknown = set(self._shapes) - set(noise), set(noise) - set(self._shapes)
            wrong = f"{min(missing)} is missing" if missing else f"got {min(map(repr, unknown))}"
            raise InvalidInput(f"noise: {wrong}, expected the keys {sorted(self._shapes)}.")
        arrays = {}
        for name, shape in self._shapes.items():
            array = check_floats(name, noise[name])
            if array.shape not in ((1, 1, *shape), (batch, 1, *shape)):
                each = "" if batch == 1 else f" or {(batch, 1, *shape)}"
                raise InvalidInput(
                    f"{name}: got shape {array.shape}, expected {(1, 1, *shape)}{each}."
                )
            arrays[name] = array
        return arrays


def draw_noise(random: np.random.RandomState, name: str, shape: tuple[int, int]) -> np.ndarray:
    """The noise of an input [h, w] in float64, with the distribution that its name tells."""
    return random.random_sample(shape) if name == UNIFORM else random.standard_normal(shape)


def _check_seeds(
    mode: str, seed: int | Sequence[int] | np.ndarray | None, batch: int
) -> list[int] | None:
    """The seeds of the mode 'seeded', None with another mode."""
    if not (isinstance(mode, str) and mode in NOISE_MODES):
        check_choice("noise_mode", mode, NOISE_MODES)
    if mode != "seeded":
        if seed is not None:
            raise InvalidInput(f"noise_seed: got one with noise_mode {mode!r}, expected 'seeded'.")
        return None
    if seed is None:
        raise InvalidInput(
            "noise_seed: got None with noise_mode 'seeded', expected one for all images or one "
            "per image."
        )
    seeds = check_seeds(seed, name="noise_seed")
    if len(seeds) not in (1, batch):
        raise InvalidInput(f"noise_seed: got {len(seeds)} seeds, expected {one_or(batch)}.")
    return seeds


def _frozen(field: np.ndarray) -> np.ndarray:
    """A read-only copy that owns its data."""
    field = field.copy()
    field.setflags(write=False)
    return field

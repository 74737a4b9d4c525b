"""Noise that moves: a circle through two fields of normal noise, on which every point is as normal.

cos(t) a + sin(t) b has the variance of a and b at every t, where a straight blend would lose half
of it on its way; and it comes back to a without a jump.

Uniform noise stays uniform on its way around a sphere: each coordinate of a point that is anywhere
on it is uniform (Archimedes). So a is one coordinate, and b another that fits to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stylert.runtime.arguments import check_choice, shown
from stylert.runtime.control.truncation import MOST, as_number
from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import check_seeds, read_array
from stylert.runtime.noise import NOISE_MODES, UNIFORM, NoiseSource

__all__ = ["NoiseLoop", "make_frame_noise"]

_SECOND_STREAM = 2  # the second field of one seed


class NoiseLoop:
    """The noise inputs of a synthesis graph on a circle.

    Args:
        first: [1, 1, h, w] float32 by input name: the noise at turn 0, and at every whole turn.
        second: the same: the noise at a quarter turn; of uniform noise, what decides of that.
    """

    def __init__(self, first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> None:
        assert first.keys() == second.keys()
        self._first = dict(first)
        self._second = dict(second)
        if UNIFORM in first:
            a = self._first[UNIFORM] * 2 - 1
            b = np.sqrt(1 - np.square(a)) * np.cos(np.float32(np.pi) * second[UNIFORM])
            self._first[UNIFORM], self._second[UNIFORM] = a, b

    def at(self, turns: float | Sequence[float] | np.ndarray) -> dict[str, np.ndarray]:
        """The noise at some places of the circle.

        Args:
            turns: one or [N]; 1 is once around.

        Returns:
            [N, 1, h, w] float32 by input name.

        Raises:
            InvalidInput: another shape, or what is no finite number.
        """
        places = np.atleast_1d(read_array("turns", turns, "a number or several"))
        finite = places.dtype.kind in "fiu" and np.isfinite(places).all()
        if not finite or places.ndim != 1:
            raise InvalidInput(f"turns: got {shown(turns)}, expected a finite number or several.")
        angle = 2 * np.pi * (places.astype(np.float64) % 1)[:, None, None, None]
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        fields = {name: cos * self._first[name] + sin * self._second[name] for name in self._first}
        if UNIFORM in fields:
            fields[UNIFORM] = (fields[UNIFORM] + 1) / 2
        return fields


def make_frame_noise(
    source: NoiseSource, mode: str, seed: Any, turns: Any, *, frames: int, loop: bool
) -> Callable[[slice], dict[str, Any]]:
    """Check what a user asks for, and give what tells `synthesize` the noise of some frames.

    Args:
        source: of the generator.
        mode: 'const', 'none', 'seeded', or 'animated'.
        seed: for 'seeded', one for all frames; for 'animated', one or two.
        turns: of 'animated': how often the noise goes around in all the frames.
        frames: how many.
        loop: whether the first frame follows on the last.

    Raises:
        InvalidInput: an unknown mode, or arguments that do not go together.
    """
    check_choice("noise_mode", mode, (*NOISE_MODES, "animated"))
    if not abs(as_number(turns)) < MOST:  # NaN is not less
        raise InvalidInput(f"noise_turns: got {shown(turns)}, expected a finite number.")
    if mode == "animated":
        circle = NoiseLoop(*_two_fields(source, seed))
        places = np.arange(frames) * (turns / (frames if loop else frames - 1))
        return lambda part: {"noise": circle.at(places[part])}
    noise = source.feed(mode, seed, None, batch=1)
    if mode == "seeded":
        fields = noise.draw_rows()  # once
        return lambda part: {"noise": fields}
    return lambda part: {"noise_mode": mode}


def _two_fields(source: NoiseSource, seed: Any) -> Sequence[dict[str, np.ndarray]]:
    """The noise at turn 0, and at a quarter turn."""
    if seed is None:
        raise InvalidInput("noise_seed: got None with noise_mode 'animated', expected one or two.")
    seeds = check_seeds(seed, name="noise_seed")
    if len(seeds) > 2:
        raise InvalidInput(f"noise_seed: got {len(seeds)} seeds, expected one or two.")
    if len(seeds) == 2:
        return [source.seeded([seed]) for seed in seeds]
    return source.seeded(seeds), source.seeded(seeds, stream=_SECOND_STREAM)

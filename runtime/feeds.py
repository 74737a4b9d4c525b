"""`Feeds`: what the graphs are fed for some images; to be split, merged, and made when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

__all__ = ["Feeds", "SeededNoise"]

Arrays = Mapping[str, np.ndarray]

_NONE: Arrays = MappingProxyType({})


def _no_arrays() -> Arrays:
    return _NONE  # one object, so that feeds without constants are known to share them


@dataclass(frozen=True)
class SeededNoise:
    """Noise inputs that are drawn only when the graphs run: of a large picture they are megabytes.

    Attributes:
        draw: gives [n, 1, h, w] float32 by input name for n seeds.
        seeds: one for all images, or one per image.
    """

    draw: Callable[[Sequence[int]], Arrays]
    seeds: tuple[int, ...]


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Feeds:
    """Inputs of the graphs by name.

    Attributes:
        count: N, the images.
        rows: arrays [N, ...], or [1, ...] for all images.
        constants: arrays [1, ...] for all images. They are the same objects in every call, so a
            backend may keep them on its device.
        noise: what is drawn when the graphs run.
    """

    count: int
    rows: Arrays = field(default_factory=_no_arrays)
    constants: Arrays = field(default_factory=_no_arrays)
    noise: SeededNoise | None = None

    @property
    def noise_seeds(self) -> tuple[int, ...]:
        """The seed of every image's noise; none where no noise is drawn."""
        seeds = () if self.noise is None else self.noise.seeds
        return seeds if len(seeds) == self.count else seeds * self.count

    def with_rows(self, rows: Arrays) -> Feeds:
        """These, and further arrays."""
        return replace(self, rows={**rows, **self.rows})

    def draw_rows(self) -> Arrays:
        """All inputs but the constants."""
        if self.noise is None:
            return self.rows
        return {**self.rows, **self.noise.draw(self.noise.seeds)}

    def split(self, largest: int) -> Iterator[Feeds]:
        """The feeds of at most `largest` images each, in order."""
        if self.count <= largest:
            yield self
            return
        shared = self.noise is not None and len(self.noise.seeds) == 1
        whole = replace(self, rows=self.draw_rows(), noise=None) if shared else self
        for start in range(0, self.count, largest):
            yield whole.take(slice(start, min(start + largest, self.count)))

    def take(self, part: slice) -> Feeds:
        """The feeds of some of the images."""
        noise = self.noise
        if noise is not None and len(noise.seeds) == self.count:
            noise = replace(noise, seeds=noise.seeds[part])
        rows = {k: v[part] if len(v) == self.count else v for k, v in self.rows.items()}
        return Feeds(part.stop - part.start, rows, self.constants, noise)

    @staticmethod
    def merge(parts: Sequence[Feeds]) -> Feeds:
        """The feeds of the images of all parts, which have the same names and constants."""
        first = parts[0]
        if len(parts) == 1:
            return first
        rows = {
            name: np.concatenate([_repeat(part.rows[name], part.count) for part in parts])
            for name in first.rows
        }
        noise = first.noise
        if noise is not None:
            noise = replace(noise, seeds=tuple(seed for part in parts for seed in part.noise_seeds))
        return Feeds(sum(part.count for part in parts), rows, first.constants, noise)


def _repeat(array: np.ndarray, count: int) -> np.ndarray:
    """A row for every image."""
    return np.broadcast_to(array, (count, *array.shape[1:]))

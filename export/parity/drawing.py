"""What the proof draws: pictures of a scene by the reference and by the runtime, side by side.

One picture at a time leaves cores idle between the steps of a network. So where a processor has
several, two pictures are drawn at once, each on half of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from stylert.export.checkpoints import Checkpoint, Config
from stylert.export.checkpoints.configs.config import SMALL
from stylert.export.graph_session import choose_threads
from stylert.export.parity.reference import Reference, limit_threads
from stylert.export.parity.scenes import (
    Psi,
    Scene,
    make_labels,
    make_motions,
    make_psis,
)
from stylert.runtime.generator import Generator
from stylert.runtime.latents import make_z
from stylert.runtime.machine import usable_cpus
from stylert.runtime.proof.scene_inputs import make_transforms

__all__ = ["Draw", "SceneDrawer", "count_threads", "share_cores", "split"]

AT_ONCE = 2  # pictures, or batches; more would only take more memory
MOST_PIXELS = 2**18  # of a picture: a batch of larger ones takes gigabytes by itself

T = TypeVar("T")
Run = Callable[[Iterable[Callable[[], Any]]], Iterator[Any]]  # gives the results in order


@dataclass(frozen=True)
class Draw:
    """What the runtime draws of a scene."""

    precision: str
    batch: int
    seeds: tuple[int, ...]

    @property
    def batches(self) -> list[tuple[int, ...]]:
        """The seeds that are drawn together."""
        return list(split(self.seeds, self.batch))


class SceneDrawer:
    """The two that are compared.

    Args:
        checkpoint: of the reference.
        generators: the runtime, by precision.
        report: called with the number of pictures that got done.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        generators: Mapping[str, Generator],
        report: Callable[[int], None],
    ) -> None:
        self._config = checkpoint.config
        self._generators = generators
        self._report = report
        self._mapped: dict[Psi, np.ndarray] = {}
        self._style_space = next(iter(generators.values())).inputs.style_space
        self.reference = Reference(checkpoint, style_space=self._style_space)

    def map_reference(self, seeds: Sequence[int], psi: Psi) -> np.ndarray:
        """The reference's styles of all seeds; they are kept for the pictures."""
        self._mapped[psi] = self.reference.map_seeds(seeds, psi)
        return self._mapped[psi]

    def draw_scene(
        self, scene: Scene, seeds: Sequence[int], draws: Sequence[Draw], run: Run
    ) -> tuple[np.ndarray, list[list[np.ndarray]]]:
        """The reference's pictures of all seeds, and for each draw the runtime's, batch by batch.

        Args:
            scene: the scene.
            seeds: of the reference, those of `map_reference`.
            draws: what the runtime draws.
            run: see `share_cores`.
        """
        own = scene.ws == "own"
        ws = self.reference.mix_seeds(seeds) if own else self._mapped[scene.psi]
        tasks: list[tuple[int, Callable[[], np.ndarray]]] = []
        for draw in draws:  # batches take longest, so they come first
            for few in draw.batches:
                tasks.append((len(few), partial(self.draw, "img", scene, draw.precision, few)))
        candidates = len(tasks)
        size = self.reference.at_once
        for few, rows in zip(split(seeds, size), split(ws, size), strict=True):
            tasks.append((len(few), partial(self.reference.draw_together, few, scene, rows)))
        drawn = []
        for (count, _), images in zip(tasks, run(task for _, task in tasks), strict=True):
            drawn.append(images)
            self._report(count)
        found = iter(drawn[:candidates])
        return np.concatenate(drawn[candidates:]), [
            [next(found) for _ in draw.batches] for draw in draws
        ]

    def draw(self, output: str, scene: Scene, precision: str, seeds: Sequence[int]) -> np.ndarray:
        """The runtime's styles, pictures or bytes of some seeds, drawn together."""
        # The mapping network is float32 in every precision.
        mapper = next(iter(self._generators.values()))
        generator = mapper if output == "ws" else self._generators[precision]
        options: dict[str, Any] = {"truncation_psi": scene.psi.psi}
        if scene.psi.psi is None:
            options["truncation_psi"] = make_psis(scene.psi, seeds, self._config.num_ws)
        if scene.psi.cutoff is not None:
            options["truncation_cutoff"] = scene.psi.cutoff
        labels = make_labels(seeds, self._config)
        if output == "ws":
            return generator.map(make_z(seeds, self._config.z_dim), labels, **options)
        controls: dict[str, Any] = {"output": output, **_make_controls(scene, seeds)}
        if scene.offset and self._style_space is not None:
            controls["style_offset"] = self._style_space.draw_offsets(seeds)
        if scene.ws == "own":
            if scene.noise_mode == "seeded":
                controls["noise_seed"] = list(seeds)
            own: np.ndarray = generator.synthesize(self.reference.mix_seeds(seeds), **controls)
            return own
        images: np.ndarray = generator.generate(seeds, labels=labels, **options, **controls)
        return images


def count_threads(config: Config) -> int:
    """How many threads draw each of the pictures that are drawn at once."""
    return choose_threads(config.work) or max(1, usable_cpus() // _count_at_once(config))


def _count_at_once(config: Config) -> int:
    """How many pictures, or batches, are drawn at once.

    Of small networks one: Python, which is most of their time, does one thing at a time.
    """
    small = config.work < SMALL
    return 1 if small or math.prod(config.img_shape) > MOST_PIXELS else AT_ONCE


@contextmanager
def share_cores(config: Config, threads: int) -> Iterator[Run]:
    """Gives what runs calls: several at a time where that leaves each of them so many threads.

    Args:
        config: of the network.
        threads: of one call of the runtime. PyTorch is held to as many while calls run together.
    """
    if min(_count_at_once(config), usable_cpus() // threads) < AT_ONCE:
        yield lambda calls: (call() for call in calls)
        return
    pool = ThreadPoolExecutor(AT_ONCE)
    with limit_threads(threads):
        try:
            yield lambda calls: pool.map(_call, calls)
        finally:  # after Ctrl-C, what has not begun is not waited for
            pool.shutdown(cancel_futures=True)


def _call(task: Callable[[], T]) -> T:
    return task()


def split(rows: Sequence[T] | np.ndarray, size: int) -> Iterator[Any]:
    """So many rows at a time."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _make_controls(scene: Scene, seeds: Sequence[int]) -> dict[str, Any]:
    """What the runtime is asked for besides seeds and truncation."""
    if scene.motion == "matrix":
        return {"transform": make_transforms(seeds)}
    if scene.motion == "seeded":
        return make_motions(seeds)
    if scene.motion == "none":
        return {}
    return {"noise_mode": "const" if scene.noise_mode == "-" else scene.noise_mode}

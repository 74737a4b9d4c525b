"""The inputs of a graph for one picture in which nothing is like anything else."""

from __future__ import annotations

from typing import Any

import numpy as np

from stylert.export.parity.scenes import Psi, make_psis, make_transforms
from stylert.runtime.generator import Generator
from stylert.runtime.latents import make_z
from stylert.runtime.transforms import TRANSFORM

__all__ = ["make_feeds"]


def make_feeds(generator: Generator, graph: str, seed: int) -> dict[str, np.ndarray]:
    """All inputs of a bundle's graph, [1, ...] float32 by their names.

    Args:
        generator: of the bundle.
        graph: 'mapping', with a psi for each layer; or 'synthesis', with the w of another seed in
            each layer, and noise of its own or a transform that scales and shears, too.
        seed: of the picture.
    """
    inputs, num_ws = generator.inputs, generator.spec.num_ws
    if graph == "mapping":
        z, c = _make_latents(generator, [seed])
        feeds = inputs.feed_latents(z, c, make_psis(Psi(None), [seed], num_ws), None)
    else:
        others = np.random.RandomState([seed, 5]).randint(0, 2**32, num_ws, np.uint64).tolist()
        ws = generator.map(*_make_latents(generator, others), truncation_psi=1.0)[None, :, 0]
        feeds = inputs.feed_styles(ws, _make_options(generator, seed))
    return {**feeds.draw_rows(), **feeds.constants}


def _make_latents(generator: Generator, seeds: list[int]) -> tuple[np.ndarray, np.ndarray | None]:
    """The z of seeds, and the class seed mod c_dim."""
    classes = generator.spec.c_dim
    labels = (
        np.eye(classes, dtype=np.float32)[[seed % classes for seed in seeds]] if classes else None
    )
    return make_z(seeds, generator.spec.z_dim), labels


def _make_options(generator: Generator, seed: int) -> Any:
    names = {spec.name for spec in generator.bundle.graphs["synthesis"].inputs}
    if TRANSFORM in names:
        return {"transform": make_transforms([seed])}
    return {"noise_mode": "seeded", "noise_seed": seed} if len(names) > 1 else {}

"""The inputs of a graph for one picture in which nothing is like anything else."""

from __future__ import annotations

from typing import Any

import numpy as np

from stylert.runtime.generator import Generator
from stylert.runtime.proof.scene_inputs import (
    make_latents,
    make_own_psis,
    make_transforms,
    mix_layers,
)
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
    inputs = generator.inputs
    if graph == "mapping":
        psis = make_own_psis([seed], generator.spec.num_ws)
        feeds = inputs.feed_latents(*make_latents(generator, [seed]), psis, None)
    else:
        ws = mix_layers(generator, seed)[None]
        feeds = inputs.feed_styles(ws, _make_options(generator, seed))
    return {**feeds.draw_rows(), **feeds.constants}


def _make_options(generator: Generator, seed: int) -> Any:
    names = {spec.name for spec in generator.bundle.graphs["synthesis"].inputs}
    if TRANSFORM in names:
        return {"transform": make_transforms([seed])}
    return {"noise_mode": "seeded", "noise_seed": seed} if len(names) > 1 else {}

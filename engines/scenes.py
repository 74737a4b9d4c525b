"""What an engine draws to be verified: the scenes of the proof, without PyTorch.

In the last one each layer has the w of another seed, and noise or a transform of its own: with
equal ws an engine that reads the wrong layer's w passes unseen. If it takes offsets of styles, each
has one of its own there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylert.runtime.bundle import is_noise
from stylert.runtime.control.inversion import make_photos
from stylert.runtime.feeds import Feeds
from stylert.runtime.generator import Generator
from stylert.runtime.proof.scene_inputs import (
    make_latents,
    make_own_psis,
    make_transforms,
    mix_layers,
)
from stylert.runtime.transforms import TRANSFORM

__all__ = ["EngineScene", "list_scenes", "make_encoder_feeds"]

Draw = Callable[[Generator, Sequence[int], str], Any]  # of some seeds, 'img' or 'image'


@dataclass(frozen=True)
class EngineScene:
    """One way to draw pictures, or styles."""

    name: str
    seeds: tuple[int, ...]
    draw_some: Draw
    of_styles: bool = False

    def draw(self, generator: Generator, batch: int, output: str) -> np.ndarray:
        """All pictures [N, ...], so many at a time."""
        starts = range(0, len(self.seeds), batch)
        parts = [self.draw_some(generator, self.seeds[i : i + batch], output) for i in starts]
        return np.concatenate(parts)


def list_scenes(graph: Generator, seeds: Sequence[int]) -> list[EngineScene]:
    """The scenes of a bundle.

    Args:
        graph: its float32 graphs, which give the ws that are drawn as they are.
        seeds: of the pictures.
    """
    spec = graph.spec
    inputs = {tensor.name for tensor in graph.bundle.graphs["synthesis"].inputs}
    noise = [name for name in inputs if is_noise(name)]
    middle = max(1, spec.num_ws // 2)
    mixed = {seed: mix_layers(graph, seed) for seed in seeds}

    def map_styles(generator: Generator, some: Sequence[int], output: str) -> Any:
        psis = make_own_psis(some, spec.num_ws)
        return generator.map(*make_latents(graph, some), truncation_psi=psis)

    def draw_whole(generator: Generator, some: Sequence[int], output: str) -> Any:
        return _generate(generator, some, output, truncation_psi=1.0)

    def draw_cut(generator: Generator, some: Sequence[int], output: str) -> Any:
        options: dict[str, Any] = {"noise_mode": "none"} if noise else {}
        if TRANSFORM in inputs:
            options = {"translate": (0.2, -0.1), "rotate": 30.0}
        cut = {"truncation_psi": 0.7, "truncation_cutoff": middle}
        return _generate(generator, some, output, **cut, **options)

    def draw_mixed(generator: Generator, some: Sequence[int], output: str) -> Any:
        options: dict[str, Any] = {"output": output}
        if noise:
            options |= {"noise_mode": "seeded", "noise_seed": list(some)}
        if TRANSFORM in inputs:
            options |= {"transform": make_transforms(some)}
        if graph.inputs.style_space is not None:
            options |= {"style_offset": graph.inputs.style_space.draw_offsets(some)}
        return generator.synthesize(np.stack([mixed[seed] for seed in some]), **options)

    chosen = tuple(seeds)
    return [
        EngineScene("a psi of its own for every layer", chosen, map_styles, of_styles=True),
        EngineScene("psi 1", chosen, draw_whole),
        EngineScene(f"psi 0.7 to layer {middle}", chosen, draw_cut),
        EngineScene("another w in every layer", chosen, draw_mixed),
    ]


def make_encoder_feeds(graph: Generator, seeds: Sequence[int]) -> Feeds:
    """What an encoder is fed to be verified: pictures that the generator draws.

    One that sees what was drawn sees the picture and the styles of the next seed.

    Args:
        graph: the float32 graphs.
        seeds: of the pictures.
    """
    facts = graph.encoder
    ws = graph.map(*make_latents(graph, seeds), truncation_psi=1.0)
    images = graph.synthesize(ws)
    images = images[..., : 3 if images.shape[3] > 2 else 1]
    if facts.picture == "labels":
        images = (images[..., 0].astype(np.int64) * facts.channels // 256).astype(np.uint8)
    rows = {"photo": make_photos(images, facts)}
    if facts.start is not None:
        codes = np.roll(ws, 1, axis=0)
        rows |= {"img": graph.synthesize(codes, output="img"), "codes": codes}
    return Feeds(len(ws), rows)


def _generate(generator: Generator, seeds: Sequence[int], output: str, **options: Any) -> Any:
    _, labels = make_latents(generator, seeds)
    options |= {"labels": labels, "output": output}
    return generator.generate(seeds, **options)

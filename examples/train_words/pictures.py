"""The pictures to learn from: of the drawing program, and of the demo network itself.

The demo network was taught to draw the picture that belongs to a z, so what its pictures show is
known, too. Their blurred edges are what a search will meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stylert.examples.train_demo.dataset import CLASSES, draw, draw_pictures
from stylert.examples.train_demo.guidance import Z_DIM, find_choices
from stylert.examples.train_words.attributes import find_attributes
from stylert.runtime.generator import Generator

__all__ = ["Labelled", "collect_pictures"]

AT_ONCE = 64
PSI = (0.75, 1.0)
FEW = 8  # pixels of pictures that are drawn for their traits only


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Labelled:
    """Pictures and what they show.

    Attributes:
        images: [N, 3, 64, 64] uint8.
        attributes: [N, A], see `find_attributes`.
        main: colour [N, 3] of what is shown, from -1 to 1.
    """

    images: NDArray[np.uint8]
    attributes: NDArray[np.int64]
    main: NDArray[np.float32]


def collect_pictures(bundle: Path, *, drawings: int, samples: int, seed: int) -> Labelled:
    """Pictures of the drawing program and of the demo network, in a random order.

    Args:
        bundle: of the demo network.
        drawings: how many of the drawing program.
        samples: how many of the demo network.
        seed: of all choices.
    """
    some = draw_pictures(drawings, seed=seed)
    images, labels, traits = sample_network(bundle, samples, seed=seed)
    labels = np.concatenate([some.labels, labels])
    traits = np.concatenate([some.traits, traits])
    order = np.random.default_rng(seed).permutation(len(labels))
    return Labelled(
        np.concatenate([some.images, images])[order],
        find_attributes(labels, traits)[order],
        traits[order, 4:7],
    )


def sample_network(
    bundle: Path, count: int, *, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Pictures [N, 3, H, W] of the demo network, their classes [N] and their traits [N, TRAITS]."""
    random = np.random.default_rng([seed, 1])
    images, labels, traits = [], [], []
    with Generator.open(bundle, provider="cpu") as generator:
        for start in range(0, count, AT_ONCE):
            N = min(AT_ONCE, count - start)
            z = random.standard_normal((N, Z_DIM)).astype(np.float32)
            label = random.integers(len(CLASSES), size=N)
            psi = random.uniform(*PSI, size=N).astype(np.float32)
            ws = generator.map(z, np.eye(len(CLASSES), dtype=np.float32)[label], truncation_psi=psi)
            images.append(generator.synthesize(ws).transpose(0, 3, 1, 2))
            labels.append(label)
            traits.append(_find_traits(label, z))
    return np.concatenate(images), np.concatenate(labels), np.concatenate(traits)


def _find_traits(labels: NDArray[np.int64], z: NDArray[np.float32]) -> NDArray[np.float32]:
    """The traits [N, TRAITS] of the pictures that belong to latents."""
    shape, paint = (part.numpy() for part in find_choices(torch.from_numpy(z)))
    traits = [
        draw(int(label), shape[i : i + 1], paint[i : i + 1], size=FEW)[1]
        for i, label in enumerate(labels)
    ]
    return np.concatenate(traits)

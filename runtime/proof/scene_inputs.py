"""Inputs of which each picture has its own: a graph that mixes them up draws another picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stylert.runtime.generator import Generator
from stylert.runtime.latents import make_z

__all__ = ["list_other_seeds", "make_latents", "make_own_psis", "make_transforms", "mix_layers"]


def make_own_psis(seeds: Sequence[int], num_ws: int) -> np.ndarray:
    """A psi of 0 to 1 for every picture and layer: [N, num_ws] float32."""
    randoms = [np.random.RandomState([seed, 3]) for seed in seeds]
    return np.array([random.uniform(0, 1, num_ws) for random in randoms], np.float32)


def make_transforms(seeds: Sequence[int]) -> np.ndarray:
    """A matrix [3, 3] for each seed that also scales and shears: all six numbers are free."""
    matrices = np.tile(np.eye(3, dtype=np.float32), (len(seeds), 1, 1))
    for matrix, seed in zip(matrices, seeds, strict=True):
        matrix[:2] += np.random.RandomState([seed, 4]).uniform(-0.3, 0.3, (2, 3))
    return matrices


def list_other_seeds(seed: int, num_ws: int) -> list[int]:
    """The seeds whose w the layers of a picture have, each another one."""
    random = np.random.RandomState([seed, 5])
    others: list[int] = random.randint(0, 2**32, num_ws, np.uint64).tolist()
    return others


def make_latents(
    generator: Generator, seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """The z [N, z_dim] of seeds, and the labels [N, c_dim] of the classes seed mod c_dim."""
    labels = generator.classes.make_labels(None, None, batch=len(seeds), seeds=seeds)
    return make_z(seeds, generator.spec.z_dim), labels


def mix_layers(generator: Generator, seed: int) -> np.ndarray:
    """The styles [num_ws, w_dim] of a picture with the w of another seed in every layer."""
    others = list_other_seeds(seed, generator.spec.num_ws)
    ws: np.ndarray = generator.map(*make_latents(generator, others), truncation_psi=1.0)[:, 0]
    return ws

"""What the proof draws: a few scenes, each with everything that pictures could share and must not.

A graph that takes the w of another layer, the psi of another picture or the noise of another layer
goes unseen wherever these are all alike. So one scene has another w in every layer, styles are
also mapped with a psi of their own for every picture and layer, noise of a seed is another in each
picture, and transforms are general matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stylert.export.checkpoints import Config
from stylert.export.checkpoints.configs.config import SMALL
from stylert.runtime.proof.scene_inputs import make_own_psis

__all__ = [
    "Psi",
    "Scene",
    "count_pictures",
    "list_image_scenes",
    "make_labels",
    "list_mapping_psis",
    "make_motions",
    "make_psis",
]

# Pictures of a scene by the multiply-adds of one, so that a file has the same proof everywhere.
PICTURES = ((SMALL, 32), (10 * SMALL, 16))
GOLDEN = (5**0.5 - 1) / 2  # whose multiples are spread evenly
FEWEST_PICTURES = 8  # of networks beyond


@dataclass(frozen=True)
class Psi:
    """How the styles of a scene are truncated."""

    psi: float | None  # of all pictures, None = another for every picture and layer
    cutoff: int | None = None  # layers from this one on are not truncated

    def __str__(self) -> str:
        if self.psi is None:
            return "own"
        return f"{self.psi:g}" if self.cutoff is None else f"{self.psi:g} to layer {self.cutoff}"


@dataclass(frozen=True)
class Scene:
    """What pictures depend on besides their seeds."""

    psi: Psi
    noise_mode: str = "-"  # '-' where the network has none
    motion: str = "-"  # 'none', 'seeded' (moved and turned) or 'matrix'; '-' where it has none
    ws: str = "one"  # 'own': every layer has the w of another seed
    offset: bool = False  # every style is moved, each by another number

    def __str__(self) -> str:
        words = [f"psi {self.psi}"]
        if self.noise_mode != "-":
            words.append(f"noise {self.noise_mode}")
        if self.motion != "-":
            words.append(f"motion {self.motion}")
        if self.ws == "own":
            words.append("another w in every layer")
        return ", ".join([*words, "styles moved"] if self.offset else words)


def count_pictures(config: Config) -> int:
    """How many pictures of each scene prove a network: it follows from its multiply-adds."""
    return next((count for most, count in PICTURES if config.work < most), FEWEST_PICTURES)


def list_mapping_psis(config: Config) -> tuple[Psi, ...]:
    """The truncations that styles are compared with."""
    return Psi(1.0), Psi(0.7), Psi(0.7, _find_middle(config)), Psi(None)


def list_image_scenes(config: Config, *, offsets: bool = False) -> tuple[Scene, ...]:
    """The scenes that pictures are compared in: psi 1, a cutoff, and another w in every layer.

    Each has its own noise mode or motion. No picture depends on psi and noise together, since the
    one is of the mapping network and the other of the synthesis network: so these three are enough.

    Args:
        config: of the network.
        offsets: the graph takes offsets of styles; the last scene has some.
    """
    *others, last = _list_scenes(config)
    return *others, replace(last, offset=offsets)


def _list_scenes(config: Config) -> tuple[Scene, ...]:
    cut = Psi(0.7, _find_middle(config))
    if config.has_transform:
        return (
            Scene(Psi(1.0), motion="none"),
            Scene(cut, motion="seeded"),
            Scene(Psi(1.0), motion="matrix", ws="own"),
        )
    if not config.use_noise:
        return Scene(Psi(1.0)), Scene(cut), Scene(Psi(1.0), ws="own")
    return Scene(Psi(1.0), "const"), Scene(cut, "none"), Scene(Psi(1.0), "seeded", ws="own")


def _find_middle(config: Config) -> int:
    """A cutoff with layers on both sides, where there are two."""
    return max(1, config.num_ws // 2)


def make_psis(psi: Psi, seeds: Sequence[int], num_ws: int) -> np.ndarray:
    """The psi of every picture and layer: [N, num_ws] float32."""
    if psi.psi is None:
        return make_own_psis(seeds, num_ws)
    rows = np.full((len(seeds), num_ws), psi.psi, np.float32)
    if psi.cutoff is not None:
        rows[:, psi.cutoff :] = 1
    return rows


def make_labels(seeds: Sequence[int], config: Config) -> np.ndarray | None:
    """A class for even seeds, halfway between two for odd ones; None if unconditional.

    Of a table, in which there is nothing between classes, classes all over it.
    """
    c_dim = config.c_dim
    if not c_dim:
        return None
    if config.class_features:
        return np.eye(c_dim, dtype=np.float32)[[int(seed * GOLDEN % 1 * c_dim) for seed in seeds]]
    eye = np.eye(c_dim, dtype=np.float32)
    first = eye[[seed % c_dim for seed in seeds]]
    second = eye[[(seed + seed % 2) % c_dim for seed in seeds]]
    return (first + second) / 2


def make_motions(seeds: Sequence[int]) -> dict[str, Any]:
    """A translation and a rotation for each seed, in any direction."""
    randoms = [np.random.RandomState([seed, 2]) for seed in seeds]
    return {
        "translate": np.array([random.uniform(-0.3, 0.3, 2) for random in randoms], np.float32),
        "rotate": np.array([random.uniform(-180, 180) for random in randoms], np.float32),
    }

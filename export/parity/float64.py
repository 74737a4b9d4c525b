"""The truth behind float32: some of a proof's pictures in float64, and how far float32 is off."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

import numpy as np
import torch

from stylert.export.checkpoints import Checkpoint
from stylert.export.parity.reference import Reference
from stylert.export.parity.scenes import Scene
from stylert.runtime.proof.parity import RoundingError

__all__ = ["Float64Pictures", "Picture"]

PICTURES = 8  # of each output; they cost several times what float32 costs

Picture = tuple[Scene, int]  # and its seed


class Float64Pictures:
    """The reference in float64, of the pictures that need it.

    Args:
        checkpoint: the generator.
        reference: the same in float32.

    Attributes:
        errors: by output ('ws' or 'img'), how far float32 is from float64.
        notes: what a user should know, a line each.
    """

    def __init__(self, checkpoint: Checkpoint, reference: Reference) -> None:
        self._checkpoint = checkpoint
        self._reference = reference
        self._drawn: dict[tuple[str, Scene, int], np.ndarray] = {}
        self.errors: dict[str, RoundingError] = {}
        self.notes: tuple[str, ...] = ()

    def find(self, output: str, scene: Scene, seed: int) -> np.ndarray | None:
        """The styles or the picture in float64, None if it was not drawn."""
        return self._drawn.get((output, scene, seed))

    def draw(self, output: str, closest: Mapping[Picture, float]) -> None:
        """Draw the pictures that come closest to their bounds, at least eight in all.

        Args:
            output: 'ws' or 'img'.
            closest: how close each picture of the proof comes; at 1 it misses gate 1.
        """
        drawn: list[tuple[np.ndarray, np.ndarray]] = []
        for scene, seed in _choose(closest):
            try:
                exact = self._draw_rows(self._exact, output, scene, seed)
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._note(
                    f"Out of memory while drawing in float64: {len(drawn)} of {PICTURES} pictures "
                    "were drawn."
                )
                break
            self._drawn[output, scene, seed] = exact
            reference = self._draw_rows(self._reference, output, scene, seed)
            if not np.isfinite(exact).all():
                self._note(
                    "The network itself overflows: in float64, PyTorch gives NaN or infinity, too. "
                    "The checkpoint is damaged, or its training had failed."
                )
                break
            if not np.isfinite(reference).all():
                self._note("PyTorch overflows in float32 where float64 does not.")
                break
            drawn.append((exact, reference))
        if drawn:
            exact, reference = (np.stack(arrays) for arrays in zip(*drawn, strict=True))
            self.errors[output] = RoundingError.measure(exact, reference)

    @functools.cached_property
    def _exact(self) -> Reference:
        space = self._reference.style_space
        return Reference(self._checkpoint, torch.float64, style_space=space)

    def _draw_rows(self, reference: Reference, output: str, scene: Scene, seed: int) -> np.ndarray:
        if output == "ws":
            ws: np.ndarray = reference.map_seeds([seed], scene.psi)[0]
            return ws
        # Styles that are given are float32 numbers, to both.
        given = self._reference.mix_seeds([seed])[0] if scene.ws == "own" else None
        return reference.draw(seed, scene, given)

    def _note(self, line: str) -> None:
        if line not in self.notes:
            self.notes += (line,)


def _choose(closest: Mapping[Picture, float]) -> list[Picture]:
    """The eight worst pictures; in a proof of fewer, others of its scenes fill up."""
    chosen = sorted(closest, key=lambda picture: -closest[picture])[:PICTURES]
    scenes = list(dict.fromkeys(scene for scene, _ in closest))
    others = ((scene, seed) for seed in itertools.count() for scene in scenes)
    while len(chosen) < PICTURES:
        if (picture := next(others)) not in chosen:
            chosen.append(picture)
    return chosen


def _is_out_of_memory(error: Exception) -> bool:
    """Whether PyTorch, which has a plain RuntimeError for it, or NumPy found no memory."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "memory" in text or "alloc" in text

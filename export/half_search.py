"""Half precision that is good enough: blocks that cost too much compute in float32, worst first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from stylert.export.checkpoints import Checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.export.graph_session import choose_threads, make_feeds, open_graph
from stylert.export.parity.reference import Reference
from stylert.export.parity.scenes import list_image_scenes
from stylert.runtime.proof.parity import compare

__all__ = ["GOOD_DB", "HalfSearch"]

GOOD_DB = 63.0  # blocks move until this; a graph that reaches the tolerance at once needs no move
SEEDS = range(8)

Progress = Callable[[int, int], None]  # blocks measured, blocks in all


class HalfSearch:
    """Moves blocks of a half-precision graph to float32, those that cost most first.

    From the first step on, blocks in float32 have their weights in float32, too: stored in half, a
    block that was moved would cost nearly as much as before. That alone may be enough.

    Args:
        checkpoint: the generator.
        blocks: those that compute in half precision, and miss the tolerance together.
        graph_options: options of the family's graph.
        progress: called as blocks get measured.

    Attributes:
        moved: PSNR in dB of pictures where the block alone computes in half precision, by the
            blocks that were moved, in their order.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        blocks: Sequence[str],
        graph_options: Mapping[str, Any],
        progress: Progress = lambda done, total: None,
    ) -> None:
        self._checkpoint = checkpoint
        self._options = graph_options
        self._blocks = tuple(blocks)
        self._progress = progress
        reference = Reference(checkpoint)
        scene = list_image_scenes(checkpoint.config)[0]
        self._ws = reference.map_seeds(SEEDS, scene.psi)
        self._expected = reference.draw_seeds(SEEDS, scene)
        self._steps = self._list_steps()
        self.moved: dict[str, float] = {}

    def measure(self, blocks: Sequence[str]) -> float:
        """The PSNR in dB of the worst of a few pictures, against PyTorch in float32.

        -inf where one is not finite.
        """
        options = {"half_blocks": blocks, "compact": False, **self._options}
        graph = build_synthesis_graph(self._checkpoint, **options)
        session = open_graph(graph, threads=choose_threads(self._checkpoint.config.work))
        feeds = (make_feeds(self._checkpoint, ws[None]) for ws in self._ws)
        pictures = np.concatenate([session.run(["img"], feed)[0] for feed in feeds])
        return compare(self._expected, pictures).psnr_db

    def step(self) -> tuple[str, ...]:
        """Move as many blocks as it takes until the others reach `GOOD_DB` on these pictures.

        Returns:
            The blocks that still compute in half precision; in the end, none.
        """
        return next(self._steps, ())

    def _list_steps(self) -> Iterator[tuple[str, ...]]:
        left = list(self._blocks)
        if self.measure(left) >= GOOD_DB:
            yield tuple(left)
        for block in sorted(left, key=lambda block: self._costs[block]):
            left.remove(block)
            self.moved[block] = self._costs[block]
            if left and self.measure(left) >= GOOD_DB:
                yield tuple(left)

    @functools.cached_property
    def _costs(self) -> dict[str, float]:
        """What each block costs: the PSNR in dB where it alone computes in half precision."""
        costs = {}
        for done, block in enumerate(self._blocks):
            self._progress(done, len(self._blocks))
            costs[block] = self.measure((block,))
        self._progress(len(self._blocks), len(self._blocks))
        return costs

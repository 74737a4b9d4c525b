"""A contact sheet: the drawn pictures that are most and least like the data, as features see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stylert.apps.datasets import DatasetJob
from stylert.apps.evaluation.extraction import Features
from stylert.apps.evaluation.moments import Moments
from stylert.apps.evaluation.neighbours import measure_distances
from stylert.runtime.images import make_grid

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["COLUMNS", "draw_sheet", "rank_pictures"]

COLUMNS = 8
ROWS = 2  # of each kind
NEIGHBOUR = 3


def rank_pictures(drawn: np.ndarray, data: Features | Moments) -> np.ndarray:
    """The places of drawn pictures [N], the most typical first.

    Typical is what lies near: the third nearest picture of the data, or the mean of its features
    where only that is known.
    """
    if isinstance(data, Moments):
        distances = np.square(drawn.astype(np.float64) - data.mean).sum(1)
    else:
        k = min(NEIGHBOUR, len(data.rows)) - 1
        distances = np.empty(len(drawn))
        for rows, squares in measure_distances(drawn, data.rows):
            distances[rows] = np.partition(squares, k, axis=1)[:, k]
    return np.argsort(distances, kind="stable")


def draw_sheet(generator: Generator, job: DatasetJob, ranks: np.ndarray) -> np.ndarray:
    """Draw the first two rows of the most typical pictures, and two of the least.

    Args:
        generator: what drew them.
        job: which seeds, and how.
        ranks: see `rank_pictures`.

    Returns:
        [4 H, 8 W, C] uint8, a line of white between the two kinds; of few pictures, fewer columns.
    """
    job = job.for_generator(generator.spec, generator.classes)
    count = min(COLUMNS * ROWS, len(ranks) // 2)
    grids = []
    for places in (ranks[:count], ranks[::-1][:count]):
        images = [job.draw(generator, range(int(p), int(p) + 1)) for p in places]
        grids.append(make_grid(np.concatenate(images), min(COLUMNS, count)))
    line = np.full((4, *grids[0].shape[1:]), 255, np.uint8)
    return np.concatenate([grids[0], line, grids[1]])

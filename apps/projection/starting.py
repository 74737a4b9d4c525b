"""Where a projection starts: at the best of some samples, which is worth more than many steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stylert.runtime import Generator

__all__ = ["count_starts", "find_starts", "halve"]

SMALL = 2**17  # pixels of a picture up to which many samples cost little
SHRUNK = 32  # pixels of the shorter side at which samples are compared


def count_starts(generator: Generator) -> int:
    """How many samples are drawn by default."""
    small = generator.spec.img_height * generator.spec.img_width <= SMALL
    return 600 if small else 100


def find_starts(
    generator: Generator,
    target: np.ndarray,
    mask: np.ndarray,
    *,
    count: int,
    first: int = 0,
    best: int = 1,
    class_idx: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """The w of the samples that come closest to pictures.

    Args:
        generator: the generator.
        target: [N, C, H, W] float32 in [-1, 1].
        mask: [N, 1, H, W], where they matter.
        count: how many samples: seeds from `first` on.
        first: the first seed.
        best: how many of them to give for each picture.
        class_idx: their class, None = in turns.
        progress: called as samples are drawn.

    Returns:
        [N, best, num_ws, w_dim] float32, the closest first.
    """
    seen, weight = _shrink(target * mask), _shrink(mask)  # [N, C, h, w], [N, 1, h, w]
    kept = np.empty((0, generator.spec.num_ws, generator.spec.w_dim), np.float32)
    losses = np.empty((len(target), 0))
    for start in range(0, count, generator.max_batch):
        seeds = [*range(first + start, first + min(start + generator.max_batch, count))]
        options: dict[str, Any] = {}
        if generator.spec.c_dim:
            turns = [seed % generator.spec.c_dim for seed in seeds]
            options["class_idx"] = turns if class_idx is None else [class_idx] * len(seeds)
        ws = generator.styles(seeds, truncation_psi=1, **options)
        img = np.asarray(generator.synthesize(ws, output="img"))
        found = np.stack(
            [
                np.square(_shrink(img * m) - t).sum((1, 2, 3)) / max(w.sum(), 1e-9)
                for t, m, w in zip(seen, mask, weight, strict=True)
            ]
        )  # [N, samples]
        kept = np.concatenate([kept, ws])
        losses = np.concatenate([losses, found], axis=1)
        # Of those drawn so far, the few that are among the best of a picture.
        places = np.argsort(losses, axis=1, kind="stable")[:, :best]
        wanted = np.unique(places)
        kept, losses = kept[wanted], losses[:, wanted]
        progress(start + len(seeds), count)
    places = np.argsort(losses, axis=1, kind="stable")[:, :best]
    chosen: np.ndarray = kept[places]
    return chosen


def halve(x: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels of [N, C, H, W]; an odd row or column at the end is left out."""
    N, C, H, W = x.shape
    even = x[:, :, : H // 2 * 2, : W // 2 * 2]
    halved: np.ndarray = even.reshape(N, C, H // 2, 2, W // 2, 2).mean((3, 5))
    return halved


def _shrink(x: np.ndarray) -> np.ndarray:
    while min(x.shape[2:]) >= 2 * SHRUNK:
        x = halve(x)
    return x

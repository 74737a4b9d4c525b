"""Where a projection starts: at the best of some samples, which is worth more than many steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stylert.apps.projection.latent_statistics import measure_latents
from stylert.apps.projection.task import to_start
from stylert.runtime import Generator
from stylert.runtime.arguments import check_integer

__all__ = ["choose_start", "count_starts", "find_starts", "halve"]

SMALL = 2**17  # pixels of a picture up to which many samples cost little
SHRUNK = 32  # pixels of the shorter side at which samples are compared


def count_starts(generator: Generator, asked: int | None, *, least: int) -> int:
    """How many samples are drawn: as many as are asked for, None = what costs little.

    Raises:
        InvalidInput: fewer than the least.
    """
    if asked is not None:
        check_integer("seeds_start", asked, least)
        return asked
    small = generator.spec.img_height * generator.spec.img_width <= SMALL
    return 600 if small else 100


def choose_start(
    generator: Generator,
    target: np.ndarray,
    mask: np.ndarray,
    *,
    start: np.ndarray | None,
    seeds_start: int | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """The ws to start from: those that are given, those of the best samples, or the mean.

    Args:
        generator: the generator.
        target: [N, C, H, W] float32 in [-1, 1].
        mask: [N, 1, H, W], where they matter.
        start: ws [N, num_ws, w_dim] that are given; None = none.
        seeds_start: how many samples, see `count_starts`; 0 = the mean w instead.
        progress: called as samples are drawn.

    Returns:
        [N, num_ws, w_dim] float32.

    Raises:
        InvalidInput: a shape or a value that does not fit.
    """
    count = count_starts(generator, seeds_start, least=0)
    if start is not None:
        return to_start(start, len(target), generator)
    if not count:
        shape = (len(target), generator.spec.num_ws, generator.spec.w_dim)
        return np.broadcast_to(measure_latents(generator).mean, shape)
    hidden = np.where(mask > 0, target, 0)
    return find_starts(generator, hidden, mask, count=count, progress=progress)[:, 0]


def find_starts(
    generator: Generator,
    target: np.ndarray,
    mask: np.ndarray,
    *,
    count: int,
    best: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """The w of the samples that come closest to pictures.

    Args:
        generator: the generator.
        target: [N, C, H, W] float32 in [-1, 1].
        mask: [N, 1, H, W], where they matter.
        count: how many samples, from seed 0 on, of all classes in turns.
        best: how many of them to give for each picture.
        progress: called as samples are drawn.

    Returns:
        [N, best, num_ws, w_dim] float32, the closest first.
    """
    seen, weight = _shrink(target * mask), _shrink(mask)  # [N, C, h, w], [N, 1, h, w]
    kept = np.empty((0, generator.spec.num_ws, generator.spec.w_dim), np.float32)
    losses = np.empty((len(target), 0))
    for start in range(0, count, generator.max_batch):
        seeds = [*range(start, min(start + generator.max_batch, count))]
        options: dict[str, Any] = {}
        if generator.spec.c_dim:
            options["class_idx"] = [seed % generator.spec.c_dim for seed in seeds]
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

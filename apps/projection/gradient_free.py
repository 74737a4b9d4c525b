"""Projection without gradients: CMA-ES over the principal axes of w, for engines that have none.

It takes thousands of pictures where gradients take a hundred steps, and ends further away.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stylert.apps.projection.projector import ProjectionStep
from stylert.apps.projection.starting import choose_start
from stylert.apps.projection.task import to_img, to_mask
from stylert.runtime import Generator
from stylert.runtime.arguments import check_integer
from stylert.runtime.packages import import_extra

__all__ = ["project_without_gradient"]

AXES = 24  # of w; more take longer to learn than they give
WIDTH = 0.5  # of the first search, in deviations


def project_without_gradient(
    generator: Generator,
    images: np.ndarray,
    *,
    steps: int = 100,
    seeds_start: int | None = None,
    start: np.ndarray | None = None,
    seed: int = 0,
) -> Iterator[ProjectionStep]:
    """Find styles that draw pictures, one w for all layers, by drawing alone.

    Args:
        generator: any.
        images: [N, H, W, C] uint8.
        steps: generations of each search; each draws some 13 pictures for each image.
        seeds_start: samples among which to look for a start, None = 600, of large pictures 100;
            0 = the mean w instead.
        start: ws [N, num_ws, w_dim] instead.
        seed: of the search.

    Returns:
        The steps, as of `project`.

    Raises:
        MissingExtra: cmaes is not installed.
        InvalidInput: a shape that does not fit.
        EngineError: the backend failed.
    """
    cmaes = import_extra("cmaes", "cmaes", extra="cma")
    target = to_img(images, generator)
    N = len(target)
    everywhere = to_mask(None, N, generator)
    check_integer("steps", steps, 1)
    axes = min(AXES, generator.spec.w_dim)
    components = generator.pca(2000, k=axes)
    frame = components.components * components.stddev[:, None]  # [axes, w_dim]
    from_here = choose_start(generator, target, everywhere, start=start, seeds_start=seeds_start)
    searches = [
        cmaes.CMA(mean=np.zeros(axes), sigma=WIDTH, seed=(seed + 1) % 2**31) for _ in range(N)
    ]
    best_loss, best_ws = np.full(N, np.inf), np.array(from_here)
    best_img = np.zeros_like(target)

    def search() -> Iterator[ProjectionStep]:
        for number in range(1, steps + 1):
            loss = np.empty(N)
            for i, one in enumerate(searches):
                tried = [one.ask() for _ in range(one.population_size)]
                ws = from_here[i] + (np.stack(tried) @ frame).astype(np.float32)[:, None]
                img = np.asarray(generator.synthesize(ws, output="img"))
                losses = np.square(img - target[i]).mean((1, 2, 3))
                one.tell([(x, float(value)) for x, value in zip(tried, losses, strict=True)])
                loss[i] = losses.min()
                if loss[i] < best_loss[i]:
                    place = int(losses.argmin())
                    best_loss[i], best_ws[i], best_img[i] = loss[i], ws[place], img[place]
            psnr, best = (10 * np.log10(4 / np.maximum(x, 1e-12)) for x in (loss, best_loss))
            yield ProjectionStep(
                number, steps, loss, psnr, None, best_img.copy(), best_ws.copy(), best, {}
            )

    return search()

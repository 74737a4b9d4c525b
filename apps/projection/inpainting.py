"""Inpainting: what a generator would draw in a hole, so that it fits what is around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stylert.apps.projection.projector import ProjectionStep, Projector
from stylert.apps.projection.settings import ProjectionSettings
from stylert.apps.projection.starting import count_starts, find_starts
from stylert.apps.projection.task import to_img, to_mask
from stylert.runtime import Generator, InvalidInput
from stylert.runtime.arguments import check_integer
from stylert.runtime.images import to_uint8

__all__ = ["SETTINGS", "Filling", "Inpainting", "composite", "feather", "inpaint"]

# One w for all layers fills a hole as a picture of the network's; at last the layers may part a
# little, so that the rim fits.
SETTINGS = ProjectionSettings(space="w+", steps=200, optimizer="adam", release=0.7, spread=0.02)
MAX_VARIANTS = 64


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Inpainting:
    """Proposals for a hole, the one that fits best first.

    Attributes:
        images: [V, H, W, C] uint8: the photo, with the hole filled.
        ws: [V, num_ws, w_dim] float32, the styles that fill it.
        psnr: of what was drawn around the hole, in dB, [V].
    """

    images: np.ndarray
    ws: np.ndarray
    psnr: np.ndarray


class Filling:
    """A hole on its way to be filled: what its steps are, and what one of them fills it with.

    The arguments are those of `inpaint`; `progress` is called while it looks for a start.

    Raises:
        InvalidInput, EngineError: see `inpaint`.
    """

    def __init__(
        self,
        generator: Generator,
        image: np.ndarray,
        mask: np.ndarray,
        *,
        variants: int = 1,
        seeds_start: int | None = None,
        feather_by: float | None = None,
        settings: ProjectionSettings = SETTINGS,
        progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    ) -> None:
        check_integer("variants", variants, 1, MAX_VARIANTS)
        count = count_starts(generator, seeds_start, least=variants)
        generator.count_scales()  # refuses a bundle without gradient
        target = to_img(image[None], generator)
        mask = to_mask(mask, 1, generator)
        if not (mask > 0).any():
            raise InvalidInput("mask: got no pixel that is seen, expected some: 1 is seen.")
        hidden = np.where(mask > 0, target, 0).astype(np.float32)
        starts = find_starts(
            generator,
            hidden,
            mask,
            count=count,
            best=variants,
            progress=lambda done, total: progress("looking for a start", done, total),
        )[0]
        self._generator = generator
        self._image = image
        self._mask = mask
        self._feather_by = feather_by
        self._projector = Projector(
            generator,
            np.repeat(hidden, variants, axis=0),
            starts,
            mask=mask,
            settings=settings,
        )

    def __iter__(self) -> Iterator[ProjectionStep]:
        """Take the steps."""
        return iter(self._projector)

    def fill(self, step: ProjectionStep) -> Inpainting:
        """What the best styles up to a step fill the hole with."""
        drawn = np.asarray(self._generator.synthesize(step.best_ws, output="img"))
        order = np.argsort(-step.best_psnr, kind="stable")
        by, shorter = self._feather_by, min(self._image.shape[:2])
        share = feather(self._mask, max(1.0, shorter / 64) if by is None else by)
        images = composite(self._image, to_uint8(drawn), self._mask, share)
        return Inpainting(images[order], step.best_ws[order], step.best_psnr[order])


def inpaint(
    generator: Generator,
    image: np.ndarray,
    mask: np.ndarray,
    *,
    variants: int = 1,
    seeds_start: int | None = None,
    feather_by: float | None = None,
    settings: ProjectionSettings = SETTINGS,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Inpainting:
    """Fill a hole in a photo. What is in the hole is never read.

    Args:
        generator: with a gradient in its bundle (`stylert gradient`).
        image: [H, W, C] uint8.
        mask: [1, 1, H, W] floats of 0 and 1: 1 is seen, 0 is to be filled.
        variants: how many proposals; each starts at another sample.
        seeds_start: samples among which to look for starts, None = 600, of large pictures 100.
        feather_by: pixels over which the filling fades into the photo, inside of the hole; None =
            a 64th of the shorter side.
        settings: how it goes.
        progress: called as the work goes on.

    Raises:
        InvalidInput: a shape or a value that does not fit, or a bundle without gradient.
        EngineError: the loss is no number, or the backend failed.
    """
    filling = Filling(
        generator,
        image,
        mask,
        variants=variants,
        seeds_start=seeds_start,
        feather_by=feather_by,
        settings=settings,
        progress=progress,
    )
    for last in filling:
        progress("filling the hole", last.number, last.steps)
    return filling.fill(last)


def feather(mask: np.ndarray, pixels: float) -> np.ndarray:
    """How much of the filling is shown, [H, W] float32: 0 outside of the hole, 1 deep in it.

    Args:
        mask: [1, 1, H, W], 1 is seen.
        pixels: from the rim on until it is 1; 0 = at once.
    """
    inside = mask[0, 0] <= 0
    depth = np.zeros(inside.shape, np.float32)
    left = inside
    for _ in range(int(np.ceil(pixels))):
        depth += left
        padded = np.pad(left, 1, constant_values=True)
        # A pixel is deeper where all of its neighbours are in the hole, too.
        near = [padded[1:-1, 1:-1], padded[:-2, 1:-1], padded[2:, 1:-1]]
        left = np.logical_and.reduce([*near, padded[1:-1, :-2], padded[1:-1, 2:]])
    if pixels <= 0:
        return np.asarray(inside, np.float32)
    share: np.ndarray = np.where(left, 1.0, depth / (pixels + 1)).astype(np.float32)
    return share


def composite(
    image: np.ndarray, drawn: np.ndarray, mask: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """The photo with what was drawn in its hole.

    At the rim, what was drawn fades into the photo's nearest pixels outside, not into the hole's.

    Args:
        image: [H, W, C] uint8.
        drawn: [V, H, W, C] uint8.
        mask: [1, 1, H, W], 1 is seen.
        share: [H, W], see `feather`.

    Returns:
        [V, H, W, C] uint8; outside of the hole it is the photo to the bit.
    """
    seen = mask[0, 0] > 0
    around = _spread(np.where(seen[:, :, None], image, 0).astype(np.float32), seen)
    weight = share[None, :, :, None]
    mixed = weight * drawn + (1 - weight) * around
    filled = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
    result: np.ndarray = np.where(seen[None, :, :, None], image[None], filled)
    return result


def _spread(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A picture whose unknown pixels are means of their known neighbours, ring by ring."""
    image, known = image.copy(), known.copy()
    while not known.all():
        padded = np.pad(image * known[:, :, None], ((1, 1), (1, 1), (0, 0)))
        counted = np.pad(known.astype(np.float32), 1)
        H, W = known.shape
        places = [(i, j) for i in range(3) for j in range(3)]
        total = np.asarray(sum(padded[i : i + H, j : j + W] for i, j in places))
        count = np.asarray(sum(counted[i : i + H, j : j + W] for i, j in places))
        ring = ~known & (count > 0)
        image[ring] = total[ring] / count[ring][:, None]
        known = known | ring
    return image

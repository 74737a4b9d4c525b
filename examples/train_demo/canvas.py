"""Painting many small pictures at once: signed distances, edges with antialiasing, soft shading.

A distance is [N, H, W], negative inside; a point is a pair (x, y) of such arrays, with x to the
right and y downwards, the picture's middle at 0 and its edges at -1 and 1. What varies from picture
to picture is [N, 1, 1] ("Each"). The formulas are those of plane geometry.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "Canvas",
    "Point",
    "box",
    "circle",
    "convex",
    "ellipse",
    "line",
    "moved",
    "rainbow",
]

Array = NDArray[np.floating[Any]]
Point = tuple[Array, Array]
Each = Array | float


class Canvas:
    """N pictures that are painted over, part by part.

    Args:
        count: how many pictures.
        size: height and width in pixels.
        top: colour of the first row [N, 3], from 0 to 1.
        bottom: colour of the last row.
    """

    def __init__(self, count: int, size: int, *, top: Array, bottom: Array) -> None:
        line = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
        self.size = size
        self.grid: Point = (
            np.broadcast_to(line[None, None, :], (count, size, size)),
            np.broadcast_to(line[None, :, None], (count, size, size)),
        )
        blend = (line[None, None, :, None] + 1) / 2
        sky = top[:, :, None, None] * (1 - blend) + bottom[:, :, None, None] * blend
        self.rgb = np.repeat(sky.astype(np.float32), size, axis=3)  # [N, 3, H, W]

    def paint(
        self, distance: Array, colour: Array, *, shade: float = 0.0, soft: float = 1.0
    ) -> None:
        """Cover the inside of a shape with a colour.

        Args:
            distance: of the shape [N, H, W].
            colour: [N, 3], or [N, 3, H, W] for a texture.
            shade: how much darker the rim is than the middle, 0 to 1.
            soft: width of the edge in pixels.
        """
        if colour.ndim == 2:
            colour = colour[:, :, None, None]
        if shade:
            depth = np.clip(-distance / 0.25, 0, 1)
            colour = colour * (1 - shade * np.square(1 - depth))[:, None]
        cover = np.clip(0.5 - distance * (self.size / 2 / soft), 0, 1)[:, None]
        self.rgb += cover * (colour - self.rgb)

    def pictures(self) -> NDArray[np.uint8]:
        """What was painted [N, 3, H, W]."""
        return np.rint(np.clip(self.rgb, 0, 1) * 255).astype(np.uint8)


def moved(
    point: Point, *, x: Each = 0.0, y: Each = 0.0, turn: Each = 0.0, scale: Each = 1.0
) -> Point:
    """The point as a shape sees it that is scaled, turned (radians, clockwise), then moved."""
    a, b = point[0] - x, point[1] - y
    cos, sin = np.cos(turn) / scale, np.sin(turn) / scale
    return a * cos + b * sin, b * cos - a * sin


def circle(point: Point, radius: Each) -> Array:
    """A disc around 0."""
    return np.hypot(point[0], point[1]) - radius


def ellipse(point: Point, a: Each, b: Each) -> Array:
    """An ellipse around 0 with the half axes a and b; exact to first order at its edge."""
    x, y = point[0] / a, point[1] / b
    near = np.hypot(x, y)
    slope = np.hypot(x / a, y / b)
    distance: Array = near * (near - 1) / np.maximum(slope, 1e-3)
    return distance


def box(point: Point, a: Each, b: Each, *, rounded: Each = 0.0) -> Array:
    """A rectangle around 0, half as wide as a and as high as b, with rounded corners."""
    x, y = np.abs(point[0]) - a + rounded, np.abs(point[1]) - b + rounded
    outside = np.hypot(np.maximum(x, 0), np.maximum(y, 0))
    return outside + np.minimum(np.maximum(x, y), 0) - rounded


def line(point: Point, end: tuple[Each, Each], width: Each) -> Array:
    """A line with round ends from 0 to `end`, `width` to each side."""
    x, y = end
    along = (point[0] * x + point[1] * y) / (np.square(x) + np.square(y))
    t = np.clip(along, 0, 1)
    distance: Array = np.hypot(point[0] - t * x, point[1] - t * y) - width
    return distance


def convex(point: Point, *corners: tuple[Each, Each]) -> Array:
    """A convex polygon, its corners given clockwise as one sees it."""
    sides = []
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        dx, dy = np.asarray(x1 - x0), np.asarray(y1 - y0)
        length = np.hypot(dx, dy)
        sides.append(((point[0] - x0) * dy - (point[1] - y0) * dx) / length)
    distance: Array = np.maximum.reduce(sides)
    return distance


def rainbow(hue: Array, saturation: Array, value: Array) -> Array:
    """Colours [N, 3] from hue (turns), saturation and value [N], as in HSV."""
    phase = np.mod(hue[:, None] * 6 + np.array([0.0, 4.0, 2.0]), 6)
    pure = np.clip(np.abs(phase - 3) - 1, 0, 1)
    mixed: Array = (value[:, None] * (1 - saturation[:, None] * (1 - pure))).astype(np.float32)
    return mixed

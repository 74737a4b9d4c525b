"""The data set: pictures of six classes, each drawn from numbers between 0 and 1.

The first numbers choose pose and proportions, the others colours, texture and background. All vary
independently, so that a generator can separate them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylert.examples.train_demo.canvas import (
    Array,
    Canvas,
    Point,
    box,
    circle,
    convex,
    ellipse,
    line,
    moved,
    rainbow,
)

__all__ = ["CLASSES", "PAINT", "SHAPE", "TRAITS", "Pictures", "draw", "draw_pictures"]

CLASSES = ("flower", "fish", "butterfly", "mushroom", "house", "cat")
SHAPE = 18  # numbers that choose pose and proportions, of which a class takes what it needs
PAINT = 24  # numbers that choose colours, texture and background
TRAITS = 15
HUE_STEPS = np.array([-0.35, -0.15, 0.15, 0.35, 0.5], np.float32)  # from main to second colour
CHUNK = 64  # pictures that are drawn together: their arrays fit the cache


@dataclass(frozen=True)
class Pictures:
    """Pictures and what they show."""

    images: NDArray[np.uint8]  # [N, 3, H, W]
    labels: NDArray[np.int64]  # [N], indices of CLASSES
    traits: NDArray[np.float32]  # [N, TRAITS], about -1 to 1: pose, main and other colours, pattern


def draw_pictures(count: int, *, seed: int, size: int = 64) -> Pictures:
    """The first `count` pictures of a seed; more of them begin with the same ones.

    Args:
        count: how many.
        seed: of all choices.
        size: height and width in pixels.
    """
    images = np.empty((count, 3, size, size), np.uint8)
    labels = np.empty(count, np.int64)
    traits = np.empty((count, TRAITS), np.float32)
    for start in range(0, count, CHUNK):
        chunk = slice(start, min(start + CHUNK, count))
        kept = chunk.stop - start
        some = _chunk(np.random.default_rng([seed, start]), size)
        images[chunk], labels[chunk] = some.images[:kept], some.labels[:kept]
        traits[chunk] = some.traits[:kept]
    return Pictures(images, labels, traits)


def _chunk(random: np.random.Generator, size: int) -> Pictures:
    labels = random.integers(len(CLASSES), size=CHUNK)
    images = np.empty((CHUNK, 3, size, size), np.uint8)
    traits = np.empty((CHUNK, TRAITS), np.float32)
    for label in range(len(CLASSES)):
        mine = labels == label
        if mine.any():
            count = int(mine.sum())
            shape, paint = random.random((count, SHAPE)), random.random((count, PAINT))
            images[mine], traits[mine] = draw(label, shape, paint, size=size)
    return Pictures(images, labels, traits)


def draw(
    label: int, shape: Array, paint: Array, *, size: int = 64
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw pictures of one class.

    Args:
        label: the class, an index of CLASSES.
        shape: choices of pose and proportions [N, SHAPE], from 0 to 1.
        paint: choices of colours, texture and background [N, PAINT], from 0 to 1.
        size: height and width in pixels.

    Returns:
        The pictures [N, 3, size, size] and their traits [N, TRAITS].
    """
    look = _Look(shape, paint)
    canvas = Canvas(len(shape), size, top=look.sky, bottom=look.ground)
    lean = 0.06 if CLASSES[label] == "house" else 0.15
    x, y = look.each(-0.05, 0.05), look.each(-0.05, 0.05)
    turn, scale = look.each(-lean, lean), look.each(0.92, 1.08)
    point = moved(canvas.grid, x=x, y=y, turn=turn, scale=scale)
    _PAINTERS[label](canvas, point, look)
    pose = [x / 0.05, y / 0.05, turn / 0.15, (scale - 1) / 0.08]
    colours = [2 * colour - 1 for colour in (look.main, look.accent, look.sky)]
    patterns = [look.pattern[:, None] == kind for kind in (1, 2)]
    traits = np.concatenate([*(each[:, :, 0] for each in pose), *colours, *patterns], axis=1)
    return canvas.pictures(), traits.astype(np.float32)


class _Look:
    """What the numbers of N pictures choose: colours, texture, and what a painter asks for."""

    def __init__(self, shape: Array, paint: Array) -> None:
        self._shape = iter(shape.T.astype(np.float32))
        self._paint = iter(paint.T.astype(np.float32))
        hue, step = self._of(0, 1), HUE_STEPS[self._one_of(len(HUE_STEPS))]
        self.main = rainbow(hue, self._of(0.55, 0.9), self._of(0.75, 1))
        self.accent = rainbow(hue + step, self._of(0.4, 0.85), self._of(0.75, 1))
        behind = self._of(0, 1)
        bright = np.where(self._of(0, 1) < 0.3, self._of(0.25, 0.4), self._of(0.8, 1))
        self.sky = rainbow(behind, self._of(0.1, 0.35), bright)
        self.ground = rainbow(behind + self._of(-0.1, 0.1), self._of(0.15, 0.4), bright * 0.9)
        self.dark = rainbow(hue + 0.5, self._of(0.2, 0.5), self._of(0.12, 0.25))
        self.pale = rainbow(hue, self._of(0.03, 0.15), self._of(0.92, 1))
        self.leaf = rainbow(self._of(0.25, 0.42), self._of(0.5, 0.8), self._of(0.5, 0.75))
        self.pattern = self._one_of(3)  # plain, stripes, dots
        self._wave = self._of(12, 14)[:, None, None]
        self._slant = self._of(-0.1, 0.1)[:, None, None]
        self._contrast = self._of(0.6, 0.9)[:, None, None]

    def _of(self, low: float, high: float) -> Array:
        """A number for each picture [N], by the next choice of paint."""
        mixed: Array = low + (high - low) * next(self._paint)
        return mixed

    def _one_of(self, count: int) -> NDArray[np.int64]:
        """One of so many for each picture [N], by the next choice of paint."""
        return np.minimum(next(self._paint) * count, count - 1).astype(np.int64)

    def each(self, low: float, high: float) -> Array:
        """A number for each picture [N, 1, 1], by the next choice of shape."""
        mixed: Array = low + (high - low) * next(self._shape)
        return mixed[:, None, None]

    def textured(self, point: Point, colour: Array, other: Array) -> Array:
        """The colour [N, 3, H, W] with this picture's pattern in the other one."""
        x, y = moved(point, turn=self._slant)
        stripes = np.clip(np.sin(x * self._wave) * 2, 0, 1)
        dots = np.clip(np.sin(x * self._wave) * np.sin(y * self._wave) * 4 - 1, 0, 1)
        kind = self.pattern[:, None, None]
        amount = np.where(kind == 1, stripes, np.where(kind == 2, dots, 0)).astype(np.float32)
        share = (amount * self._contrast)[:, None]
        mixed: Array = colour[:, :, None, None] * (1 - share) + other[:, :, None, None] * share
        return mixed


def _flower(canvas: Canvas, point: Point, look: _Look) -> None:
    head = look.each(-0.28, -0.2)
    bend = look.each(-0.08, 0.08)
    stem = moved(point, y=head)
    canvas.paint(line(stem, (bend, 1.15), 0.05), look.leaf)
    for side, low in ((1, look.each(0.5, 0.6)), (-1, look.each(0.6, 0.75))):
        leaf = moved(point, x=side * 0.24, y=low, turn=-side * look.each(0.4, 0.6))
        canvas.paint(ellipse(leaf, 0.24, 0.1), look.leaf * np.float32(0.85), shade=0.3)
    count = np.rint(look.each(4.6, 8.4))
    centre = look.each(0.14, 0.2)
    angle = np.arctan2(stem[1], stem[0]) + look.each(-0.1, 0.1)
    sector = 2 * np.float32(np.pi) / count
    folded = np.mod(angle, sector) - sector / 2
    away = np.hypot(*stem)
    length = look.each(0.2, 0.27)
    petal = (away * np.cos(folded) - centre - length * 0.7, away * np.sin(folded))
    wide = np.minimum((centre + length) * np.sin(sector / 2) * 1.05, 0.2)
    canvas.paint(
        ellipse(petal, length, wide), look.textured(point, look.main, look.pale), shade=0.35
    )
    canvas.paint(circle(stem, centre), look.accent, shade=0.4)


def _fish(canvas: Canvas, point: Point, look: _Look) -> None:
    long, high = look.each(0.45, 0.58), look.each(0.24, 0.38)
    tail = look.each(0.2, 0.34)
    back = convex(point, (-long - 0.18, 0.0), (-long - 0.3, -tail), (-long + 0.12, 0.0))
    front = convex(point, (-long - 0.3, tail), (-long - 0.18, 0.0), (-long + 0.12, 0.0))
    canvas.paint(np.minimum(back, front), look.accent, shade=0.2)
    peak = high + look.each(0.1, 0.24)
    fin = convex(point, (-0.25, -high * 0.6), (-0.15, -peak), (0.22, -high * 0.7))
    belly = convex(point, (-0.05, high * 0.7), (0.12, high * 0.7), (-0.12, peak * 0.95))
    canvas.paint(np.minimum(fin, belly), look.accent, shade=0.2)
    canvas.paint(
        ellipse(point, long, high), look.textured(point, look.main, look.accent), shade=0.4
    )
    eye = moved(point, x=long * 0.58, y=-high * 0.25)
    canvas.paint(circle(eye, 0.1), look.pale)
    canvas.paint(circle(moved(eye, x=0.02), 0.055), look.dark)


def _butterfly(canvas: Canvas, point: Point, look: _Look) -> None:
    half = (np.abs(point[0]), point[1])
    slope = look.each(0.4, 0.9)
    upper = moved(half, x=look.each(0.34, 0.4), y=-0.26, turn=-slope)
    lower = moved(half, x=look.each(0.26, 0.32), y=look.each(0.24, 0.32), turn=slope)
    upper_long, upper_wide = look.each(0.36, 0.44), look.each(0.2, 0.28)
    wings = look.textured(point, look.main, look.dark)
    lower_size = look.each(0.22, 0.3)
    canvas.paint(ellipse(lower, lower_size, lower_size * 0.75), look.accent, shade=0.35)
    canvas.paint(ellipse(upper, upper_long, upper_wide), wings, shade=0.35)
    spot = look.each(0.07, 0.12)
    canvas.paint(circle(moved(upper, x=0.1), spot), look.pale)
    canvas.paint(circle(lower, spot * 0.8), look.main)
    feeler = moved(half, x=0.02, y=-0.3)
    canvas.paint(line(feeler, (look.each(0.1, 0.22), -0.3), 0.02), look.dark)
    canvas.paint(ellipse(moved(point, y=0.02), 0.07, look.each(0.36, 0.44)), look.dark)


def _mushroom(canvas: Canvas, point: Point, look: _Look) -> None:
    wide = look.each(0.13, 0.24)
    foot = moved(point, y=0.38)
    canvas.paint(box(foot, wide, 0.46, rounded=0.12), look.pale, shade=0.3)
    rim = look.each(0.0, 0.12)
    cap = moved(point, y=rim)
    across, high = look.each(0.5, 0.72), look.each(0.5, 0.72)
    dome = np.maximum(ellipse(cap, across, high), ellipse(moved(cap, y=-0.5), 1.4, 0.6))
    canvas.paint(dome, look.main, shade=0.4)
    for x, y, low, top in (
        (0.0, -0.3, 0.1, 0.15),
        (-0.34, -0.13, 0.07, 0.11),
        (0.34, -0.15, 0.06, 0.1),
    ):
        spot = circle(
            moved(cap, x=x + look.each(-0.06, 0.06), y=y + look.each(-0.04, 0.04)),
            look.each(low, top),
        )
        canvas.paint(np.maximum(spot, dome), look.pale)


def _house(canvas: Canvas, point: Point, look: _Look) -> None:
    wide, high = look.each(0.4, 0.56), look.each(0.3, 0.4)
    floor = 0.75
    eaves = floor - 2 * high
    peak = eaves - look.each(0.35, 0.6)
    stack = moved(point, x=wide * 0.55, y=(peak + eaves) / 2)
    canvas.paint(box(stack, 0.08, look.each(0.24, 0.32)), look.dark)
    wall = moved(point, y=floor - high)
    canvas.paint(box(wall, wide, high), look.textured(point, look.pale, look.accent), shade=0.15)
    over = wide + look.each(0.08, 0.16)
    canvas.paint(convex(point, (-over, eaves), (0.0, peak), (over, eaves)), look.main, shade=0.3)
    door = moved(point, x=-wide * 0.4, y=floor - high * 0.65)
    canvas.paint(box(door, 0.11, high * 0.65), look.dark)
    pane = look.each(0.1, 0.14)
    window = moved(point, x=wide * 0.42, y=floor - high * 1.1)
    canvas.paint(box(window, pane + 0.03, pane + 0.03), look.dark)
    canvas.paint(box(window, pane, pane), look.accent * np.float32(0.5) + np.float32(0.5))


def _cat(canvas: Canvas, point: Point, look: _Look) -> None:
    half = (np.abs(point[0]), point[1])
    wide, high = look.each(0.5, 0.64), look.each(0.42, 0.54)
    tip = -0.5 - look.each(0.2, 0.32)
    ear = convex(half, (wide * 0.15, -0.3), (wide * 0.85, tip), (wide, 0.0))
    inner = convex(half, (wide * 0.38, -0.32), (wide * 0.8, tip + 0.14), (wide * 0.85, -0.15))
    canvas.paint(ear, look.main, shade=0.2)
    canvas.paint(inner, look.pale * np.array([1.0, 0.72, 0.75], np.float32))
    face = moved(point, y=0.12)
    fur = look.textured(point, look.main, look.main * np.float32(0.62))
    canvas.paint(ellipse(face, wide, high), fur, shade=0.3)
    apart, size = wide * look.each(0.38, 0.48), look.each(0.11, 0.16)
    eye = moved(half, x=apart, y=0.0)
    canvas.paint(
        ellipse(eye, size, size * look.each(0.75, 1.05)),
        look.accent * np.float32(0.4) + np.float32(0.6),
    )
    canvas.paint(ellipse(eye, size * look.each(0.3, 0.55), size * 0.8), look.dark)
    canvas.paint(ellipse(moved(half, x=0.1, y=0.36), 0.15, 0.12), look.pale, shade=0.1)
    nose = convex(moved(point, y=0.25), (-0.09, 0.0), (0.09, 0.0), (0.0, 0.11))
    canvas.paint(nose, look.dark)
    for slope in (-0.06, 0.07):
        whisker = line(moved(half, x=0.26, y=0.36), (0.5, slope), 0.012)
        canvas.paint(whisker, look.pale)


_PAINTERS: tuple[Callable[[Canvas, Point, _Look], None], ...] = (
    _flower,
    _fish,
    _butterfly,
    _mushroom,
    _house,
    _cat,
)

"""What can be said of a picture of the drawing program: class, colours, pattern, light, place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylert.examples.train_demo.dataset import CLASSES

__all__ = ["COLOURS", "NOTHING", "VALUES", "find_attributes", "find_hues", "name_hues"]

# Names of hues, and the turns at which they are purest.
COLOURS = {
    "red": 0.0,
    "orange": 0.08,
    "yellow": 0.15,
    "lime": 0.23,
    "green": 0.34,
    "turquoise": 0.45,
    "cyan": 0.53,
    "blue": 0.64,
    "purple": 0.76,
    "pink": 0.88,
}
# Every attribute and its values, in the order of the columns of `find_attributes`.
VALUES: dict[str, tuple[str, ...]] = {
    "class": CLASSES,
    "colour": tuple(COLOURS),
    "second colour": tuple(COLOURS),
    "pattern": ("plain", "striped", "spotted"),
    "background": tuple(COLOURS),
    "light": ("dark", "light"),
    "side": ("left", "right"),
    "height": ("top", "bottom"),
    "lean": ("left", "right"),
}
NOTHING = -1  # where an attribute has no value that one would tell
CLEAR = 0.5  # of the widest move or turn: from there on one would tell it
DARK = 0.5  # of a background's brightest channel


def find_attributes(labels: NDArray[np.int64], traits: NDArray[np.float32]) -> NDArray[np.int64]:
    """The values of each attribute, as indices of VALUES.

    Args:
        labels: classes [N].
        traits: of the drawing program [N, TRAITS].

    Returns:
        [N, len(VALUES)], NOTHING where there is nothing to tell.
    """
    x, y, turn = traits[:, 0], traits[:, 1], traits[:, 2]
    main, accent, sky = traits[:, 4:7], traits[:, 7:10], traits[:, 10:13]
    pattern = (traits[:, 13] + 2 * traits[:, 14]).astype(np.int64)
    plain = labels == CLASSES.index("mushroom")  # which has neither pattern nor second colour
    columns = [
        labels,
        name_hues(find_hues(main)),
        np.where(plain, NOTHING, name_hues(find_hues(accent))),
        np.where(plain, NOTHING, pattern),
        name_hues(find_hues(sky)),
        ((sky.max(1) + 1) / 2 > DARK).astype(np.int64),
        *(_tell_side(value) for value in (x, y, turn)),
    ]
    return np.stack(columns, axis=1)


def name_hues(hues: NDArray[np.floating]) -> NDArray[np.int64]:
    """The nearest of COLOURS, as indices, of hues in turns."""
    away = np.abs(hues[:, None] - np.array([*COLOURS.values()]))
    return np.minimum(away, 1 - away).argmin(1)


def find_hues(rgb: NDArray[np.floating]) -> NDArray[np.float64]:
    """The hues [N] of HSV, in turns from 0 to 1, of colours [N, 3] of any linear range."""
    colours = rgb.astype(np.float64)
    r, g, b = colours.T
    span = np.maximum(np.ptp(colours, axis=1), 1e-9)
    sixths = np.choose(
        colours.argmax(1), [np.mod((g - b) / span, 6), (b - r) / span + 2, (r - g) / span + 4]
    )
    turns: NDArray[np.float64] = sixths / 6
    return turns


def _tell_side(value: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.where(np.abs(value) < CLEAR, NOTHING, (value > 0).astype(np.int64))

"""How a CLIP sees pictures: the shorter side resized, the middle cut out, colours normalised.

It is one matrix for the rows and one for the columns, so a gradient goes back the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stylert.apps.projection.resampling import fold_channels, make_resampling
from stylert.runtime.errors import InvalidInput

__all__ = ["DEVIATION", "MEAN", "Preprocessing", "read_preprocessing"]

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the pictures that CLIP was trained on
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
SIZE = 224


@dataclass(frozen=True)
class Preprocessing:
    """How pictures are brought to an image tower.

    Attributes:
        size: of the square that the tower sees, S.
        shorter: pixels to which the shorter side is resized before the middle is cut out.
        mean: of the channels, of pixels of 0 to 1.
        deviation: of the channels.
    """

    size: int
    shorter: int
    mean: tuple[float, ...] = MEAN
    deviation: tuple[float, ...] = DEVIATION
    _ways: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def prepare(self, img: np.ndarray) -> np.ndarray:
        """Pictures as the tower takes them.

        Args:
            img: [N, C, H, W] float32 in [-1, 1], C is 1, 3 or 4.

        Returns:
            [N, 3, S, S] float32.
        """
        rows, columns = self._find_ways(*img.shape[2:])
        colours = np.clip(img[:, :3], -1, 1) * 0.5 + 0.5
        seen = rows @ colours @ columns.T  # [N, C, S, S]
        return np.asarray((seen - self._column(self.mean)) / self._column(self.deviation))

    def pull_back(self, gradient: np.ndarray, img: np.ndarray) -> np.ndarray:
        """The gradient by img [N, C, H, W] of one by what the tower takes, [N, 3, S, S]."""
        rows, columns = self._find_ways(*img.shape[2:])
        pulled = rows.T @ (gradient / self._column(self.deviation) * np.float32(0.5)) @ columns
        return fold_channels(pulled, img.shape[1])

    def _find_ways(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The matrices [S, H] and [S, W] of rows and columns."""
        if (height, width) not in self._ways:
            scale = self.shorter / min(height, width)
            self._ways[height, width] = (
                _make_way(height, round(height * scale), self.size),
                _make_way(width, round(width * scale), self.size),
            )
        return self._ways[height, width]

    @staticmethod
    def _column(values: tuple[float, ...]) -> np.ndarray:
        return np.array(values, np.float32)[:, None, None]


def read_preprocessing(configs: Mapping[str, Mapping[str, Any]], size: int | None) -> Preprocessing:
    """What the files of a folder say of it; CLIP's values where they are silent.

    Args:
        configs: what config.json and preprocessor_config.json hold, by their names.
        size: of the tower's input, None = any.

    Raises:
        InvalidInput: values that no picture can be brought to.
    """
    config = configs.get("config.json", {})
    wishes = configs.get("preprocessor_config.json", {})
    told = _read_size(wishes.get("crop_size")) or _read_size(config.get("image_size"))
    of_sides = _read_size(wishes.get("size"))
    size = size or told or of_sides or SIZE
    if told is not None and told != size:
        raise InvalidInput(
            f"clip: got files that tell pictures of {told} pixels, but the image network takes "
            f"{size}."
        )
    colours = []
    for name, usual in (("mean", MEAN), ("std", DEVIATION)):
        values = wishes.get(f"image_{name}", usual) if wishes.get("do_normalize", True) else None
        if values is None:
            values = (0.0, 0.0, 0.0) if name == "mean" else (1.0, 1.0, 1.0)
        colours.append(_check_colours(f"image_{name}", values, 0 if name == "mean" else 1e-6))
    return Preprocessing(size, max(size, of_sides or size), colours[0], colours[1])


def _read_size(value: Any) -> int | None:
    """A size that is told as a number, or by the names of sides."""
    if isinstance(value, Mapping):
        value = value.get("shortest_edge", value.get("height"))
    return value if isinstance(value, int) and 0 < value < 2**14 else None


def _check_colours(name: str, values: Any, least: float) -> tuple[float, ...]:
    numbers = isinstance(values, (list, tuple)) and len(values) == 3
    if not (numbers and all(isinstance(v, (int, float)) and least <= v <= 1 for v in values)):
        raise InvalidInput(f"clip: got the {name} {values!r}, expected three of 0 to 1.")
    return tuple(map(float, values))


def _make_way(length: int, resized: int, size: int) -> np.ndarray:
    """The matrix [size, length] that resizes a line of pixels, bicubic, and keeps its middle."""
    first = (resized - size) // 2
    return make_resampling("bicubic", length, resized)[first : first + size]

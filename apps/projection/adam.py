"""Adam (Kingma and Ba 2015) on NumPy arrays, with a rate for each image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["Adam"]

MEMORY = (0.9, 0.999)  # of the mean and the mean square
TINY = 1e-8


class Adam:
    """The moments of the gradients of one parameter, [N, ...] float32.

    Attributes:
        mean: of the gradients.
        square: of their squares.
        count: of the steps.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean: np.ndarray = np.zeros(shape, np.float32)
        self.square: np.ndarray = np.zeros(shape, np.float32)
        self.count = 0

    def find_step(self, gradient: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """What to add to the parameter.

        Args:
            gradient: [N, ...].
            rates: [N].
        """
        self.count += 1
        of_mean, of_square = MEMORY
        self.mean = of_mean * self.mean + (1 - of_mean) * gradient
        self.square = of_square * self.square + (1 - of_square) * gradient**2
        mean = self.mean / (1 - of_mean**self.count)
        square = self.square / (1 - of_square**self.count)
        step = mean / (np.sqrt(square) + TINY)
        found: np.ndarray = (-step * rates.reshape(-1, *[1] * (step.ndim - 1))).astype(np.float32)
        return found

    def save(self, name: str) -> dict[str, np.ndarray]:
        """All of it as arrays, whose names start with a name."""
        parts = {"mean": self.mean, "square": self.square, "count": np.array(self.count)}
        return {f"{name}/{part}": array for part, array in parts.items()}

    @classmethod
    def read(cls, name: str, arrays: Mapping[str, np.ndarray]) -> Adam:
        """What `save` gave.

        Raises:
            KeyError: it is not there.
        """
        adam = cls(arrays[f"{name}/mean"].shape)
        adam.mean = np.array(arrays[f"{name}/mean"])
        adam.square = np.array(arrays[f"{name}/square"])
        adam.count = int(arrays[f"{name}/count"])
        return adam

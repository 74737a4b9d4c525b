"""The noise of the synthesis layers: the checkpoint's own, none, drawn from a seed, or given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stylert.runtime.bundle import TensorSpec
from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import as_float32

__all__ = ["NOISE_MODES", "NoiseSource"]

NOISE_MODES = ("const", "none", "seeded")

# Keeps the noise of a seed apart from the z of the same seed.
_STREAM = 1


class NoiseSource:
    """Makes the noise inputs of a synthesis graph.

    Args:
        inputs: the noise inputs, each [M, 1, h, w]; empty for a network without noise.
        const: the checkpoint's own noise [1, 1, h, w] by input name.
    """

    def __init__(self, inputs: Sequence[TensorSpec], const: Mapping[str, np.ndarray]) -> None:
        self._shapes = {t.name: (int(t.shape[2]), int(t.shape[3])) for t in inputs}
        # Read-only, so that a backend may keep them on its device.
        self._const = {name: _frozen(field) for name, field in const.items()}
        self._none = {
            name: _frozen(np.zeros((1, 1, *shape), np.float32))
            for name, shape in self._shapes.items()
        }

    def const(self) -> dict[str, np.ndarray]:
        """The noise that the checkpoint was trained with: the same for every image."""
        return self._const

    def none(self) -> dict[str, np.ndarray]:
        """No noise."""
        return self._none

    def seeded(self, seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """Normal noise [N, 1, h, w], drawn per image: its seed alone decides an image's noise."""
        fields = {
            name: np.empty((len(seeds), 1, *shape), np.float32)
            for name, shape in self._shapes.items()
        }
        for i, seed in enumerate(seeds):
            generator = np.random.RandomState([seed, _STREAM])
            for name, shape in self._shapes.items():
                fields[name][i, 0] = generator.standard_normal(shape)
        return fields

    def given(self, noise: Mapping[str, Any], batch: int) -> dict[str, np.ndarray]:
        """Check noise that a user passes: all inputs by name, each [1, 1, h, w] or [N, 1, h, w].

        Raises:
            InvalidInput: a name is missing or unknown, or an array has another shape or dtype.
        """
        if not isinstance(noise, Mapping):
            raise InvalidInput(f"noise: got {type(noise).__name__}, expected arrays by input name.")
        if set(noise) != set(self._shapes):
            missing, unknown = set(self._shapes) - set(noise), set(noise) - set(self._shapes)
            wrong = f"{min(missing)} is missing" if missing else f"got {min(map(repr, unknown))}"
            raise InvalidInput(f"noise: {wrong}, expected the keys {sorted(self._shapes)}.")
        arrays = {}
        for name, shape in self._shapes.items():
            array = as_float32(name, noise[name])
            if array.shape not in ((1, 1, *shape), (batch, 1, *shape)):
                raise InvalidInput(
                    f"{name}: got shape {array.shape}, expected {(1, 1, *shape)} or "
                    f"{(batch, 1, *shape)}."
                )
            arrays[name] = array
        return arrays


def _frozen(field: np.ndarray) -> np.ndarray:
    """A read-only copy that owns its data."""
    field = field.copy()
    field.setflags(write=False)
    return field

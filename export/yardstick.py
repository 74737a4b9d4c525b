"""What parity is measured with: the PyTorch reference, drawn one image at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stylert.export.checkpoints import Checkpoint, Config
from stylert.export.families import reference_of
from stylert.export.graphs.emitter import noise_inputs, noise_name
from stylert.runtime.bundle import TensorSpec
from stylert.runtime.latents import z_from_seeds
from stylert.runtime.noise import NOISE_MODES, NoiseSource
from stylert.runtime.transforms import inverse_transforms

__all__ = ["Control", "Yardstick", "controls_of", "labels_of_seeds"]


@dataclass(frozen=True)
class Control:
    """What a picture depends on besides its w."""

    noise_mode: str = "-"
    motion: str = "-"

    def options(self, seeds: Sequence[int]) -> dict[str, Any]:
        """What `Generator.generate` is asked for."""
        if self.motion == "-":
            return {"noise_mode": self.noise_mode}
        return _motions(seeds) if self.motion == "seeded" else {}


def controls_of(config: Config) -> list[Control]:
    """The noise modes; for networks that can be moved, a translation and rotation."""
    if config.has_transform:
        return [Control(motion="none"), Control(motion="seeded")]
    return [Control(noise_mode=mode) for mode in (NOISE_MODES if config.use_noise else ("const",))]


def labels_of_seeds(seeds: Sequence[int], c_dim: int) -> np.ndarray | None:
    """A class for even seeds, halfway between two for odd ones; None if unconditional."""
    if not c_dim:
        return None
    eye = np.eye(c_dim, dtype=np.float32)
    first = eye[[seed % c_dim for seed in seeds]]
    second = eye[[(seed + seed % 2) % c_dim for seed in seeds]]
    return (first + second) / 2


class Yardstick:
    """The reference in one precision.

    Args:
        checkpoint: the generator.
        dtype: of all that it computes.
    """

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype
        self._config = checkpoint.config
        self._model = reference_of(checkpoint).to(dtype=dtype)
        self._layers = {noise_name(layer): layer for layer in checkpoint.noise}
        fields = noise_inputs(checkpoint)
        inputs = [TensorSpec(name, "float32", field.shape) for name, field in fields.items()]
        self._noise = NoiseSource(inputs, fields)

    def ws(self, seeds: Sequence[int], psi: float) -> torch.Tensor:
        """The styles [N, num_ws, w_dim] of seeds."""
        z = self._tensor(z_from_seeds(seeds, self._config.z_dim))
        labels = labels_of_seeds(seeds, self._config.c_dim)
        c = None if labels is None else self._tensor(labels)
        with torch.inference_mode():
            return self._model.mapping(z, c, truncation_psi=psi)

    def image(self, seed: int, psi: float, control: Control) -> np.ndarray:
        """The image [C, H, W] of a seed."""
        with torch.inference_mode():
            images = self._model.synthesis(self.ws([seed], psi), **self._options(seed, control))
        image: np.ndarray = images[0].numpy()
        return image

    def _options(self, seed: int, control: Control) -> dict[str, Any]:
        """What the reference's synthesis is asked for."""
        if control.motion != "-":
            if control.motion == "none":
                return {}
            return {"transform": self._tensor(inverse_transforms(**_motions([seed])))}
        if control.noise_mode != "seeded":
            return {"noise": control.noise_mode}
        fields = self._noise.seeded([seed])
        return {"noise": {self._layers[n]: self._tensor(field) for n, field in fields.items()}}

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._dtype)


def _motions(seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """A translation and a rotation for each seed, in any direction."""
    randoms = [np.random.RandomState([seed, 2]) for seed in seeds]
    return {
        "translate": np.array([random.uniform(-0.3, 0.3, 2) for random in randoms], np.float32),
        "rotate": np.array([random.uniform(-180, 180) for random in randoms], np.float32),
    }

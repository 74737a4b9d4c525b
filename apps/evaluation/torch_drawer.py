"""A bundle's checkpoint drawn by PyTorch: what a deployment is compared with. Needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.apps.datasets import DatasetJob
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import to_uint8

if TYPE_CHECKING:
    from stylert.export.checkpoints import Checkpoint
    from stylert.runtime import Generator

__all__ = ["TorchDrawer"]

DRAWN = ("const", "none")  # noise that the reference draws here


class TorchDrawer:
    """A checkpoint as one of the two ways to draw: a `Drawer`.

    Args:
        checkpoint: of the network.
        generator: of its bundle, which makes the inputs, so that both get the same.
    """

    def __init__(self, checkpoint: Checkpoint, generator: Generator) -> None:
        from stylert.export.families import build_model

        self.name = f"PyTorch, of {checkpoint.source.file}"
        self._sha256 = checkpoint.source.sha256
        self._model = build_model(checkpoint)
        self._has_noise = bool(checkpoint.noise)
        self._generator = generator

    def identity(self, job: DatasetJob) -> dict[str, Any]:
        """What tells its pictures from others."""
        return {"checkpoint": self._sha256, "job": job.settings()}

    def draw(self, job: DatasetJob, places: range) -> np.ndarray:
        """Pictures of a job: uint8 [n, H, W, C].

        Raises:
            InvalidInput: seeded noise, or pictures that are moved.
        """
        import torch

        options: Any = job.make_arguments(places)
        moved = [name for name in ("translate", "rotate", "transform") if name in options]
        noise = options.get("noise_mode", "const")
        if moved or noise not in DRAWN:
            raise InvalidInput(
                f"{moved[0] if moved else 'noise_mode'}: got one with a checkpoint to compare "
                f"with, expected the noise_mode {' or '.join(DRAWN)} and no motion."
            )
        seeds = options.pop("seeds")
        feeds = self._generator.inputs.feed_seeds(seeds, options).rows
        z, psi = (torch.from_numpy(np.array(feeds[name])) for name in ("z", "truncation_psi"))
        c = torch.from_numpy(np.array(feeds["c"])) if "c" in feeds else None
        with torch.inference_mode():
            ws = self._model.mapping(z, c, truncation_psi=psi)
            chosen: Any = {"noise": noise} if self._has_noise else {}
            img = [self._model.synthesis(w[None], **chosen)[0] for w in ws]
        return to_uint8(torch.stack(img).numpy())

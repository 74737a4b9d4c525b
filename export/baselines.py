"""What the benchmark compares with: the PyTorch reference, eager and compiled.

The reference modulates the weights of every image and runs one grouped convolution, the
formulation of the official code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stylert.export.checkpoints import read_checkpoint
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.runtime.bench.candidates import TRUNCATION_PSI
from stylert.runtime.latents import labels_of, z_from_seeds

__all__ = ["open_compiled", "open_eager"]


class TorchCandidate:
    """A StyleGAN2 reference that draws from z, as its users run it: float32, inference mode."""

    def __init__(
        self, checkpoint: str, network: str | None, device: str, *, compiled: bool
    ) -> None:
        self.model = StyleGAN2.from_checkpoint(read_checkpoint(checkpoint, network=network))
        self.model = self.model.to(device)
        self.device = device
        self.compiled = compiled
        self.draw: Any = torch.compile(self.model) if compiled else self.model

    def prepare(self, batch: int) -> None:
        """Make the inputs of seeds 0 .. batch-1; a compiled model compiles for this batch."""
        config = self.model.config
        classes = [seed % config.c_dim for seed in range(batch)] if config.c_dim else None
        c = labels_of(classes, None, batch=batch, c_dim=config.c_dim)
        z = z_from_seeds(range(batch), config.z_dim)
        self.z = torch.from_numpy(z).to(self.device)
        self.c = None if c is None else torch.from_numpy(c).to(self.device)
        if self.compiled:
            self.run()

    def run(self) -> np.ndarray:
        """Draw the images [N, C, H, W] float32 into host memory."""
        with torch.inference_mode():
            images = self.draw(self.z, self.c, truncation_psi=TRUNCATION_PSI)
        array: np.ndarray = images.cpu().numpy()
        return array

    def describe(self) -> dict[str, Any]:
        """What runs where."""
        return {
            "backend": "torch.compile" if self.compiled else "torch",
            "version": torch.__version__,
            "device": self.device,
            "threads": torch.get_num_threads(),
            "precision": "fp32",
        }

    def close(self) -> None:
        """Let go of the weights."""
        del self.model, self.draw


def open_eager(
    *, checkpoint: str, threads: int, network: str | None = None, device: str = "cpu"
) -> TorchCandidate:
    """The reference in eager PyTorch."""
    torch.set_num_threads(threads)
    return TorchCandidate(checkpoint, network, device, compiled=False)


def open_compiled(
    *, checkpoint: str, threads: int, network: str | None = None, device: str = "cpu"
) -> TorchCandidate:
    """The reference through torch.compile, with its default options."""
    torch.set_num_threads(threads)
    return TorchCandidate(checkpoint, network, device, compiled=True)

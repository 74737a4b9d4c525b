"""The one place where the families meet: which graph and which reference a checkpoint has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from stylert.export.checkpoints import Checkpoint, Config
from stylert.export.graphs.stylegan1 import stylegan1_graph
from stylert.export.graphs.stylegan2 import stylegan2_graph
from stylert.export.graphs.stylegan3 import stylegan3_graph
from stylert.export.models.stylegan1 import StyleGAN1
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.export.models.stylegan3 import StyleGAN3
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["Reference", "reference_of", "synthesis_graph"]


class Reference(Protocol):
    """A generator in PyTorch: the reference of the export."""

    config: Config
    mapping: Callable[..., Tensor]  # z, c, truncation_psi=, truncation_cutoff= -> ws
    synthesis: Callable[..., Tensor]  # ws, noise= (transform= of StyleGAN3) -> images

    def __call__(self, z: Tensor, c: Tensor | None = None, **options: Any) -> Tensor:
        """Draw images [N, C, H, W] from z [N, z_dim]."""
        ...

    def to(self, device: str | None = None, dtype: torch.dtype | None = None) -> Reference:
        """Move the weights to a device, or into another precision."""
        ...


_GRAPHS: dict[str, Callable[..., GraphBuilder]] = {
    "stylegan1": stylegan1_graph,
    "stylegan2": stylegan2_graph,
    "stylegan3": stylegan3_graph,
}
_REFERENCES: dict[str, Callable[[Checkpoint], Any]] = {
    "stylegan1": StyleGAN1.from_checkpoint,
    "stylegan2": StyleGAN2.from_checkpoint,
    "stylegan3": StyleGAN3.from_checkpoint,
}


def synthesis_graph(checkpoint: Checkpoint, **options: Any) -> GraphBuilder:
    """The synthesis network of a checkpoint: see its family's file in `graphs`.

    Args:
        checkpoint: the generator.
        **options: of `SynthesisEmitter`, and those of the family.
    """
    return _GRAPHS[checkpoint.family](checkpoint, **options)


def reference_of(checkpoint: Checkpoint) -> Reference:
    """The PyTorch reference with the checkpoint's weights, float32, ready for inference."""
    reference: Reference = _REFERENCES[checkpoint.family](checkpoint)
    return reference

"""The one place where the families meet: which graph and which model a checkpoint has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stylert.export.checkpoints import Checkpoint
from stylert.export.graphs.stylegan1 import build_stylegan1_graph
from stylert.export.graphs.stylegan2 import build_stylegan2_graph
from stylert.export.graphs.stylegan3 import build_stylegan3_graph
from stylert.export.models.generator import GeneratorModel
from stylert.export.models.stylegan1 import StyleGAN1
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.export.models.stylegan3 import StyleGAN3
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["build_model", "build_synthesis_graph"]


_GRAPHS: dict[str, Callable[..., GraphBuilder]] = {
    "stylegan1": build_stylegan1_graph,
    "stylegan2": build_stylegan2_graph,
    "stylegan3": build_stylegan3_graph,
}
_MODELS: dict[str, type[GeneratorModel]] = {
    "stylegan1": StyleGAN1,
    "stylegan2": StyleGAN2,
    "stylegan3": StyleGAN3,
}


def build_synthesis_graph(checkpoint: Checkpoint, **options: Any) -> GraphBuilder:
    """The synthesis network of a checkpoint: see its family's file in `graphs`.

    Args:
        checkpoint: the generator.
        **options: of `SynthesisEmitter`, and those of the family.
    """
    return _GRAPHS[checkpoint.family](checkpoint, **options)


def build_model(checkpoint: Checkpoint) -> GeneratorModel:
    """The PyTorch model with the checkpoint's weights, float32: the reference of its export."""
    return _MODELS[checkpoint.family].from_checkpoint(checkpoint)

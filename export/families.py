"""The one place where the families meet: which graph and which model a checkpoint has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stylert.export.checkpoints import Checkpoint
from stylert.export.graphs.lucidrains import build_lucidrains_graph
from stylert.export.graphs.stylegan1 import build_stylegan1_graph
from stylert.export.graphs.stylegan2 import build_stylegan2_graph
from stylert.export.graphs.stylegan3 import build_stylegan3_graph
from stylert.export.models.generator import GeneratorModel
from stylert.export.models.lucidrains import Lucidrains
from stylert.export.models.stylegan1 import StyleGAN1
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.export.models.stylegan3 import StyleGAN3
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["build_model", "build_synthesis_graph"]


_FAMILIES: dict[str, tuple[Callable[..., GraphBuilder], type[GeneratorModel]]] = {
    "stylegan1": (build_stylegan1_graph, StyleGAN1),
    "stylegan2": (build_stylegan2_graph, StyleGAN2),
    "stylegan3": (build_stylegan3_graph, StyleGAN3),
    "lucidrains": (build_lucidrains_graph, Lucidrains),
}


def build_synthesis_graph(checkpoint: Checkpoint, **options: Any) -> GraphBuilder:
    """The synthesis network of a checkpoint: see its family's file in `export/graphs`.

    Args:
        checkpoint: the generator.
        **options: of what emits the graph of every family, and those of the family.
    """
    build, _ = _FAMILIES[checkpoint.family]
    return build(checkpoint, **options)


def build_model(checkpoint: Checkpoint) -> GeneratorModel:
    """The PyTorch model with the checkpoint's weights, float32: the reference of its export."""
    _, model = _FAMILIES[checkpoint.family]
    return model.from_checkpoint(checkpoint)

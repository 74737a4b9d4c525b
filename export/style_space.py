"""The style space of a bundle: its layers, the affine functions, and how much each style varies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from stylert.export.checkpoints import Checkpoint
from stylert.export.graph_session import make_latent_feeds
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.control.style_space import StyleLayer

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["list_style_layers", "make_style_arrays"]

SAMPLES = 10_000  # pictures whose styles are measured
AT_ONCE = 1000


def list_style_layers(graph: GraphBuilder) -> list[StyleLayer]:
    """The layers of a synthesis graph that take styles, as a bundle tells them."""
    starts = itertools.accumulate((layer.count for layer in graph.styled), initial=0)
    return [
        StyleLayer(layer.name, layer.index, start, layer.count, layer.is_rgb)
        for layer, start in zip(graph.styled, starts, strict=False)
    ]


def make_style_arrays(
    graph: GraphBuilder, checkpoint: Checkpoint, mapping: InferenceSession
) -> dict[str, np.ndarray]:
    """What style_space.npz holds; see `stylert.runtime.control.style_space`.

    Args:
        graph: the synthesis graph.
        checkpoint: what it was made of.
        mapping: the mapping graph; classes of a conditional network take turns.
    """
    parts = [
        (layer.matrix[:, : layer.count] / layer.gain, layer.bias[: layer.count] / layer.gain)
        for layer in graph.styled
    ]
    matrix, bias = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
    rows = np.repeat(
        [layer.index for layer in graph.styled], [layer.count for layer in graph.styled]
    )
    total, squares = np.zeros(len(bias)), np.zeros(len(bias))
    for ws in _draw_ws(checkpoint, mapping):
        for row in np.unique(rows):
            own = rows == row
            styles = ws[:, row] @ matrix[:, own]  # [N, of the row], less the bias
            total[own] += styles.sum(axis=0)
            squares[own] += np.square(styles).sum(axis=0)
    mean = total / SAMPLES
    std = np.sqrt(np.maximum(squares / SAMPLES - np.square(mean), 0))
    arrays = {"matrix": matrix, "bias": bias, "mean": mean + bias, "std": std}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _draw_ws(checkpoint: Checkpoint, mapping: InferenceSession) -> Iterator[np.ndarray]:
    """The ws [n, num_ws, w_dim] float64 of latents RandomState(0).randn(SAMPLES, z_dim)."""
    c, random = checkpoint.config, np.random.RandomState(0)
    for start in range(0, SAMPLES, AT_ONCE):
        z = random.randn(AT_ONCE, c.z_dim).astype(np.float32)
        feeds = make_latent_feeds(c, z, first=start)
        yield mapping.run(["ws"], feeds)[0].astype(np.float64)

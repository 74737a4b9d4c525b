"""`make_feature_network`: an ONNX file of the weights that others publish and a user has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from stylert.export.feature_networks.efficientnet_lite0 import SIZE as LITE0_SIZE
from stylert.export.feature_networks.efficientnet_lite0 import emit_efficientnet_lite0
from stylert.export.feature_networks.weights import (
    PublishedWeights,
    Weights,
    check_hash,
    read_weights,
)
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.arguments import check_choice
from stylert.runtime.errors import CheckpointError, InvalidInput
from stylert.runtime.files.listed import hash_file
from stylert.runtime.files.publishing import publish_file

__all__ = ["KINDS", "PUBLISHED", "make_feature_network"]


@dataclass(frozen=True)
class _Kind:
    """A feature network that can be made."""

    name: str  # what figures are told with
    emit: Callable[[GraphBuilder, ir.Value, Weights], ir.Value]
    size: int
    resize: str
    dim: int | str  # of the features


_MADE = {
    "efficientnet-lite0": _Kind(
        "EfficientNet-lite0", emit_efficientnet_lite0, LITE0_SIZE, "bicubic", 1280
    ),
}
KINDS = tuple(_MADE)

# The published files, by kind. A test replaces it by what it makes itself.
PUBLISHED = {
    "efficientnet-lite0": PublishedWeights(
        ("efficientnet-lite0-57934424.pth",), "57934424", "Apache-2.0"
    ),
}


def make_feature_network(kind: str, weights: str | Path, out: str | Path) -> Path:
    """Write the ONNX file of a feature network.

    Args:
        kind: one of `KINDS`.
        weights: the file of torch.save that others publish.
        out: the file to write; it appears whole or not at all.

    Returns:
        `out`.

    Raises:
        InvalidInput: another kind, or no such file.
        CheckpointError: the file is not the published one, damaged or unsafe.
        OSError: it cannot be read, or `out` cannot be written.
    """
    check_choice("kind", kind, KINDS)
    weights, out = Path(weights), Path(out)
    if not weights.is_file():
        raise InvalidInput(
            f"weights: got {str(weights)!r}, expected the file {PUBLISHED[kind].files[0]}."
        )
    try:
        check_hash(weights, PUBLISHED[kind])
        graph = _emit(kind, read_weights(weights))
    except CheckpointError as error:
        raise CheckpointError(f"Cannot read {str(weights)!r}: {error}.") from None
    made = _MADE[kind]
    metadata = {
        "stylert.name": made.name,
        "stylert.range": "0,255",
        "stylert.resize": made.resize,
        "stylert.licence": PUBLISHED[kind].licence,
        "stylert.weights": hash_file(weights),
    }
    with publish_file(out) as partial:
        graph.save(partial, metadata=metadata)
    return out


def _emit(kind: str, weights: Weights) -> GraphBuilder:
    made = _MADE[kind]
    g = GraphBuilder(kind)
    x = g.input("pixels", ["N", 3, made.size, made.size])
    g.output(made.emit(g, x, weights), "features", "float32", ["N", made.dim])
    return g

"""What a graph with `style_offset` adds to its styles, behind the affine functions (StyleSpace).

The offset has one number for each style of each layer, one layer behind the other. Layers of
several widths are one product, whose rows are longer than the styles of some: those take zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from stylert.export.onnx_graph import GraphBuilder

if TYPE_CHECKING:
    from stylert.export.graphs.styles import StyledLayer

__all__ = ["Offsets"]


class Offsets:
    """The offset of all layers, to be added group by group.

    Args:
        graph: where the nodes go.
        offset: [1 or N, S].
        layers: in the order of the offset.
        groups: the layers that are one product each.
    """

    def __init__(
        self,
        graph: GraphBuilder,
        offset: ir.Value,
        layers: Sequence[StyledLayer],
        groups: Sequence[Sequence[StyledLayer]],
    ) -> None:
        self._graph = graph
        ends = np.cumsum([layer.count for layer in layers]).tolist()
        self._size = ends[-1]
        self._starts = {
            layer.name: end - layer.count for layer, end in zip(layers, ends, strict=True)
        }
        zeros = max(_count_zeros(group) for group in groups)
        if zeros:
            pads = graph.constant("style_offset/pads", np.array([0, 0, 0, zeros]))
            offset = graph.op("Pad", offset, pads, name="style_offset/with_zeros")
        self._offset = offset  # [1 or N, S and zeros]

    def add(self, styles: ir.Value, layers: Sequence[StyledLayer], width: int) -> ir.Value:
        """The styles [L, N, 1, width] of a group, moved. Ask in the scope of the group."""
        g = self._graph
        with g.scope("offset"):
            at = g.constant("places", self._find_places(layers, width))
            moves = g.op("Gather", self._offset, at, name="own", axis=1)  # [1 or N, L, 1, width]
            moves = g.op("Transpose", moves, name="of_layers", perm=[1, 0, 2, 3])
            gains = np.array([layer.gain for layer in layers])
            if (gains != 1).any():
                factors = g.constant("gains", gains.reshape(-1, 1, 1, 1))
                moves = g.op("Mul", moves, factors, name="scale")
            return g.op("Add", styles, moves, name="add")

    def _find_places(self, layers: Sequence[StyledLayer], width: int) -> np.ndarray:
        """Where in the offset each style has its number, [L, 1, width]; no place is taken twice."""
        places = np.zeros((len(layers), 1, width), np.int64)
        zero = self._size
        for row, layer in zip(places[:, 0], layers, strict=True):
            start, spare = self._starts[layer.name], width - layer.count
            row[: layer.count] = np.arange(start, start + layer.count)
            row[layer.count :] = np.arange(zero, zero + spare)
            zero += spare
        return places


def _count_zeros(layers: Sequence[StyledLayer]) -> int:
    width = max(layer.width for layer in layers)
    return sum(width - layer.count for layer in layers)

"""The styles and demodulations of a whole synthesis network, in a few batched products.

A GPU takes longer to launch a kernel than to multiply one w by a matrix, and a network has dozens
of layers. So layers whose inputs are of one width, or nearly, are one product, and each takes its
part of the result. All of it is float32.

Every w is a product of its own, [L, N, 1, w_dim] by [L, 1, w_dim, I]: ONNX Runtime multiplies one
row in another way than several, and a picture must not depend on the others of its batch. A layer
by itself has a matrix of two axes, which it multiplies alike whatever the batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.graphs.offsets import Offsets
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["StyledLayer", "Styles"]


@dataclass(frozen=True, eq=False)
class StyledLayer:
    """A layer that takes styles.

    Attributes:
        name: such as 'b8.conv0'.
        index: of its row of ws.
        matrix: of the affine function of w that gives the styles [w_dim, I].
        bias: of the same [I].
        weight: [O, I, k, k] if it is demodulated, None = it is not.
        norm: of the demodulated weights.
        channels: see `fold_demodulation`.
        half: the weight is brought to at most 1, see `normalize_weight`, and so are the styles.
        gain: of the styles, which the matrix and the bias have in them already.
        real: how many of the styles are the checkpoint's, None = all; those behind are zeros.
        is_rgb: it makes colours.
    """

    name: str
    index: int
    matrix: np.ndarray
    bias: np.ndarray
    weight: np.ndarray | None = None
    norm: float = 1.0
    channels: int | None = None
    half: bool = False
    gain: float = 1.0
    real: int | None = None
    is_rgb: bool = False

    @property
    def count(self) -> int:
        """How many of its styles are the checkpoint's."""
        return self.width if self.real is None else self.real

    @property
    def width(self) -> int:
        """How many styles it takes: its input channels."""
        return len(self.bias)

    @property
    def outputs(self) -> int:
        """How many factors demodulate it: its output channels, 0 = it is not demodulated."""
        return 0 if self.weight is None else len(self.weight)


class Styles:
    """The nodes that make the styles of all layers.

    Args:
        graph: where they go.
        ws: [N, num_ws, w_dim].
        layers: all that take styles.
        spare: numbers that may be stored in vain, to bring layers of other widths together.
        exact: the weights of the affine functions are float32 also in a compact graph.
        alone: each layer has products of its own, for processors: ONNX Runtime rounds them less
            than those of several layers.
        offset: [1 or N, S], added to the styles of all layers, one layer behind the other; None =
            there is none.
    """

    def __init__(
        self,
        graph: GraphBuilder,
        ws: ir.Value,
        layers: Iterable[StyledLayer],
        *,
        spare: int,
        exact: bool = False,
        alone: bool = False,
        offset: ir.Value | None = None,
    ) -> None:
        self._graph = graph
        layers = list(layers)
        self._places: dict[str, tuple[_Group, int]] = {}
        rows = graph.op("Transpose", ws, name="styles/rows", perm=[1, 0, 2])  # [num_ws, N, w_dim]
        axis = graph.shared("axes_2", np.array([2]))
        rows = graph.op("Unsqueeze", rows, axis, name="styles/single_rows")
        groups = [[layer] for layer in layers] if alone else _group_layers(layers, spare)
        moves = None if offset is None else Offsets(graph, offset, layers, groups)
        for together in groups:
            group = _Group(graph, rows, together, exact=exact, alone=alone, moves=moves)
            self._places |= {layer.name: (group, i) for i, layer in enumerate(group.layers)}

    def find(self, layer: str) -> ir.Value:
        """The styles [N, I] of a layer. Ask for them once, in the scope of the layer."""
        group, place = self._places[layer]
        return self._cut(group.styles, place, group.layers[place].width, group.width, "style")

    def find_factors(self, layer: str) -> ir.Value:
        """What demodulates a layer [N, O], but for the peak of its styles in half precision."""
        group, place = self._places[layer]
        own, all_outputs = group.layers[place].outputs, group.outputs
        return self._cut(group.factors, place, own, all_outputs, "factor")

    def find_peak(self, layer: str) -> ir.Value:
        """The largest absolute value [N, 1] of the styles of a layer in half precision."""
        group, place = self._places[layer]
        return self._cut(group.peaks, place, 1, 1, "style_norm")

    def _cut(self, x: ir.Value | None, place: int, own: int, size: int, name: str) -> ir.Value:
        """The part [N, own] of x [L, N, size] at a place."""
        assert x is not None
        g = self._graph
        x = g.op("Gather", x, g.shared(f"place_{place}", np.array(place)), name=name, axis=0)
        if own == size:
            return x
        ends = [g.shared(f"at_{end}", np.array([end])) for end in (0, own, 1)]
        return g.op("Slice", x, *ends, name=f"own_{name}")  # along axis 1


class _Group:
    """Layers that are one product; those that are demodulated come first.

    Attributes:
        layers: L of them, K of which are demodulated.
        width: the largest of theirs.
        outputs: the same.
        styles: [L, N, width].
        factors: [K, N, outputs], None = none is demodulated.
        peaks: [K, N, 1], None = none is in half precision.
    """

    def __init__(
        self,
        graph: GraphBuilder,
        rows: ir.Value,
        layers: list[StyledLayer],
        *,
        exact: bool,
        alone: bool,
        moves: Offsets | None,
    ) -> None:
        self.graph = graph
        self.layers = sorted(layers, key=lambda layer: layer.weight is None)
        self.width, self.outputs = _measure(layers)
        self.factors: ir.Value | None = None
        self.peaks: ir.Value | None = None
        with graph.scope(f"styles/of_{layers[0].name if alone else self.width}"):
            at = graph.constant("rows", np.array([layer.index for layer in self.layers]))
            w = graph.op("Gather", rows, at, name="w", axis=0)  # [L, N, 1, w_dim]
            with graph.scope("affine"):
                styles = self._multiply(w, exact)
            if moves is not None:
                styles = moves.add(styles, self.layers, self.width)
            self.styles = self._squeeze(styles, "styles")
            demodulated = [layer for layer in self.layers if layer.weight is not None]
            if demodulated:
                styles = self._cut_first(styles, len(demodulated))
                if any(layer.half for layer in demodulated):
                    self.peaks = self._find_peaks(styles)
                with graph.scope("demodulation"):
                    factors = self._demodulate(styles, demodulated)
                self.factors = self._squeeze(factors, "factors")

    def _multiply(self, w: ir.Value, exact: bool) -> ir.Value:
        g, layers = self.graph, self.layers
        w_dim = len(layers[0].matrix)
        weight = np.zeros((len(layers), 1, w_dim, self.width))
        bias = np.zeros((len(layers), 1, 1, self.width))
        for i, layer in enumerate(layers):
            own = slice(layer.width)
            weight[i, 0, :, own], bias[i, 0, 0, own] = layer.matrix, layer.bias
        if len(layers) == 1:
            weight = weight[0, 0]
        if exact:
            stored = g.constant("weight", weight)
        else:
            stored = g.weight("weight", weight, parts=[layer.matrix for layer in layers])
        x = g.op("MatMul", w, stored, name="product")
        return g.op("Add", x, g.constant("bias", bias), name="add_bias")

    def _squeeze(self, x: ir.Value, name: str) -> ir.Value:
        """[L, N, 1, C] to [L, N, C]."""
        axis = self.graph.shared("axes_2", np.array([2]))
        return self.graph.op("Squeeze", x, axis, name=name)

    def _cut_first(self, styles: ir.Value, count: int) -> ir.Value:
        """The styles of the first layers."""
        g = self.graph
        if count == len(self.layers):
            return styles
        ends = [g.shared(f"at_{end}", np.array([end])) for end in (0, count, 0)]
        return g.op("Slice", styles, *ends, name="demodulated")  # along axis 0

    def _find_peaks(self, styles: ir.Value) -> ir.Value:
        g = self.graph
        size = g.op("Abs", styles, name="style_size")
        peaks = g.op("ReduceMax", size, name="style_peak", axes=[3], keepdims=0)
        return g.op("Max", peaks, g.constant("smallest", np.array(1e-8)), name="style_norm")

    def _demodulate(self, styles: ir.Value, layers: list[StyledLayer]) -> ir.Value:
        g = self.graph
        matrix = np.zeros((len(layers), 1, self.width, self.outputs))
        epsilon, inverse = (np.ones((len(layers), 1, 1, self.outputs)) for _ in range(2))
        parts = []
        for i, layer in enumerate(layers):
            assert layer.weight is not None
            own = slice(layer.outputs)
            squares, smallest = lowering.fold_demodulation(
                layer.weight, gain=layer.norm, channels=layer.channels
            )
            taken, made = layer.weight.any(axis=(0, 2, 3)), layer.weight.any(axis=(1, 2, 3))
            matrix[i, 0, : layer.width, own] = squares
            # Channels that nothing is made of are 0 by themselves.
            epsilon[i, 0, 0, own] = np.where(made, smallest, 1)
            if layer.half:
                inverse[i, 0, 0, own] = 1 / lowering.normalize_weight(layer.weight)[1]
            parts.append(squares[np.ix_(taken, made)])
        if len(layers) == 1:
            matrix = matrix[0, 0]
        square = g.op("Mul", styles, styles, name="square")
        stored = g.weight("matrix", matrix, parts=parts)
        g.squares[str(stored.name)] = [f"{layer.name}/conv_weight" for layer in layers]
        x = g.op("MatMul", square, stored, name="product")
        norm = g.op("Add", x, g.constant("epsilon", epsilon), name="add_epsilon")
        norm = g.op("Sqrt", norm, name="sqrt")
        if self.peaks is None:
            return g.op("Reciprocal", norm, name="reciprocal")
        # It stays out of the matrix, whose entries half precision would not hold.
        return g.op("Div", g.constant("inverse_scaling", inverse), norm, name="divide")


def _group_layers(layers: Iterable[StyledLayer], spare: int) -> list[list[StyledLayer]]:
    """Layers of one width together; then neighbours, as long as that stores few zeros."""
    by_width: dict[int, list[StyledLayer]] = {}
    for layer in layers:
        by_width.setdefault(layer.width, []).append(layer)
    groups = [by_width[width] for width in sorted(by_width, reverse=True)]
    while len(groups) > 1:
        costs = [_count(a + b) - _count(a) - _count(b) for a, b in itertools.pairwise(groups)]
        i = int(np.argmin(costs))
        if costs[i] > spare:
            break
        spare -= costs[i]
        groups[i : i + 2] = [groups[i] + groups[i + 1]]
    return groups


def _measure(layers: list[StyledLayer]) -> tuple[int, int]:
    """The largest width, and the most outputs."""
    return max(layer.width for layer in layers), max(layer.outputs for layer in layers)


def _count(layers: list[StyledLayer]) -> int:
    """The numbers that are stored for layers that are one product."""
    width, outputs = _measure(layers)
    demodulated = sum(layer.weight is not None for layer in layers)
    return width * (len(layers) * len(layers[0].matrix) + demodulated * outputs)

"""Large weights of a graph as integers, which runtimes unpack when they load it.

It works on a finished graph: what integers times factors cannot give, to the rounding of float32,
stays as it is. So it cannot change a picture, whatever the graph has folded into its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from stylert.export.weight_rounding import LARGE, SAME, Integers, find_integers
from stylert.runtime.backends.tensorrt.refit_weights import INTEGERS

__all__ = ["pack_weights"]


def pack_weights(
    graph: ir.Graph, squares: Mapping[str, Sequence[str]], forms: Sequence[Integers]
) -> None:
    """Replace large float32 constants by integers, a Cast, and a Mul by their factors.

    Args:
        graph: the graph.
        forms: of the integers that weights may be, in this order.
        squares: of matrices [L, 1, I, O] or [I, O] that are made of sums of squares, by name: the
            names of the weights. Each matrix becomes what its weights give.
    """
    unpacking = _Unpacking(graph)
    weights = {
        name: unpacking.product(name, *found)
        for name, array in unpacking.large.items()
        if name not in squares and (found := find_integers(array, forms)) is not None
    }
    for matrix, names in squares.items():
        if matrix in unpacking.large and weights.keys() & names:
            unpacking.stack(matrix, {name: weights.get(name) for name in names})


class _Unpacking:
    """The large float32 constants of a graph, and nodes in front of all others in their place."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.first = graph[0]
        arrays = {name: value.const_value for name, value in graph.initializers.items()}
        self.large: dict[str, np.ndarray] = {
            name: array.numpy()
            for name, array in arrays.items()
            if array is not None and array.dtype == ir.DataType.FLOAT and array.size >= LARGE
        }

    def product(self, name: str, integers: np.ndarray, factors: np.ndarray) -> ir.Value:
        """Integers times factors, in place of a constant."""
        stored = self.constant(name + INTEGERS[integers.dtype.name], integers)
        x = self.node("Cast", f"{name}_float32", stored, to=ir.DataType.FLOAT)
        return self.node("Mul", name, x, self.constant(f"{name}_factors", factors))

    def stack(self, name: str, weights: Mapping[str, ir.Value | None]) -> None:
        """Put together a matrix of what each weight gives, None = it is not packed."""
        matrix = self.large[name]
        parts = [
            self.squares(part, of, weight)
            for part, (of, weight) in zip(
                matrix.reshape(-1, *matrix.shape[-2:]), weights.items(), strict=True
            )
        ]
        x = self.node("Concat", f"{name}_parts", *parts, axis=0)
        shape = self.constant(f"{name}_shape", np.array(matrix.shape))
        self.node("Reshape", name, x, shape)

    def squares(self, part: np.ndarray, of: str, weight: ir.Value | None) -> ir.Value:
        """A part [I, O] of a matrix: sums of squares of a weight if it is those, else itself."""
        name = f"{of.rpartition('/')[0]}/demodulation/matrix"
        if weight is not None:
            sums = np.square(self.large[of], dtype=np.float64).sum(axis=(2, 3))
            for turned, candidate in ((False, sums), (True, sums.T)):
                if found := _fit(candidate, part):
                    pads = np.subtract(part.shape, candidate.shape)
                    return self.fitted(name, weight, *found, turned=turned, pads=pads)
        return self.constant(name, part)

    def fitted(
        self,
        name: str,
        weight: ir.Value,
        factor: np.ndarray,
        offset: np.ndarray,
        *,
        turned: bool,
        pads: np.ndarray,
    ) -> ir.Value:
        """Sums of squares times a factor, plus an offset, and zeros behind [rows, columns]."""
        x = self.node("ReduceSumSquare", f"{name}_sums", weight, axes=[2, 3], keepdims=0)
        x = self.node("Transpose", f"{name}_turned", x, perm=[1, 0]) if turned else x
        x = self.node("Mul", f"{name}_scaled", x, self.constant(f"{name}_factor", factor))
        x = self.node("Add", f"{name}_shifted", x, self.constant(f"{name}_offset", offset))
        if not pads.any():
            return x
        ends = self.constant(f"{name}_pads", np.array([0, 0, *pads]))
        return self.node("Pad", f"{name}_padded", x, ends)

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        self.graph.register_initializer(value)
        return value

    def node(self, op_type: str, name: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        """Add a node, in place of the constant of its name if there is one."""
        node = ir.node(op_type, list(inputs), attributes, name=name)
        (output,) = node.outputs
        output.name = name
        if constant := self.graph.initializers.pop(name, None):
            ir.convenience.replace_all_uses_with(constant, output)
        self.graph.insert_before(self.first, [node])
        return output


def _fit(sums: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The factor and the offset that make a part of a matrix of the sums, None if there are none.

    The part may have zeros behind them. The offset can be far below the sums and still matter,
    where those are 0. So errors count in parts of each entry.
    """
    rows, columns = sums.shape
    matrix = part[:rows, :columns]
    if matrix.shape != sums.shape or part[rows:].any() or part[:, columns:].any():
        return None
    if not (matrix > 0).all():
        return None
    terms = np.stack([sums, np.ones_like(sums)], axis=-1) / matrix[..., None].astype(np.float64)
    terms = terms.reshape(-1, 2)
    found = np.linalg.lstsq(terms, np.ones(len(terms)))[0]
    if np.abs(terms @ found - 1).max() > 2 * SAME:
        return None
    factor, offset = found.astype(np.float32)
    return np.array(factor), np.array(offset)

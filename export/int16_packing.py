"""Large weights of a graph as 16-bit integers, which runtimes unpack when they load it.

It works on a finished graph: what integers times factors cannot give, to the rounding of float32,
stays as it is. So it cannot change a picture, whatever the graph has folded into its weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from stylert.export.int16_rounding import LARGE, SAME, find_int16
from stylert.runtime.backends.tensorrt.refit_weights import INTEGERS

__all__ = ["pack_weights"]

WEIGHT, MATRIX = "/conv_weight", "/demodulation/matrix"  # end the names of a layer's constants


def pack_weights(graph: ir.Graph) -> None:
    """Replace large float32 constants by integers, a Cast, and a Mul by their factors.

    The matrix of a demodulation becomes the sums of squares of its layer's weight.
    """
    unpacking = _Unpacking(graph)
    for name in unpacking.large:
        if name.endswith(MATRIX) or (found := find_int16(unpacking.large[name])) is None:
            continue
        weight = unpacking.product(name, *found)
        matrix = name.removesuffix(WEIGHT) + MATRIX
        if matrix in unpacking.large:
            unpacking.squares(matrix, name, weight)


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
        stored = self.constant(name + INTEGERS, integers)
        x = self.node("Cast", f"{name}_float32", stored, to=ir.DataType.FLOAT)
        return self.node("Mul", name, x, self.constant(f"{name}_factors", factors))

    def squares(self, name: str, of: str, weight: ir.Value) -> None:
        """Sums of squares of a weight in place of a matrix, if it is those: scaled, and shifted."""
        matrix = self.large[name]
        sums = np.square(self.large[of], dtype=np.float64).sum(axis=(2, 3))
        for turned, candidate in ((False, sums), (True, sums.T)):
            if candidate.shape == matrix.shape and (found := _fit(candidate, matrix)):
                factor, offset = found
                x = self.node("ReduceSumSquare", f"{name}_sums", weight, axes=[2, 3], keepdims=0)
                x = self.node("Transpose", f"{name}_turned", x, perm=[1, 0]) if turned else x
                x = self.node("Mul", f"{name}_scaled", x, self.constant(f"{name}_factor", factor))
                self.node("Add", name, x, self.constant(f"{name}_offset", offset))
                return

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


def _fit(sums: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The factor and the offset that make the matrix of the sums, None if there are none.

    The offset can be far below the sums and still matter, where those are 0. So errors count in
    parts of each entry.
    """
    if not (matrix > 0).all():
        return None
    rows = np.stack([sums, np.ones_like(sums)], axis=-1) / matrix[..., None].astype(np.float64)
    rows = rows.reshape(-1, 2)
    found = np.linalg.lstsq(rows, np.ones(len(rows)))[0]
    if np.abs(rows @ found - 1).max() > 2 * SAME:
        return None
    factor, offset = found.astype(np.float32)
    return np.array(factor), np.array(offset)

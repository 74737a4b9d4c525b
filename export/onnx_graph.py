"""Building an ONNX graph node by node, with names that a reader of a profile understands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from stylert.export.graph_check import check_graph
from stylert.export.weight_packing import pack_weights
from stylert.export.weight_rounding import Integers
from stylert.runtime.backends.tensorrt.refit_weights import STORED
from stylert.runtime.bundle import TensorSpec

if TYPE_CHECKING:
    from stylert.export.graphs.styles import StyledLayer

__all__ = ["IR_VERSION", "OPSET", "GraphBuilder"]

OPSET = 17  # the oldest that has all we need, so that old runtimes read it
IR_VERSION = 8  # the one that belongs to opset 17
_INLINE_LIMIT = 1_900_000_000  # bytes; a protobuf file cannot hold 2 GiB


class GraphBuilder:
    """Collects the nodes and constants of one graph, and writes it.

    `op` returns the node's output; `scope` prefixes names: `b8.conv0/conv`.

    Args:
        name: of the graph.
        compact: store the float32 weights as float16 where that keeps them.

    Attributes:
        squares: names of the weights that a matrix is made of, by its name: see `pack_weights`.
        styled: the layers of a synthesis network that take styles, in the order of its style space.
    """

    def __init__(self, name: str, *, compact: bool = False) -> None:
        self.name = name
        self.compact = compact
        self.squares: dict[str, list[str]] = {}
        self.styled: tuple[StyledLayer, ...] = ()
        self._scope = ""
        self._inputs: list[ir.Value] = []
        self._outputs: list[ir.Value] = []
        self._nodes: list[ir.Node] = []
        self._constants: dict[str, ir.Value] = {}
        self._names: set[str] = set()

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Within the block, names start with `name/`."""
        outer, self._scope = self._scope, f"{self._scope}{name}/"
        try:
            yield
        finally:
            self._scope = outer

    def input(self, name: str, shape: Sequence[int | str]) -> ir.Value:
        """Add a float32 input; a string in `shape` names a dimension that may vary."""
        float32 = ir.TensorType(_DTYPES["float32"])
        value = ir.Value(name=name, shape=ir.Shape(list(shape)), type=float32)
        self._inputs.append(value)
        return value

    def constant(self, name: str, array: np.ndarray, dtype: str = "float32") -> ir.Value:
        """Add a constant. Floats are stored as `dtype`, 'float32' or 'float16'."""
        if array.dtype.kind == "f":
            array = array.astype(dtype)
        name = self._make_unique(name)
        tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self._constants[name] = value
        return value

    def weight(
        self,
        name: str,
        array: np.ndarray,
        dtype: str = "float32",
        *,
        parts: Sequence[np.ndarray] = (),
    ) -> ir.Value:
        """Add a weight of a layer, [O, I, ...] or [I, O, ...].

        A compact graph stores it as float16 with a Cast behind it: runtimes fold that away when
        they load the graph, and compute in float32 with the rounded weight.

        Args:
            name: within the scope.
            array: the weight.
            dtype: see `constant`.
            parts: all of it that matters, as weights of their own, if it is made of several.
        """
        if self.compact and dtype == "float32" and all(map(_half_keeps, parts or [array])):
            stored = self.constant(name + STORED, array, "float16")
            return self.cast(stored, "float32", name=name)
        return self.constant(name, array, dtype)

    def shared(self, name: str, array: np.ndarray) -> ir.Value:
        """A constant that several nodes use, kept once, under its name outside of all scopes."""
        if name not in self._constants:
            outer, self._scope = self._scope, ""
            self.constant(name, array)
            self._scope = outer
        return self._constants[name]

    def op(self, op_type: str, *inputs: ir.Value | None, name: str, **attributes: Any) -> ir.Value:
        """Add a node with one output; an input that is None is left out."""
        name = self._make_unique(name)
        # Lists are told to be integers: to find out, `ir.node` would ask each of them what it is.
        told = {
            key: ir.AttrInt64s(key, value) if isinstance(value, list) else value
            for key, value in attributes.items()
        }
        node = ir.node(op_type, list(inputs), told, name=name)
        node.outputs[0].name = name
        self._nodes.append(node)
        return node.outputs[0]

    def cast(self, x: ir.Value, dtype: str, *, name: str) -> ir.Value:
        """Add a Cast to 'float32', 'float16' or 'uint8'."""
        return self.op("Cast", x, name=name, to=_DTYPES[dtype])

    def output(self, value: ir.Value, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Make a node's output an output of the graph, under a name of its own."""
        value.name = name
        value.dtype = _DTYPES[dtype]
        value.shape = ir.Shape(list(shape))
        self._outputs.append(value)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs."""
        return tuple(_make_spec(value) for value in self._inputs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs."""
        return tuple(_make_spec(value) for value in self._outputs)

    def save(
        self,
        path: str | Path,
        *,
        pack: Sequence[Integers] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> list[Path]:
        """Write the graph and check it with onnx.checker, shapes and types included.

        Constants of 2 GB and more go into a second file, `path` with '.data' behind its name.

        Args:
            path: the file.
            pack: store weights that are such integers times factors so, see `pack_weights`.
            metadata: texts by name that go with the graph.

        Returns:
            The files written.

        Raises:
            StylertError: the checker refuses the graph, which is a bug of StyleRT.
        """
        path = Path(path)
        graph = ir.Graph(
            self._inputs,
            self._outputs,
            nodes=self._nodes,
            initializers=list(self._constants.values()),
            opset_imports={"": OPSET},
            name=self.name,
        )
        if pack:
            pack_weights(graph, self.squares, pack)
        model = ir.Model(graph, ir_version=IR_VERSION, producer_name="stylert")
        model.metadata_props.update(metadata or {})
        constants = (value.const_value for value in graph.initializers.values())
        size = sum(array.nbytes for array in constants if array is not None)
        data = path.with_name(path.name + ".data") if size > _INLINE_LIMIT else None
        ir.save(model, path, external_data=data and data.name)
        check_graph(path, path.name)
        return [path, data] if data else [path]

    def _make_unique(self, name: str) -> str:
        name = self._scope + name
        assert name not in self._names, f"two values named {name}"
        self._names.add(name)
        return name


_DTYPES = {
    "float16": ir.DataType.FLOAT16,
    "float32": ir.DataType.FLOAT,
    "uint8": ir.DataType.UINT8,
}


def _half_keeps(array: np.ndarray) -> bool:
    """Whether float16 holds every channel to its 11 bits: it has no room for 1e6 or 1e-6."""
    exact = array.astype(np.float64)
    with np.errstate(over="ignore"):
        error = exact.astype(np.float16) - exact
    for axis in (0, 1):
        others = tuple(i for i in range(exact.ndim) if i != axis)
        if not np.all(np.square(error).sum(others) <= 2.0**-22 * np.square(exact).sum(others)):
            return False
    return True


def _make_spec(value: ir.Value) -> TensorSpec:
    assert value.name
    assert value.shape is not None
    dtype = next(name for name, kind in _DTYPES.items() if kind == value.dtype)
    shape = tuple(d if isinstance(d, int) else str(d.value) for d in value.shape)
    return TensorSpec(value.name, dtype, shape)

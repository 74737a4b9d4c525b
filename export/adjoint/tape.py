"""`Tape`: a finished graph, what its values look like, and the nodes that are written behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from stylert.runtime.errors import InvalidInput

__all__ = ["Shape", "Tape", "read_attribute"]

Shape = tuple[int | None, ...]  # None = a dimension that varies: the batch


class Tape:
    """A graph whose values are known, and that grows.

    Args:
        model: a finished graph; the nodes are added to it.
        inputs: names of the graph's inputs whose gradients are wanted.
        given: the values whose gradients are given.

    Attributes:
        nodes: those that were there.
        found: the gradients that were found so far, and their shapes.
    """

    def __init__(
        self, model: ModelProto, inputs: Sequence[str], given: Collection[str] = ()
    ) -> None:
        self.given = given
        self.found: list[tuple[str, Shape]] = []
        self._graph = model.graph
        self.nodes = list(model.graph.node)
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        typed = (*inferred.input, *inferred.value_info, *inferred.output)
        self._shapes: dict[str, Shape] = {v.name: _read_shape(v) for v in typed if _has_shape(v)}
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._shapes |= {name: tuple(t.dims) for name, t in self._stored.items()}
        self._varying = set(inputs)
        for node in self.nodes:
            if self._varying.intersection(node.input):
                self._varying.update(node.output)
        self._named: dict[str, int] = {}
        self._made: dict[str, str] = {}

    def list_users(self, name: str) -> list[NodeProto]:
        """The nodes that were there and take a value."""
        return [node for node in self.nodes if name in node.input]

    def find_maker(self, name: str) -> str:
        """The operator that a value comes from; '' = none."""
        return next((node.op_type for node in self.nodes if name in node.output), "")

    def once(self, key: str, make: Callable[[], str]) -> str:
        """A value that several rules need, made for the first of them."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def varies(self, name: str) -> bool:
        """Whether a value depends on the inputs whose gradients are wanted."""
        return name in self._varying

    def shape(self, name: str) -> Shape:
        """The shape of a value of the graph that was there.

        Raises:
            InvalidInput: it is not known.
        """
        if name not in self._shapes:
            raise InvalidInput(
                f"graph: the shape of {name!r} cannot be told, expected a graph whose sizes are "
                "fixed but for the batch."
            )
        return self._shapes[name]

    def array(self, name: str) -> np.ndarray:
        """A constant of the graph, such as axes or bounds.

        Raises:
            InvalidInput: it is computed.
        """
        if name not in self._stored:
            raise InvalidInput(
                f"graph: {name!r} is computed, expected a constant: its adjoint depends on it."
            )
        return numpy_helper.to_array(self._stored[name])

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """The name of a constant of the adjoint; equal ones are one."""
        array = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        text = f"{array.dtype}{array.shape}".encode() + array.tobytes()
        name = f"adjoint/constant_{_hash_content(text)}"
        if name not in self._stored:
            tensor = numpy_helper.from_array(array, name)
            self._graph.initializer.append(tensor)
            self._stored[name] = tensor
        return name

    def wait_for(self, g: str, value: float, rank: int) -> str:
        """A number [N, 1, ...] that is known when a gradient [N, ...] of that rank is.

        Runtimes choose an order by what depends on what: nothing that this goes into comes before.
        """
        axes = range(1, rank)
        if axes:
            bounds = ([0] * len(axes), [1] * len(axes), axes)
            g = self.op("Slice", g, *(self.constant(numbers, np.int64) for numbers in bounds))
        zero = self.op("Clip", g, self.constant(0.0), self.constant(0.0))
        return self.op("Add", zero, self.constant(value)) if value else zero

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and give that."""
        count = self._named[kind] = self._named.get(kind, -1) + 1
        name = f"adjoint/{kind.lower()}{count}"
        told = {key: value for key, value in attributes.items() if value is not None}
        self._graph.node.append(helper.make_node(kind, [*inputs], [name], name, **told))
        return name

    def total(self, parts: Sequence[str]) -> str:
        """The sum of gradients."""
        return parts[0] if len(parts) == 1 else self.op("Sum" if len(parts) > 2 else "Add", *parts)

    def sum_to(self, g: str, source: Shape, target: Shape) -> str:
        """A gradient of what was broadcast from `target` to `source`: the sum over what it met.

        A batch of one that meets a larger batch is not summed: its rows are told apart.
        """
        spare = len(source) - len(target)
        met = [i for i in range(spare, len(source)) if target[i - spare] == 1 != source[i]]
        if met:
            g = self.op("ReduceSum", g, self.constant(met, np.int64), keepdims=1)
        if spare:
            g = self.op("ReduceSum", g, self.constant(range(spare), np.int64), keepdims=0)
        return g

    def expand(self, g: str, shape: Shape) -> str:
        """A gradient broadcast to a shape; its batch stays."""
        return self.op("Expand", g, self.constant([size or 1 for size in shape], np.int64))

    def reshape(self, g: str, shape: Shape) -> str:
        """A gradient in the shape of another value.

        Raises:
            InvalidInput: two of the sizes vary.
        """
        if sum(size is None for size in shape) > 1:
            raise InvalidInput(f"graph: a shape {shape} has two sizes that vary, expected one.")
        return self.op(
            "Reshape", g, self.constant([-1 if s is None else s for s in shape], np.int64)
        )

    def apply(self, g: str, matrix: np.ndarray, axis: int, rank: int) -> str:
        """A gradient [..., O, ...] times matrix [O, I] along an axis: [..., I, ...]."""
        if axis == rank - 1:
            return self.op("MatMul", g, self.constant(matrix))
        if axis == rank - 2:
            return self.op("MatMul", self.constant(matrix.T), g)
        order = [i for i in range(rank) if i != axis] + [axis]
        last = self.op("MatMul", self.op("Transpose", g, perm=order), self.constant(matrix))
        return self.op("Transpose", last, perm=[order.index(i) for i in range(rank)])


def read_attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """An attribute of a node as Python has it; texts are str."""
    for attribute in node.attribute:
        if attribute.name == name:
            value = helper.get_attribute_value(attribute)
            return value.decode() if isinstance(value, bytes) else value
    return default


def _hash_content(text: bytes) -> str:
    """A short name for content."""
    return hashlib.sha256(text).hexdigest()[:12]


def _has_shape(value: Any) -> bool:
    return bool(value.type.tensor_type.HasField("shape"))


def _read_shape(value: Any) -> Shape:
    sizes = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in sizes)

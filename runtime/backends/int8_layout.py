"""An INT8 graph laid out anew, for what cannot compute it as it stands in the bundle.

- TensorRT has no integer transposed convolution, and would compute it in float32. The same
  integers make a 2x2 convolution to the four phases of each channel, and DepthToSpace: of a
  transposed 3x3 convolution with a stride of 2, an even output sees two inputs, an odd one sees
  one.
- Processors without integer instructions that are wide enough (VNNI) add pairs of products in 16
  bits, which overflow. With weights of at most 63 they cannot, in this form.

The file stays as it is: transposed convolutions are the fastest where they are integer ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stylert.runtime.files.onnx_messages import (
    Chunks,
    find_part,
    find_parts,
    list_fields,
    make_field,
    make_number,
    read_number,
)
from stylert.runtime.files.onnx_tensors import name_tensor, read_tensor, write_tensor

__all__ = ["SAFE", "lay_out"]

SAFE = 63  # 2 x 255 x 63 is below 2**15
_MOST = 127

# Numbers of fields in onnx.proto: of a model, a graph, a node and an attribute.
_GRAPH = 7
_NODE, _INITIALIZER, _VALUE_INFO = 1, 5, 13
_INPUT, _OUTPUT, _NAME, _OPERATOR, _ATTRIBUTE = 1, 2, 3, 4, 5
_ATTRIBUTE_NAME, _INTEGER, _TEXT, _INTEGERS, _KIND = 1, 3, 4, 8, 20

_KINDS = {_INTEGER: 2, _TEXT: 3, _INTEGERS: 7}

Attributes = Mapping[bytes, int | bytes | list[int]]


def lay_out(data: bytes, *, most: int = _MOST) -> bytes:
    """An ONNX file with 2x2 convolutions and DepthToSpace for its integer transposed convolutions.

    What is not of that form stays as it is, and so does a file without any.

    Args:
        data: the file.
        most: the weights' largest integer; below 127 they are rounded anew.

    Raises:
        ValueError: it is no ONNX file.
    """
    model: Chunks = []
    for number, field, value in list_fields(memoryview(data)):
        if number == _GRAPH:
            model += make_field(_GRAPH, _Graph(value).lay_out(most))
        else:
            model.append(field)
    return b"".join(model)


@dataclass(frozen=True)
class _Node:
    operator: bytes
    name: bytes
    inputs: Sequence[bytes]
    outputs: Sequence[bytes]
    attributes: Attributes

    @classmethod
    def read(cls, message: memoryview) -> _Node:
        return cls(
            find_part(message, _OPERATOR),
            find_part(message, _NAME),
            find_parts(message, _INPUT),
            find_parts(message, _OUTPUT),
            dict(_read_attribute(memoryview(a)) for a in find_parts(message, _ATTRIBUTE)),
        )

    def write(self) -> Chunks:
        written: Chunks = []
        for number, texts in (
            (_INPUT, self.inputs),
            (_OUTPUT, self.outputs),
            (_NAME, [self.name]),
            (_OPERATOR, [self.operator]),
        ):
            for text in texts:
                written += make_field(number, [text])
        for name, value in self.attributes.items():
            written += make_field(_ATTRIBUTE, _write_attribute(name, value))
        return make_field(_NODE, written)


class _Graph:
    """The nodes and constants of a graph."""

    def __init__(self, message: memoryview) -> None:
        self.fields = list(list_fields(message))
        self.tensors = {
            name_tensor(value): value for number, _, value in self.fields if number == _INITIALIZER
        }
        self.nodes = [_Node.read(value) for number, _, value in self.fields if number == _NODE]
        self.makers = {name: node for node in self.nodes for name in node.outputs}
        self.users: dict[bytes, list[_Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                self.users.setdefault(name, []).append(node)
        self.arrays: dict[bytes, np.ndarray] = {}  # of constants that change, or are new
        self.changed: dict[int, list[_Node]] = {}  # nodes in place of one, by its identity

    def lay_out(self, most: int) -> Chunks:
        """The graph's fields, without what is said of values inside: it may be so no more."""
        for node in self.nodes:
            if (weight := self.find_weight(node)) is not None:
                integers, steps = self.limit(weight, most)
                if node.operator == b"ConvTranspose":
                    self.fold(node, weight, integers, steps)
        written: Chunks = []
        nodes = iter(self.nodes)
        for number, field, value in self.fields:
            if number == _NODE:
                node = next(nodes)
                for one in self.changed.get(id(node), ()):
                    written += one.write()
                if id(node) not in self.changed:
                    written.append(field)
            elif number == _INITIALIZER:
                if name_tensor(value) not in self.arrays:
                    written.append(field)
            elif number != _VALUE_INFO:
                written.append(field)
        for name, array in self.arrays.items():
            written += make_field(_INITIALIZER, write_tensor(name, array))
        return written

    def find_weight(self, node: _Node) -> _Node | None:
        """What makes the weight of a convolution of a constant of 8 bits, None = it has none."""
        if node.operator not in (b"Conv", b"ConvTranspose") or len(node.inputs) < 2:
            return None
        maker = self.makers.get(node.inputs[1])
        if maker is None or maker.operator != b"DequantizeLinear" or len(maker.inputs) < 2:
            return None
        stored = [self.tensors.get(name) for name in maker.inputs[:2]]
        arrays = [None if tensor is None else read_tensor(tensor) for tensor in stored]
        dtypes = [None if array is None else array.dtype for array in arrays]
        return maker if dtypes == [np.int8, np.float32] else None

    def limit(self, weight: _Node, most: int) -> tuple[np.ndarray, np.ndarray]:
        """The integers and the steps of a weight, rounded anew if they may not be so large."""
        integers, steps = (read_tensor(self.tensors[name]) for name in weight.inputs[:2])
        assert integers is not None
        assert steps is not None
        if most < _MOST:
            integers = np.rint(integers.astype(np.float32) * (most / _MOST)).astype(np.int8)
            steps = (steps * (_MOST / most)).astype(np.float32)
            self.arrays |= dict(zip(weight.inputs[:2], (integers, steps), strict=True))
        return integers, steps

    def fold(self, node: _Node, weight: _Node, integers: np.ndarray, steps: np.ndarray) -> None:
        """A 2x2 convolution to four phases, and DepthToSpace, in place of a transposed one."""
        (output,) = node.outputs
        plain = {b"kernel_shape": [3, 3], b"strides": [2, 2]}
        known = {**plain, b"pads": [0] * 4, b"group": 1, b"dilations": [1, 1]}
        if len(node.inputs) != 2 or weight.attributes.get(b"axis") != 1:
            return
        if any(known.get(name) != value for name, value in node.attributes.items()):
            return
        if plain.keys() - node.attributes.keys() or integers.shape[2:] != (3, 3):
            return
        self.arrays[weight.inputs[0]] = _fold_weight(integers)
        self.arrays[weight.inputs[1]] = np.repeat(steps, 4)
        self.changed[id(weight)] = [replace(weight, attributes={b"axis": 0})]
        phases, space = output + b"/phases", output + b"/space"
        attributes: Attributes = {b"kernel_shape": [2, 2], b"pads": [1] * 4}
        convolution = _Node(b"Conv", node.name, node.inputs, [phases], attributes)
        cut = self.cut(node, space)
        made = output if cut is None else space
        modes: Attributes = {b"blocksize": 2, b"mode": b"CRD"}
        to_space = _Node(b"DepthToSpace", space, [phases], [made], modes)
        self.changed[id(node)] = [convolution, to_space, *([cut] if cut else [])]

    def cut(self, node: _Node, space: bytes) -> _Node | None:
        """What cuts off the last row and column, which are zeros beyond the transposed form's.

        None where the convolution behind does: it pads with zeros itself, and does one fewer.
        """
        (output,) = node.outputs
        users = self.users.get(output, [])
        pads = users[0].attributes.get(b"pads") if len(users) == 1 else None
        if isinstance(pads, list) and users[0].operator == b"Conv" and min(pads[2:]) > 0:
            fewer = [*pads[:2], *(pad - 1 for pad in pads[2:])]
            attributes = {**users[0].attributes, b"pads": fewer}
            self.changed[id(users[0])] = [replace(users[0], attributes=attributes)]
            return None
        ends = {space + b"/from": [0, 0], space + b"/to": [-1, -1], space + b"/axes": [2, 3]}
        self.arrays |= {name: np.array(numbers, np.int64) for name, numbers in ends.items()}
        return _Node(b"Slice", output + b"/cut", [space, *ends], [output], {})


def _fold_weight(integers: np.ndarray) -> np.ndarray:
    """[I, O, 3, 3] of a transposed convolution to [4 O, I, 2, 2] of one to four phases."""
    taps = {0: (2, 0), 1: (None, 1)}  # by phase, what the inputs before and at a place meet
    inputs, outputs = integers.shape[:2]
    folded = np.zeros((outputs, 2, 2, inputs, 2, 2), np.int8)
    for row in (0, 1):
        for column in (0, 1):
            for y, from_row in enumerate(taps[row]):
                for x, from_column in enumerate(taps[column]):
                    if from_row is not None and from_column is not None:
                        folded[:, row, column, :, y, x] = integers[:, :, from_row, from_column].T
    return folded.reshape(4 * outputs, inputs, 2, 2)


def _read_attribute(message: memoryview) -> tuple[bytes, int | bytes | list[int]]:
    """The name and the value of an attribute; of kinds that nobody asks for, bytes."""
    numbers = [read_number(value) for value in find_parts(message, _INTEGERS)]
    kind = read_number(find_part(message, _KIND))
    value: int | bytes | list[int] = bytes(message)
    if kind == _KINDS[_INTEGERS]:
        value = numbers
    elif kind == _KINDS[_INTEGER]:
        value = read_number(find_part(message, _INTEGER))
    elif kind == _KINDS[_TEXT]:
        value = find_part(message, _TEXT)
    return find_part(message, _ATTRIBUTE_NAME), value


def _write_attribute(name: bytes, value: int | bytes | list[int]) -> Chunks:
    written = make_field(_ATTRIBUTE_NAME, [name])
    if isinstance(value, bytes):
        return [*written, *make_field(_TEXT, [value]), make_number(_KIND, _KINDS[_TEXT])]
    numbers, field = ([value], _INTEGER) if isinstance(value, int) else (value, _INTEGERS)
    written += [make_number(field, number) for number in numbers]
    return [*written, make_number(_KIND, _KINDS[field])]

"""The weights of an ONNX file, in the precision that its graph computes with.

A half-precision graph stores the weights of its float32 layers as float16 with a Cast behind each
(`GraphBuilder.weight`), and a bundle may store all as integers that are multiplied by factors
(`pack_weights`). ONNX Runtime computes the weights when it opens the file. TensorRT's parser makes
layers of that, so that the kernel of a convolution would be a computed one, and its refitter goes
by the names and types of what is stored. So TensorRT gets the file with the weights written out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from stylert.runtime.files.onnx_messages import (
    Chunks,
    find_part,
    find_parts,
    list_fields,
    make_field,
)
from stylert.runtime.files.onnx_tensors import name_tensor, read_tensor, tell_dtype, write_tensor

__all__ = ["INTEGERS", "STORED", "with_float32_weights"]

STORED = "_half"  # ends the name of a stored weight; the rest is that of its Cast's output
INTEGERS = {"int8": "_int8", "int16": "_int16"}  # the same of those that factors follow

# Numbers of fields in onnx.proto: of a model, a graph and a node.
_GRAPH = 7
_NODE, _INITIALIZER = 1, 5
_INPUT, _OUTPUT, _OPERATOR = 1, 2, 4

_ENDINGS = {"int8": b"_int8", "int16": b"_int16", "float16": b"_half"}  # of names, by their types
# What may come behind the Cast, with the attributes that `pack_weights` gives it.
_UNPACKING: Mapping[bytes, Callable[..., np.ndarray]] = {
    b"Mul": np.multiply,
    b"Add": np.add,
    b"Transpose": np.transpose,
    b"ReduceSumSquare": lambda x: np.square(x).sum(axis=(2, 3)),
    b"Pad": lambda x, ends: np.pad(x, ends.reshape(2, -1).T),
    b"Concat": lambda *parts: np.concatenate(parts),
    b"Reshape": np.reshape,
}

Tensors = Mapping[bytes, memoryview]  # by their names


def with_float32_weights(path: Path) -> bytes:
    """Read an ONNX file; weights that only the file has in another type become float32.

    Weights in a second file stay as they are. So does a file that is no ONNX: who parses it knows
    best what to say of it.

    Raises:
        OSError: the file cannot be read.
    """
    data = path.read_bytes()
    try:
        model: Chunks = []
        for number, field, value in list_fields(memoryview(data)):
            model += make_field(_GRAPH, _restored(value)) if number == _GRAPH else [field]
    except ValueError:
        return data
    return b"".join(model)


def _restored(graph: memoryview) -> Chunks:
    """The graph with float32 weights in place of the stored ones and the nodes that unpack them."""
    fields = list(list_fields(graph))
    tensors = {name_tensor(value): value for number, _, value in fields if number == _INITIALIZER}
    nodes = [value for number, _, value in fields if number == _NODE]
    unpacked: dict[bytes, np.ndarray] = {}  # by the names of the nodes' outputs
    for node in nodes:
        if (array := _unpack(node, tensors, unpacked)) is not None:
            unpacked[find_part(node, _OUTPUT)] = array
    stored: set[bytes] = set()  # what is needed to unpack, and nowhere else
    used: set[bytes] = set()
    for node in nodes:
        (stored if find_part(node, _OUTPUT) in unpacked else used).update(find_parts(node, _INPUT))
    stored -= used
    written: Chunks = []
    for number, field, value in fields:
        if number == _INITIALIZER and name_tensor(value) in stored:
            continue
        if number != _NODE or find_part(value, _OUTPUT) not in unpacked:
            written.append(field)
    for name in unpacked.keys() & used:
        written += make_field(_INITIALIZER, write_tensor(name, unpacked[name].astype("<f4")))
    return written


def _unpack(
    node: memoryview, tensors: Tensors, unpacked: Mapping[bytes, np.ndarray]
) -> np.ndarray | None:
    """What a node makes of a stored weight, None if it is another node."""
    operator, names = find_part(node, _OPERATOR), find_parts(node, _INPUT)
    if operator == b"Cast" and names and names[0] in tensors:
        ending = _ENDINGS.get(str(tell_dtype(tensors[names[0]])))
        array = read_tensor(tensors[names[0]]) if ending and names[0].endswith(ending) else None
        return None if array is None else array.astype("<f4")
    if operator not in _UNPACKING or not any(name in unpacked for name in names):
        return None
    stored = {name: read_tensor(tensors[name]) for name in names if name in tensors}
    arrays = [unpacked[name] if name in unpacked else stored.get(name) for name in names]
    return None if any(array is None for array in arrays) else _UNPACKING[operator](*arrays)

"""The weights of an ONNX file, in the precision that its graph computes with.

A half-precision graph stores the weights of its float32 layers as float16 with a Cast behind each
(`GraphBuilder.weight`). ONNX Runtime folds the Cast away when it opens the file. TensorRT's parser
makes a layer of it, so that the kernel of a convolution would be a computed one, and its refitter
goes by the names and types of what is stored. So TensorRT gets the file with those weights written
out. The outermost layers of protobuf are enough for that: runtime/ does without the package onnx.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stylert.runtime.files.protobuf import BYTES, read_fields

__all__ = ["STORED", "with_float32_weights"]

STORED = "_half"  # ends the name of a stored weight; the rest is that of its Cast's output

# Numbers of fields in onnx.proto: of a model, a graph, a node and a tensor.
_GRAPH = 7
_NODE, _INITIALIZER = 1, 5
_OUTPUT, _OPERATOR = 2, 4
_TYPE, _NAME, _DATA = 2, 8, 9
_FLOAT, _FLOAT16 = b"\x01", b"\x0a"  # values of _TYPE

Chunks = list[bytes | memoryview]  # of a message, put together once


def with_float32_weights(path: Path) -> bytes:
    """Read an ONNX file; weights that are float16 only in the file become float32.

    Weights in a second file stay as they are. So does a file that is no ONNX: who parses it knows
    best what to say of it.

    Raises:
        OSError: the file cannot be read.
    """
    data = path.read_bytes()
    try:
        model: Chunks = []
        for number, field, value in _fields(memoryview(data)):
            model += _field(_GRAPH, _restored(value)) if number == _GRAPH else [field]
    except ValueError:
        return data
    return b"".join(model)


def _restored(graph: memoryview) -> Chunks:
    """The graph with float32 weights in place of the stored ones and their Casts."""
    fields = list(_fields(graph))
    casts = {
        _part(value, _OUTPUT)
        for number, _, value in fields
        if number == _NODE and _part(value, _OPERATOR) == b"Cast"
    }
    weights = casts & {_weight_of(value) for number, _, value in fields if number == _INITIALIZER}
    written: Chunks = []
    for number, field, value in fields:
        if number == _INITIALIZER and _weight_of(value) in weights:
            written += _field(_INITIALIZER, _float32(value))
        elif number != _NODE or _part(value, _OUTPUT) not in weights:
            written.append(field)
    return written


def _weight_of(tensor: memoryview) -> bytes:
    """The name of the weight that a tensor stores, empty = it stores none."""
    name = _part(tensor, _NAME)
    is_half = _part(tensor, _TYPE) == _FLOAT16 and any(n == _DATA for n, _, _ in _fields(tensor))
    ending = STORED.encode()
    return name.removesuffix(ending) if is_half and name.endswith(ending) else b""


def _float32(tensor: memoryview) -> Chunks:
    """A stored weight as it is used."""
    written = _field(_NAME, [_weight_of(tensor)])
    for number, field, value in _fields(tensor):
        if number == _TYPE:
            written += [field[:1], _FLOAT]
        elif number == _DATA:
            written += _field(_DATA, [np.frombuffer(value, "<f2").astype("<f4").tobytes()])
        elif number != _NAME:
            written.append(field)
    return written


def _part(message: memoryview, number: int) -> bytes:
    """The first value of a field of a message, empty = there is none."""
    return next((bytes(value) for found, _, value in _fields(message) if found == number), b"")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """The number, the whole, and the value of every field of a message; else a ValueError."""
    for number, _, start, begin, end in read_fields(message, 0, len(message)):
        yield number, message[start:end], message[begin:end]


def _field(number: int, value: Chunks) -> Chunks:
    """A field that holds bytes; its number is below 16."""
    size = sum(len(chunk) for chunk in value)
    head = [number << 3 | BYTES]
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return [bytes([*head, size]), *value]

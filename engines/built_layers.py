"""What a builder says of the kernels it chose: the proof that convolutions are integer ones.

The parsed network proves nothing: it has float inputs and dequantised weights in any case, and a
builder may compute those in float32, as TensorRT does with transposed convolutions. With detailed
profiling, a build ends its log with a line for each kernel: its kind, the types of what it reads,
and which nodes of the ONNX file it stands for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

__all__ = ["BuiltLayer", "count_types", "find_not_int8", "read_layers"]

_CONVOLUTIONS = ("correlation", "deconv")
_LINE = re.compile(r"^Name: (?P<name>\S+), LayerType: (?P<kind>\w+), Inputs: \[(?P<rest>.*)$")
_TYPE = re.compile(r"Datatype: (\w+)")
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_INT8 = "INT8"


@dataclass(frozen=True)
class BuiltLayer:
    """A kernel of an engine.

    Attributes:
        kind: 'correlation', 'deconv', 'gemm', 'kgen', ...
        dtype: of its first input, in capitals: 'INT8', 'HALF', 'FLOAT'; '' if it has none.
        nodes: of the ONNX file that it computes.
    """

    kind: str
    dtype: str
    nodes: tuple[str, ...]


def read_layers(messages: Iterable[str]) -> list[BuiltLayer]:
    """The kernels of all lists that a builder has logged: one for each kind of GPU, or for all."""
    return list(_read(messages))


def _read(messages: Iterable[str]) -> Iterator[BuiltLayer]:
    for message in messages:
        for line in message.splitlines():
            if found := _LINE.match(line):
                inputs = found["rest"].split("Constants: [")[0].split("Outputs: [")[0]
                dtype = _TYPE.search(inputs)
                nodes = tuple(_NODE.findall(line))
                yield BuiltLayer(found["kind"], dtype[1].upper() if dtype else "", nodes)


def count_types(layers: Iterable[BuiltLayer]) -> dict[str, int]:
    """How many kernels of convolutions read which type."""
    return dict(Counter(layer.dtype for layer in layers if layer.kind in _CONVOLUTIONS))


def find_not_int8(layers: Collection[BuiltLayer], nodes: Iterable[str]) -> list[str]:
    """Those of the convolutions' nodes that no kernel computes in 8 bits, or not all that do."""
    return [
        node
        for node in nodes
        if {layer.dtype for layer in layers if layer.kind in _CONVOLUTIONS and node in layer.nodes}
        != {_INT8}
    ]

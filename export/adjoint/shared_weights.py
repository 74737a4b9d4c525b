"""Weights that lie in another ONNX file: a graph can point into it, so that they exist once."""

from __future__ import annotations

from collections.abc import Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from stylert.runtime.files.protobuf import BYTES, read_fields

__all__ = ["point_into", "share_weights"]

SMALL = 1024  # bytes; a weight of less is kept in the graph itself

# The numbers of fields in onnx.proto: of the model, of the graph, and of the tensor.
_GRAPH, _TENSOR, _NAME, _RAW = 7, 5, 8, 9


def point_into(model: ModelProto, path: Path) -> None:
    """Have the large constants of a graph point to where they lie in the file they came from.

    A constant that lies in a third file already stays as it is, and so does one that only has the
    name of another.

    Args:
        model: the graph; to be saved beside the file.
        path: an ONNX file with these constants, by their names.
    """
    places = _find_raw(path)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) < SMALL or tensor.name not in places:
            continue
        offset, length = places[tensor.name]
        with path.open("rb") as file:
            file.seek(offset)
            if file.read(length) != tensor.raw_data:
                continue
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", path.name), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))


def share_weights(path: Path, other: Path) -> None:
    """Have the large constants of a file point into another one beside it, where it has the same.

    Args:
        path: the file, which is written again.
        other: the file that they are in.
    """
    model = onnx.load(str(path), load_external_data=False)
    point_into(model, other)
    onnx.save(model, str(path))


def _find_raw(path: Path) -> Mapping[str, tuple[int, int]]:
    """Where the bytes of each constant start in the file, and how many they are."""
    found = {}
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        for graph_start, graph_end in _list_messages(data, 0, len(data), _GRAPH):
            for start, end in _list_messages(data, graph_start, graph_end, _TENSOR):
                parts = {n: (begin, stop) for n, _, _, begin, stop in read_fields(data, start, end)}
                if _NAME in parts and _RAW in parts:
                    begin, stop = parts[_RAW]
                    found[data[slice(*parts[_NAME])].decode()] = (begin, stop - begin)
    return found


def _list_messages(data: mmap, start: int, end: int, number: int) -> list[tuple[int, int]]:
    """Where the fields of a number lie in a message."""
    return [
        (begin, stop)
        for field, kind, _, begin, stop in read_fields(data, start, end)
        if (field, kind) == (number, BYTES)
    ]

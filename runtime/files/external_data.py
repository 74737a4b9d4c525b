"""Which other files an ONNX file would have a backend read: the external data of its tensors.

Backends open those files by themselves, and not all of them look where they lie. So the names are
read before any backend sees the graph. Nothing is copied: the messages that can hold a tensor are
walked through in the mapped file, and what is in between, weights above all, is not even read.
A small message without the word 'location' has none, and is not walked through: most nodes are.
"""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from pathlib import Path

from stylert.runtime.files.protobuf import BYTES, read_fields

__all__ = ["find_external_files"]

MAX_FIELDS = 2**20  # the graphs of the largest networks have less than a tenth
MAX_ENTRY = 4096  # bytes of a name and what it stands for

# The fields of onnx.proto that lead to a tensor, by their numbers, and what lies there.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},  # of external_data: a key and a value
    "entry": {},
}
_KEY, _VALUE = 1, 2
_NAMED = b"location"  # the key of a file's name
_SMALL = 4096  # bytes, which are searched faster than walked through


def find_external_files(path: Path) -> set[str]:
    """The 'location' of every tensor of an ONNX file that has one, as it stands there.

    Raises:
        ValueError: it is no ONNX file, or has more parts than any network needs.
        OSError: the file cannot be read.
    """
    found = set()
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        messages, count = [("model", 0, len(data))], 0
        while messages:
            kind, start, end = messages.pop()
            if kind == "entry":
                found |= _location(data, start, end)
                continue
            inside = _INSIDE[kind]
            for number, wire, _, begin, stop in read_fields(data, start, end):
                count += 1
                if wire == BYTES and number in inside and _may_name(data, begin, stop):
                    messages.append((inside[number], begin, stop))
                if count > MAX_FIELDS:
                    raise ValueError(f"it has more than {MAX_FIELDS} parts")
    return found


def _may_name(data: mmap, start: int, end: int) -> bool:
    """Whether there may be a file's name in data[start:end]."""
    return end - start > _SMALL or data.find(_NAMED, start, end) >= 0


def _location(data: mmap, start: int, end: int) -> set[str]:
    """The value of an entry whose key is 'location'."""
    if end - start > MAX_ENTRY:
        raise ValueError(f"it has external data of more than {MAX_ENTRY} bytes")
    parts = [
        (number, data[begin:stop]) for number, _, _, begin, stop in read_fields(data, start, end)
    ]
    entry = dict(parts)
    if len(entry) != len(parts):  # parsers take the last of two
        raise ValueError("it has external data that says something twice")
    return {entry.get(_VALUE, b"").decode()} if entry.get(_KEY) == _NAMED else set()

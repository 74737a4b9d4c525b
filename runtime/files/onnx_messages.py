"""The messages of ONNX files, read and written: the outermost layers of protobuf are enough.

runtime/ does without the package onnx. What is not changed is handed on as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from stylert.runtime.files.protobuf import BYTES, read_fields

__all__ = [
    "Chunks",
    "find_part",
    "find_parts",
    "list_fields",
    "make_field",
    "make_number",
    "read_number",
    "write_number",
]

Chunks = list[bytes | memoryview]  # of a message, put together once


def list_fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """The number, the whole, and the value of every field of a message.

    Raises:
        ValueError: it is no message.
    """
    for number, _, start, begin, end in read_fields(message, 0, len(message)):
        yield number, message[start:end], message[begin:end]


def find_part(message: memoryview, number: int) -> bytes:
    """The first value of a field of a message, empty = there is none."""
    return next((bytes(value) for found, _, value in list_fields(message) if found == number), b"")


def find_parts(message: memoryview, number: int) -> list[bytes]:
    """All values of a field of a message."""
    return [bytes(value) for found, _, value in list_fields(message) if found == number]


def make_field(number: int, value: Chunks) -> Chunks:
    """A field that holds bytes; its number is below 16."""
    size = sum(len(chunk) for chunk in value)
    return [bytes([number << 3 | BYTES]), write_number(size), *value]


def make_number(number: int, value: int) -> bytes:
    """A field that holds an integer."""
    return write_number(number << 3) + write_number(value)


def write_number(value: int) -> bytes:
    """An integer in 7 bits per byte, lowest first; all but the last have the highest bit."""
    value &= 2**64 - 1  # how negative ones are written
    head = []
    while value > 127:
        head.append(value & 127 | 128)
        value >>= 7
    return bytes([*head, value])


def read_number(written: bytes) -> int:
    """The integer of one such."""
    value = sum((byte & 127) << 7 * i for i, byte in enumerate(written))
    return value - 2**64 if value >= 2**63 else value

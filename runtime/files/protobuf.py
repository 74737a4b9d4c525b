"""Protobuf's wire format, as far as ONNX files need it: where the fields of a message lie.

Nothing is copied. What one parser might read otherwise than another is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap

__all__ = ["BYTES", "read_fields"]

BYTES = 2  # the kind of texts, arrays and messages in messages
_VARINT = 0
_FIXED = {1: 8, 5: 4}  # kinds of so many bytes
_LARGEST_KEY = 2**32 - 1  # C++ cuts off what is above


def read_fields(
    data: bytes | memoryview | mmap, start: int, end: int
) -> Iterator[tuple[int, int, int, int, int]]:
    """The number and the kind of every field of the message data[start:end], and where it lies.

    The last three of each are where the field starts, where its value does, and where both end.

    Raises:
        ValueError: it is no message.
    """
    at = start
    while at < end:
        start = at
        # Nearly all integers are of one byte, and a graph has a hundred thousand of them.
        key, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == BYTES:
            short = at < end and data[at] < 128
            size, at = (data[at], at + 1) if short else _varint(data, at)
            stop = at + size
        elif kind == _VARINT:
            _, stop = _varint(data, at)
        else:
            stop = at + _FIXED.get(kind, end)  # groups, which ONNX has none of, fit nowhere
        if stop > end or not 8 <= key <= _LARGEST_KEY:
            raise ValueError("no protobuf: a field is of no kind, or ends behind its message")
        yield number, kind, start, at, stop
        at = stop


def _varint(data: bytes | memoryview | mmap, at: int) -> tuple[int, int]:
    """An integer in 7 bits per byte, lowest first, and where it ends."""
    value = 0
    for i, byte in enumerate(data[at : at + 10]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, at + i + 1
    raise ValueError("no protobuf: an integer has no end")

"""The ZIP format as far as a data set needs it: stored entries, and as many bytes as there are.

The standard library keeps an object for every entry until the end, and cannot go on with a file
that has no directory yet. Here the directory is made from the entries themselves.
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["Entry", "directory_end", "entries", "entry_header"]

_HEADER = struct.Struct("<4s5H3I2H")
_RECORD = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")

_WORD = 0xFFFFFFFF  # a field with it says: see the 64-bit one
_HALF = 0xFFFF
_LARGE = 1  # the extra field with 64-bit numbers
_VERSION, _VERSION64 = 20, 45  # of the format, that a reader must know
_UNIX = 3 << 8  # the mode of a file is in the upper half of its attributes
_MODE = 0o100644 << 16
_DATE = 1 << 5 | 1  # 1 January 1980, the first day that there is


@dataclass(frozen=True)
class Entry:
    """A file in a zip file."""

    name: str  # ASCII
    size: int
    crc: int
    offset: int  # of its header

    @property
    def end(self) -> int:
        """Where the next entry begins."""
        return self.offset + len(entry_header(self.name, self.size, self.crc)) + self.size

    def record(self) -> bytes:
        """What the directory says of it."""
        large = [n for n in (self.size, self.size, self.offset) if n >= _WORD]
        extra = struct.pack(f"<2H{len(large)}Q", _LARGE, 8 * len(large), *large) if large else b""
        version = _VERSION64 if large else _VERSION
        size, name = min(self.size, _WORD), self.name.encode("ascii")
        return (
            _RECORD.pack(
                *(b"PK\1\2", _UNIX | version, version, 0, 0, 0, _DATE, self.crc, size, size),
                *(len(name), len(extra), 0, 0, 0, _MODE, min(self.offset, _WORD)),
            )
            + name
            + extra
        )


def entry_header(name: str, size: int, crc: int) -> bytes:
    """What stands before a file's bytes; `crc` is their zlib.crc32."""
    large = size >= _WORD
    extra = struct.pack("<2H2Q", _LARGE, 16, size, size) if large else b""
    version, short = (_VERSION64, _WORD) if large else (_VERSION, size)
    header = _HEADER.pack(
        *(b"PK\3\4", version, 0, 0, 0, _DATE, crc, short, short, len(name), len(extra))
    )
    return header + name.encode("ascii") + extra


def entries(file: BinaryIO) -> Iterator[Entry]:
    """The entries from the file's first byte on, up to what is none of ours, or not whole."""
    offset = 0
    while True:
        file.seek(offset)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(b"PK\3\4"):
            return
        *_, crc, _, size, name_length, extra_length = _HEADER.unpack(header)
        name, extra = file.read(name_length), file.read(extra_length)
        if size == _WORD and len(extra) == 20:
            size = struct.unpack_from("<Q", extra, 4)[0]
        try:
            entry = Entry(name.decode("ascii"), size, crc, offset)
        except UnicodeDecodeError:
            return
        yield entry
        offset = entry.end


def directory_end(count: int, start: int, size: int) -> bytes:
    """What ends a zip file: where its directory starts, how long it is, and how many entries."""
    end = b""
    if count >= _HALF or start >= _WORD or size >= _WORD:
        versions = (_UNIX | _VERSION64, _VERSION64)
        rest = _END64.size - 12  # behind the field that says so
        end = _END64.pack(b"PK\6\6", rest, *versions, 0, 0, count, count, size, start)
        end += _LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
    short, half = (min(size, _WORD), min(start, _WORD)), min(count, _HALF)
    return end + _END.pack(b"PK\5\6", 0, 0, half, half, *short, 0)

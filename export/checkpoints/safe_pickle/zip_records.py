"""The records of a zip archive as views of its bytes: nothing is unpacked, so nothing can swell.

torch.save stores its records as they are, one behind the other, and a directory at the end (APPNOTE
of PKWARE, sections 4.3.7 to 4.3.16). A record that is compressed is refused when it is asked for.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.runtime.errors import CheckpointError

__all__ = ["ZipRecords"]

MAX_RECORDS = 50_000  # the training file of a 1024 px network has about 1500

_END = struct.Struct("<4s4H2LH")  # end of the directory
_END_64 = struct.Struct("<4sQ2H2L4Q")  # the same with sizes beyond 4 GiB
_LOCATOR_64 = struct.Struct("<4sLQL")  # where _END_64 is, just before _END
_ENTRY = struct.Struct("<4s6H3L5H2L")  # of the directory, before its name
_LOCAL = struct.Struct("<4s5H3L2H")  # before the name and data of a record
_MAX_COMMENT = 2**16 - 1
_BEYOND = 2**32 - 1  # in place of a size that takes 64 bits
_ENCRYPTED = 1


@dataclass(frozen=True)
class _Entry:
    """A record as the directory describes it."""

    flags: int
    method: int  # of the compression, 0 = none
    crc: int  # 0 = not computed, an option of torch.save
    packed: int  # size in bytes as it is stored
    size: int
    offset: int  # of its local header


class ZipRecords:
    """The records of an archive by name.

    Args:
        data: The whole file.

    Raises:
        CheckpointError: its directory is damaged.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        try:
            self._entries = _read_directory(data)
        except CheckpointError:
            raise
        except (struct.error, ValueError):
            raise CheckpointError("it is a damaged zip archive; download it again") from None
        self._sound: set[str] = set()
        self.names = tuple(self._entries)  # of all records, with their folders

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def view(self, name: str) -> memoryview:
        """The bytes of a record, not yet looked at.

        Raises:
            CheckpointError: it is missing, compressed or encrypted, or reaches outside the file.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise CheckpointError(f"the record {quote(name)} is missing; download it again")
        if entry.method or entry.packed != entry.size or entry.flags & _ENCRYPTED:
            raise CheckpointError(
                f"the record {quote(name)} is compressed or encrypted, which torch.save never "
                "does; pack it again with zip -0"
            )
        start = entry.offset + _LOCAL.size
        header = self._data[entry.offset : start]
        if len(header) == _LOCAL.size:
            signature, *_, name_size, extra_size = _LOCAL.unpack(header)
            start += name_size + extra_size
            if signature == b"PK\3\4" and start + entry.size <= len(self._data):
                return self._data[start : start + entry.size]
        raise CheckpointError(f"the record {quote(name)} is damaged; download it again")

    def read(self, name: str) -> memoryview:
        """The bytes of a record, compared with their checksum.

        Raises:
            CheckpointError: as for `view`, or the bytes were changed.
        """
        view = self.view(name)
        crc = self._entries[name].crc
        if name not in self._sound and crc and zlib.crc32(view) != crc:
            raise CheckpointError(f"the record {quote(name)} is damaged; download it again")
        self._sound.add(name)
        return view


def _read_directory(data: memoryview) -> dict[str, _Entry]:
    count, size, position = _find_directory(data)
    if count > MAX_RECORDS:
        raise CheckpointError(
            f"the zip archive claims {count} records, expected at most {MAX_RECORDS}"
        )
    if position + size > len(data):
        raise ValueError("directory")
    entries: dict[str, _Entry] = {}
    for _ in range(count):
        name, entry, position = _read_entry(data, position)
        if name in entries:
            raise CheckpointError(f"the zip archive has the record {quote(name)} twice")
        entries[name] = entry
    return entries


def _find_directory(data: memoryview) -> tuple[int, int, int]:
    """Number of records, and size and offset of their directory."""
    tail = bytes(data[-(_END.size + _MAX_COMMENT) :])
    found = tail.rfind(b"PK\5\6")
    if found < 0:
        raise CheckpointError("it is a damaged zip archive without a directory; download it again")
    end = len(data) - len(tail) + found
    *_, count, size, offset, _comment = _END.unpack_from(data, end)
    if end >= _LOCATOR_64.size:
        signature, _, offset_64, _ = _LOCATOR_64.unpack_from(data, end - _LOCATOR_64.size)
        if signature == b"PK\6\7":
            signature, *_, count, size, offset = _END_64.unpack_from(data, min(offset_64, end))
            if signature != b"PK\6\6":
                raise ValueError("end of the directory")
    return count, size, offset


def _read_entry(data: memoryview, position: int) -> tuple[str, _Entry, int]:
    """An entry of the directory, its name, and where the next one begins."""
    fields = _ENTRY.unpack_from(data, position)
    signature, _, _, flags, method, _, _, crc, packed, size = fields[:10]
    name_size, extra_size, comment_size, *_, offset = fields[10:]
    if signature != b"PK\1\2":
        raise ValueError("entry of the directory")
    start = position + _ENTRY.size
    name = str(data[start : start + name_size], "utf-8")
    start += name_size
    extra = data[start : start + extra_size]
    # In this order, and only those that do not fit their own field.
    size, packed, offset = _widen([size, packed, offset], extra)
    entry = _Entry(flags, method, crc, packed, size, offset)
    return name, entry, start + extra_size + comment_size


def _widen(values: list[int], extra: memoryview) -> list[int]:
    """Values that do not fit into 32 bits are in the extra field with the number 1."""
    if _BEYOND not in values:
        return values
    while len(extra) >= 4:
        number, length = struct.unpack_from("<2H", extra)
        if number == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, 4))
            return [next(wide, value) if value == _BEYOND else value for value in values]
        extra = extra[4 + length :]
    return values

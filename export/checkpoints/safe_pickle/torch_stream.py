"""The stream that torch.save wrote before torch 1.6, and that NVlabs' pickles have for a storage.

It is five pickles: a magic number, the version, what the machine was, the value, and a list of the
storages which the value uses. Behind them comes every storage: its number of elements, and the raw
little-endian data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stylert.export.checkpoints.safe_pickle.budget import Budget
from stylert.export.checkpoints.safe_pickle.foreign import ForeignNames, ForeignObject
from stylert.export.checkpoints.safe_pickle.pickle_machine import PickleMachine
from stylert.export.checkpoints.safe_pickle.pickle_names import Global
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.export.checkpoints.safe_pickle.storages import (
    STORAGE_TYPES,
    DescribedStorage,
    Storage,
    describe_storage,
)
from stylert.runtime.errors import CheckpointError

__all__ = ["TORCH_MAGIC", "USUAL_HEAD", "read_storage", "read_stream"]

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001

# The first three pickles, byte by byte as torch has always written them on little-endian machines:
# a snapshot has hundreds of streams.
USUAL_HEAD = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    b"\x80\x02M\xe9\x03."
    b"\x80\x02}q\x00(X\x10\x00\x00\x00protocol_versionq\x01M\xe9\x03"
    b"X\r\x00\x00\x00little_endianq\x02\x88X\n\x00\x00\x00type_sizesq\x03"
    b"}q\x04(X\x05\x00\x00\x00shortq\x05K\x02X\x03\x00\x00\x00intq\x06K\x04"
    b"X\x04\x00\x00\x00longq\x07K\x04uu."
)


def read_storage(
    data: Any, *, budget: Budget, foreign: ForeignNames | None
) -> Storage | ForeignObject:
    """What stands for torch.storage._load_from_bytes: one storage in a stream of its own.

    Raises:
        CheckpointError: the stream is damaged, is of another kind, or asks for something refused.
    """
    if not isinstance(data, (bytes, memoryview)):
        raise CheckpointError("a torch storage is no bytes")
    value = read_stream(memoryview(data), STORAGE_TYPES, budget=budget, foreign=foreign)
    if not isinstance(value, (Storage, ForeignObject)):
        raise CheckpointError("a torch storage is not described as one")
    return value


def read_stream(
    data: memoryview,
    names: Mapping[tuple[str, str], Global],
    *,
    budget: Budget,
    foreign: ForeignNames | None = None,
) -> Any:
    """The value in a stream.

    Args:
        data: The stream, which may have something behind its end.
        names: Module and name of every global which its pickles may use.
        budget: What the reading may cost.
        foreign: Takes the names that are not among them. None = refuse these.

    Raises:
        CheckpointError: as for `read_storage`.
    """
    return _Stream(data, names, budget, foreign).read()


class _Stream:
    """The pickles and the data of one stream, in their order."""

    def __init__(
        self,
        data: memoryview,
        names: Mapping[tuple[str, str], Global],
        budget: Budget,
        foreign: ForeignNames | None,
    ) -> None:
        self._data = data
        self._names = names
        self._budget = budget
        self._foreign = foreign
        self._position = 0
        self._described: dict[str, DescribedStorage] = {}
        self._parts: dict[str, memoryview] = {}  # the bytes of each storage

    def read(self) -> Any:
        if self._data[: len(USUAL_HEAD)] == USUAL_HEAD:
            self._position = len(USUAL_HEAD)
        else:
            self._read_head()
        value = self._unpickle()
        if type(value) is ForeignObject:
            return value
        keys = self._unpickle()
        if (
            type(keys) is not list
            or any(type(key) is not str for key in keys)
            or sorted(keys) != sorted(self._described)
        ):
            raise CheckpointError("the torch data has other storages than its value uses")
        for key in keys:
            self._parts[key] = self._take_part(self._described[key])
        return value

    def _read_head(self) -> None:
        if self._unpickle() != TORCH_MAGIC or self._unpickle() != _VERSION:
            raise CheckpointError("the torch data has an unknown format")
        system = self._unpickle()
        if type(system) is not dict or system.get("little_endian") is not True:
            raise CheckpointError("the torch data is not little-endian")

    def _unpickle(self) -> Any:
        machine = PickleMachine(
            self._data,
            self._names,
            budget=self._budget,
            position=self._position,
            persistent=self._load_storage,
            foreign=self._foreign,
        )
        value = machine.run()
        self._position = machine.position
        return value

    def _load_storage(self, persistent_id: Any) -> Storage | Global:
        """A storage, whose elements come later, or a class, which comes with its source text."""
        if persistent_id[0] == "module" and type(persistent_id[1]) is Global:
            return persistent_id[1]
        described = describe_storage(persistent_id)
        key = described.key
        if self._described.setdefault(key, described) != described:
            raise CheckpointError(f"the torch storage {quote(key)} is described in two ways")
        return Storage(described, lambda: self._parts[key])

    def _take_part(self, described: DescribedStorage) -> memoryview:
        start = self._position + 8
        data = self._data[start : start + described.num_bytes]
        numel = int.from_bytes(self._data[self._position : start], "little")
        described.check_size(len(data))
        if numel != described.numel:
            raise CheckpointError(
                f"a torch storage claims {described.numel} elements, and {numel} are there"
            )
        self._position = start + len(data)
        return data

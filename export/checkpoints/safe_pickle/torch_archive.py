"""The zip archive that torch.save writes since torch 1.6 -> its value. Without torch.

It holds the pickle ROOT/data.pkl, and each storage as the record ROOT/data/KEY. A storage stays a
view of the file until one of its tensors is used.
"""

from __future__ import annotations

from typing import Any

from stylert.export.checkpoints.safe_pickle.allow_list import read_pickle
from stylert.export.checkpoints.safe_pickle.foreign import ForeignNames
from stylert.export.checkpoints.safe_pickle.storages import Storage, describe_storage
from stylert.export.checkpoints.safe_pickle.zip_records import ZipRecords
from stylert.runtime.errors import CheckpointError

__all__ = ["is_torch_archive", "read_archive"]

_PICKLE = "data.pkl"


def is_torch_archive(records: ZipRecords) -> bool:
    """Whether a zip archive is one of torch.save."""
    return bool(_list_pickles(records))


def read_archive(
    records: ZipRecords, *, foreign: ForeignNames | None = None, scripted: bool = False
) -> Any:
    """The value in an archive for which `is_torch_archive` holds.

    Args:
        records: The archive.
        foreign: Takes the names that are not in the list. None = refuse these.
        scripted: Take an archive of TorchScript, too: its data, never its code.

    Raises:
        CheckpointError: it is damaged, was written on a big-endian machine, or its pickle names
            anything that is not in the list.
    """
    if len(_list_pickles(records)) != 1:
        raise CheckpointError(f"the archive has {len(_list_pickles(records))} values, expected 1")
    root = _list_pickles(records)[0].removesuffix(_PICKLE)
    if f"{root}constants.pkl" in records and not scripted:
        raise CheckpointError("not supported: a TorchScript archive, which holds code")
    order = f"{root}byteorder"
    if order in records and bytes(records.read(order)) != b"little":
        raise CheckpointError("the torch data is not little-endian")

    def load_storage(persistent_id: Any) -> Storage:
        described = describe_storage(persistent_id)
        record = f"{root}data/{described.key}"
        described.check_size(len(records.view(record)))
        return Storage(described, lambda: records.read(record))

    pickle = records.read(f"{root}{_PICKLE}")
    return read_pickle(pickle, persistent=load_storage, foreign=foreign)[0]


def _list_pickles(records: ZipRecords) -> list[str]:
    return [name for name in records.names if name.rpartition("/")[2] == _PICKLE]

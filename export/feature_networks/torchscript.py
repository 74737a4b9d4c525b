"""The tensors of a TorchScript archive, as OpenAI publishes CLIP: read as data, and nothing run.

Its code, in records of their own, is not looked at. Its pickle holds modules of classes that only
that code defines; each is read as its attributes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from stylert.export.checkpoints.safe_pickle.allow_list import PickledObject
from stylert.export.checkpoints.safe_pickle.foreign import ForeignNames
from stylert.export.checkpoints.safe_pickle.pickle_names import Global, RefusedName
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.export.checkpoints.safe_pickle.torch_archive import read_archive
from stylert.export.checkpoints.safe_pickle.zip_records import ZipRecords
from stylert.runtime.errors import CheckpointError

__all__ = ["read_scripted"]

SCRIPTED = "__torch__."  # of the names of classes that the archive's code defines
MOST_NESTED = 32


class _ScriptedNames(ForeignNames):
    """Modules of TorchScript by name only; all else outside the list is refused."""

    def resolve(self, name: str) -> Any:
        if not name.startswith(SCRIPTED):
            raise RefusedName(name)
        return Global(name, new=partial(PickledObject, name))


def read_scripted(records: ZipRecords) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive, by their names with those of their modules.

    Raises:
        CheckpointError: it is damaged, or names anything else than modules and tensors.
    """
    value = read_archive(records, foreign=_ScriptedNames(), scripted=True)
    return dict(_list_tensors(value, "", 0))


def _list_tensors(value: Any, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if depth > MOST_NESTED:
        raise CheckpointError("its modules are nested too deeply")
    if type(value) is Tensor:
        yield name, value
    elif type(value) is PickledObject and type(value.state) is dict:
        for key, inner in value.state.items():
            if type(key) is str:
                yield from _list_tensors(inner, f"{name}.{key}" if name else key, depth + 1)

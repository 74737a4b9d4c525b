"""Snapshots by dill, which StyleGAN-XL saves with: it names its own functions for arrays and types.

dill itself is not needed: its functions stand in the pickle by name only.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import read_checkpoint
from stylert.export.checkpoints.safe_pickle.allow_list import PersistentObject, read_pickle
from stylert.export.checkpoints.safe_pickle.arrays import PickledArray
from stylert.export.checkpoints.safe_pickle.foreign import ForeignNames
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[2] / "goldens"
NAMES = {
    "torch_utils.persistence": "_reconstruct_persistent_obj",
    "dill._dill": "_create_array _load_type",
}


@pytest.fixture(autouse=True)
def functions(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Functions with the names that a pickle is to have."""
    made = {}
    for module, names in NAMES.items():
        fake: Any = types.ModuleType(module)
        for name in names.split():
            made[name] = lambda *_: pytest.fail("it ran")
            made[name].__module__, made[name].__qualname__ = module, name
            setattr(fake, name, made[name])
        monkeypatch.setitem(sys.modules, module, fake)
        monkeypatch.setitem(sys.modules, module.partition(".")[0], types.ModuleType("package"))
    return made


class Dill(pickle.Pickler):
    """Writes what `read_pickle` gave as dill would write the original."""

    functions: dict[str, Any]

    def reducer_override(self, value: Any) -> Any:
        if type(value) is PersistentObject:
            meta = {"type": "class", "class_name": value.class_name, "state": value.state}
            return self.functions["_reconstruct_persistent_obj"], (meta,)
        if type(value) is Tensor:
            return torch.from_numpy(value.to_float32()).__reduce_ex__(4)
        if type(value) is PickledArray:
            return self.functions["_create_array"], (*value.array.__reduce__(), None)
        if type(value) is type and value.__module__ == "builtins":
            return self.functions["_load_type"], (value.__name__,)
        if type(value) is set and self.proto < 4:
            return set, (list(value),)
        return NotImplemented


def dump(value: Any, functions: dict[str, Any], protocol: int) -> bytes:
    file = io.BytesIO()
    pickler = Dill(file, protocol)
    pickler.functions = functions
    pickler.dump(value)
    return file.getvalue()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["sg3-t-64", "sg3-r-64", "sg2-cond-32", "field/human-sg3t"])
def test_snapshots(name: str, protocol: int, functions: dict[str, Any], tmp_path: Path) -> None:
    original = GOLDENS / f"{name}.pkl"
    value, _ = read_pickle(memoryview(original.read_bytes()), foreign=ForeignNames())
    network = value["G_ema"]
    network.state["of_a_fork"] = dict  # a type, which an attribute may name
    data = dump({"G_ema": network, "D": [np.zeros((2, 3), order="F")]}, functions, protocol)
    (tmp_path / "file.pkl").write_bytes(data)
    got, expected = read_checkpoint(tmp_path / "file.pkl"), read_checkpoint(original)
    assert got.config == expected.config
    assert all(np.array_equal(got.tensors[key], expected.tensors[key]) for key in got.tensors)
    assert got.notes[-1].endswith("was read or run: 'builtins.dict'")


@pytest.mark.parametrize(
    "value",
    [
        b"cdill._dill\n_create_array\n(cnumpy\nndarray\n)}NtR",
        b"cdill._dill\n_create_array\n(cnumpy.core.multiarray\n_reconstruct\n)}NtR",
        b"cdill._dill\n_create_array\n)R",
        b"cdill._dill\n_load_type\nN\x85R",
        b"cdill._dill\n_load_type\nX\x03\x00\x00\x00set\x85R)R",
    ],
)
def test_calls_that_dill_does_not_write(value: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.pkl").write_bytes(b"\x80\x04}X\x01\x00\x00\x00a" + value + b"s.")
    with pytest.raises(CheckpointError, match=r"damaged|refuses|without a name|a set of"):
        read_checkpoint(tmp_path / "file.pkl")


def test_a_payload_by_name(tmp_path: Path) -> None:
    """A type that is called is as foreign as ever."""
    value = b"cdill._dill\n_load_type\nX\x04\x00\x00\x00exec\x85RX\x01\x00\x00\x00a\x85R"
    (tmp_path / "file.pkl").write_bytes(b"\x80\x04" + value + b".")
    with pytest.raises(CheckpointError, match=r"refuses 'builtins\.exec'"):
        read_checkpoint(tmp_path / "file.pkl")

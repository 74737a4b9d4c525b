"""Generators in dicts, lists and namespaces, however deep: of every family."""

from __future__ import annotations

import pickle
from argparse import Namespace
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.checkpoints.containers import walk_containers
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[2] / "goldens"
WRAPS: dict[str, Callable[[Any], Any]] = {
    "deep": lambda value: {"run": {"a": {"b": {"c": {"d": value}}}}, "step": 3},
    "list": lambda value: {"nets": [torch.zeros(2), [value, {"d": torch.zeros(1)}]]},
    "tuple": lambda value: (1, None, "text", value),
    "number": lambda value: {1000: {"state": value}},
    "namespace": lambda value: Namespace(lr=0.1, nets=Namespace(x=value)),
}


@cache
def read_golden(name: str) -> Checkpoint:
    return read_checkpoint(GOLDENS / name)


@pytest.mark.parametrize("wrap", sorted(WRAPS))
@pytest.mark.parametrize(
    "name", ["rosinality-32.pt", "rosinality-train-32.pt", "field/luci16.pt", "field/genforce.pth"]
)
def test_files_of_torch(name: str, wrap: str, tmp_path: Path) -> None:
    value = torch.load(GOLDENS / name, weights_only=False)
    torch.save(WRAPS[wrap](value), tmp_path / "file.pt")
    got, expected = read_checkpoint(tmp_path / "file.pt"), read_golden(name)
    assert (got.config, got.source.network) == (expected.config, expected.source.network)
    assert all(np.array_equal(got.tensors[key], expected.tensors[key]) for key in got.tensors)
    assert any(note.startswith("the generator is in '") for note in got.notes)


def as_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_arrays(part) for key, part in value.items()}
    return value.numpy() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize(
    "name", ["rosinality-32.pt", "field/luci16.pt", "field/genforce.pth", "field/ada-statedict.pt"]
)
def test_state_dicts_of_arrays(name: str, tmp_path: Path) -> None:
    value = as_arrays(torch.load(GOLDENS / name, weights_only=True))
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(value))
    got, expected = read_checkpoint(tmp_path / "file.pkl"), read_golden(name)
    assert got.config == expected.config
    assert all(np.array_equal(got.tensors[key], expected.tensors[key]) for key in got.tensors)


@pytest.mark.parametrize("tail", ["", ".G_ema"])
def test_networks_of_nvlabs(tail: str, writer: Any) -> None:
    network = writer.generator(writer.config())
    other = writer.generator(writer.config(mapping_layers=3))
    value = {"a": {"b": {"c": {"G_ema": network}}}, "d": [[[{"G_ema": other}]]]}
    path = writer.file(writer.dump(value))
    with pytest.raises(CheckpointError, match=r"several generators, in a\.b\.c, d\.0\.0\.0; pass"):
        read_checkpoint(path)
    assert read_checkpoint(path, network=f"a.b.c{tail}").config == writer.config()
    config = read_checkpoint(path, network=f"d.0.0.0{tail}").config
    assert config == writer.config(mapping_layers=3)
    with pytest.raises(CheckpointError, match=r"several generators"):
        read_checkpoint(path, network="a.b.cd")
    average = {"a": {"b": {"c": {"G": other}}}, "a_ema": {"b": {"c": {"G": network}}}}
    checkpoint = read_checkpoint(writer.file(writer.dump(average)))
    assert checkpoint.config == writer.config()
    assert "the generator is in 'a_ema.b.c' of the file" in checkpoint.notes


@pytest.mark.parametrize("key", ["g-ema", "my net", "G.ema", "000123", "G\xe9", "x" * 80])
def test_keys(key: str, writer: Any) -> None:
    data = writer.dump({key: writer.generator(writer.config())})
    assert read_checkpoint(writer.file(data)).source.network == key


@pytest.mark.parametrize("key", ["G_ema", "gEMA", "ema", "ema_model"])
@pytest.mark.parametrize("inner", [None, "net"])
def test_keys_of_averages(key: str, inner: str | None, writer: Any) -> None:
    network = writer.generator(writer.config())
    other = writer.generator(writer.config(mapping_layers=3))
    value = {"G": other, key: {inner: network} if inner else network}
    checkpoint = read_checkpoint(writer.file(writer.dump(value)))
    assert checkpoint.config == writer.config()
    assert checkpoint.notes == ()


def test_a_number_as_key(writer: Any) -> None:
    data = writer.dump({500: writer.generator(writer.config())})
    assert read_checkpoint(writer.file(data)).source.network == "500"


def test_look_alikes_that_are_deep(tmp_path: Path) -> None:
    state = {"main.feat_8.1.weight": torch.zeros(2), "se_64.main.1.weight": torch.zeros(2)}
    torch.save({"a": [{"b": {"c": state}}]}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match="a FastGAN generator"):
        read_checkpoint(tmp_path / "file.pt")


def test_containers_that_hold_themselves() -> None:
    own: list[Any] = [{}]
    own[0]["again"] = own
    assert len(list(walk_containers(own))) == 2


def test_many_that_are_the_same() -> None:
    """Each level holds the next one a thousand times: each by each would take years."""
    value: Any = {}
    for _ in range(8):
        value = {f"k{i}": value for i in range(1000)}
    assert len(list(walk_containers(value))) == 9

"""Latents in files of torch.save, as torch itself writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.latent_file import read_latents
from stylert.runtime.errors import CheckpointError

W = np.arange(24, dtype=np.float32).reshape(2, 3, 4)  # two of [num_ws 3, w_dim 4]


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy())


SHAPES: dict[str, tuple[Any, np.ndarray]] = {
    "PTI": (tensor(W[:1]), W[:1]),
    "e4e": (tensor(W), W),
    "one": (tensor(W[0]), W[0]),
    "a direction": (tensor(W[0, 0]), W[0, 0]),
    "half": (tensor(W).half(), W),
    "bfloat16": (tensor(W).bfloat16(), W),
    "double": (tensor(W).double(), W),
    "a view": (tensor(W).transpose(0, 2), W.T),
    "a parameter": (torch.nn.Parameter(tensor(W)), W),
    "named": ({"w": tensor(W), "noise": [tensor(W)], "loss": 0.5}, W),
    "named too": ({"latents": tensor(W), "paths": ["a", "b"]}, W),
    "a list": ([tensor(W[0]), tensor(W[1])], W),
    "a list of rows": ([tensor(W[0, 0]), tensor(W[1, 0])], W[:, :1]),
    "a list of batches": ([tensor(W), tensor(-W[:1])], np.concatenate([W, -W[:1]])),
    "a tuple of one": ((tensor(W),), W),
    "rosinality": (
        {
            f"{i}.png": {"img": torch.zeros(3, 8, 8), "latent": tensor(W[i]), "noise": [tensor(W)]}
            for i in range(2)
        },
        W,
    ),
    "a list by name": ({"latents": [tensor(W[0]), tensor(W[1])]}, W),
}


@pytest.mark.parametrize("old", [False, True], ids=["archive", "stream"])
@pytest.mark.parametrize(("value", "expected"), SHAPES.values(), ids=SHAPES)
def test_what_tools_write(tmp_path: Path, value: Any, expected: np.ndarray, old: bool) -> None:
    torch.save(value, tmp_path / "latents.pt", _use_new_zipfile_serialization=not old)
    got = read_latents(tmp_path / "latents.pt")
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    assert np.array_equal(got, expected)


NO_LATENTS: dict[str, tuple[Any, str]] = {
    "a checkpoint": ({"g_ema": {"x": tensor(W)}, "latent_avg": tensor(W)}, "it has 'g_ema', 'late"),
    "nothing": ({}, "it has no keys, expected one of w, ws, "),
    "no tensors": ([], "it has no tensors"),
    "numbers": ([0.5], "its list has a float, expected tensors"),
    "a number": (3, "it has a int, expected a tensor"),
    "integers": (torch.zeros(2, 3, dtype=torch.int64), "holds int64, expected floats"),
    "an empty tensor": (torch.zeros(0, 3), "is empty"),
    "different ones": ([torch.zeros(3, 4), torch.zeros(2, 4)], "have the shapes [(2, 4), (3, 4)]"),
    "different ranks": ([torch.zeros(3, 4), torch.zeros(4)], "have the shapes "),
    "deep": ({"a": {"w": {"w": {"w": torch.zeros(3)}}}}, "lie too deep in each other"),
}


@pytest.mark.parametrize(("value", "message"), NO_LATENTS.values(), ids=NO_LATENTS)
def test_files_without_latents(tmp_path: Path, refuses: Any, value: Any, message: str) -> None:
    torch.save(value, tmp_path / "latents.pt")
    with refuses("Cannot read ", message, error=CheckpointError):
        read_latents(tmp_path / "latents.pt")


def test_a_dict_that_holds_itself(tmp_path: Path, refuses: Any) -> None:
    value: dict[str, Any] = {}
    value["w"] = value
    torch.save(value, tmp_path / "latents.pt")
    with refuses("lie too deep in each other", error=CheckpointError):
        read_latents(tmp_path / "latents.pt")


def test_one_tensor_many_times(tmp_path: Path, refuses: Any) -> None:
    torch.save([torch.zeros(1000, 1000)] * 1000, tmp_path / "latents.pt")
    assert (tmp_path / "latents.pt").stat().st_size < 5_000_000
    with refuses("its tensors have 1000000000 numbers, expected latents", error=CheckpointError):
        read_latents(tmp_path / "latents.pt")


class Gadget:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("old", [False, True], ids=["archive", "stream"])
def test_nothing_is_run(tmp_path: Path, refuses: Any, old: bool) -> None:
    path = tmp_path / "latents.pt"
    torch.save({"w": Gadget(tmp_path / "PWNED")}, path, _use_new_zipfile_serialization=not old)
    with refuses("Cannot read ", "refuses", error=CheckpointError):
        read_latents(path)
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"\x80\x04N.", bytes(100)])
def test_other_files(tmp_path: Path, refuses: Any, content: bytes) -> None:
    (tmp_path / "latents.pt").write_bytes(content)
    with refuses("Cannot read ", error=CheckpointError):
        read_latents(tmp_path / "latents.pt")


@pytest.mark.parametrize("save", [np.save, np.savez])
def test_what_is_converted_already(tmp_path: Path, refuses: Any, save: Any) -> None:
    with (tmp_path / "ws.npy").open("wb") as file:
        save(file, np.zeros((1, 3, 4), np.float32))
    with refuses("is a file of NumPy already", "use it as it is", error=CheckpointError):
        read_latents(tmp_path / "ws.npy")


@pytest.mark.parametrize("name", ["missing.pt", "", "a\0b"])
def test_no_such_file(tmp_path: Path, refuses: Any, name: str) -> None:
    with refuses("Cannot read ", error=CheckpointError):
        read_latents(f"{tmp_path}/{name}")

"""Latents in files of torch.save, as torch itself writes them."""

from __future__ import annotations

import pickle
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


A, B = W
ARRAYS: dict[str, tuple[Any, np.ndarray]] = {
    "an array": (W, W),
    "named": ({"w": W, "loss": np.float64(0.5)}, W),
    "by image": ({"a.jpg": A, "b.jpg": B}, W),
    "steps by image": ({"a.jpg": [0 * A, A], "b.jpg": [B + 1, 2 * B, B]}, W),
    "half": ({"a.jpg": A.astype(np.float16)}, A),
    "in Fortran's order": ({"w": np.asfortranarray(W)}, W),
    "a list": ([A, B], W),
    "double": ([W.astype(np.float64)], W),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(("value", "expected"), ARRAYS.values(), ids=ARRAYS)
def test_pickles(tmp_path: Path, value: Any, expected: np.ndarray, protocol: int) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(value, protocol))
    got = read_latents(tmp_path / "w.pkl")
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(
    "name", [name for name, (value, _) in ARRAYS.items() if type(value) is dict]
)
def test_arrays_of_one_object(tmp_path: Path, name: str) -> None:
    value, expected = ARRAYS[name]
    np.save(tmp_path / "latents.npy", value)
    assert np.array_equal(read_latents(tmp_path / "latents.npy"), expected)


def test_arrays_of_objects(tmp_path: Path) -> None:
    objects = np.empty(2, object)
    objects[:] = [A, B]
    np.save(tmp_path / "latents.npy", objects)
    assert np.array_equal(read_latents(tmp_path / "latents.npy"), W)


def test_what_the_encoder_of_restyle_writes(goldens: Path) -> None:
    latents = read_latents(goldens / "restyle-latents.npy")
    assert (latents.shape, latents.dtype) == ((2, 6, 24), np.float32)
    assert np.ptp(latents, axis=1).max() == 0  # the same w in all layers
    assert latents[0, 0, 0] == np.float32(0.509060561656952)


BAD_ARRAYS: dict[str, tuple[Any, str]] = {
    "integers": ({"w": np.zeros((1, 3, 4), int)}, "holds int64, expected floats"),
    "no steps": ({"a.jpg": []}, "it has 'a.jpg', expected one of w, "),
    "a mixture": ({"a.jpg": A, "b.jpg": [B]}, "it has 'a.jpg', 'b.jpg', expected one of w, "),
    "objects in it": (
        {"w": np.array([A, None], dtype=object)},
        "its list has a NoneType, expected tensors",
    ),
    "text": ({"w": np.array(["w"])}, "refuses a numpy type"),
}


@pytest.mark.parametrize(("value", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_pickles_without_latents(tmp_path: Path, refuses: Any, value: Any, message: str) -> None:
    np.save(tmp_path / "latents.npy", value)
    with refuses("Cannot read ", message, error=CheckpointError):
        read_latents(tmp_path / "latents.npy")


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


def test_nothing_of_an_array_of_objects_is_run(tmp_path: Path, refuses: Any) -> None:
    np.save(tmp_path / "w.npy", {"w": Gadget(tmp_path / "PWNED")})
    with refuses("Cannot read ", "refuses", error=CheckpointError):
        read_latents(tmp_path / "w.npy")
    assert not (tmp_path / "PWNED").exists()


def test_a_list_that_holds_itself_in_an_array(tmp_path: Path, refuses: Any) -> None:
    objects = np.empty(1, object)
    objects[0] = objects
    np.save(tmp_path / "w.npy", objects)
    with refuses("Cannot read ", error=CheckpointError):
        read_latents(tmp_path / "w.npy")


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


@pytest.mark.parametrize("header", [b"", b"\1", b"\3\0\6\0\0\0{}   \n", b"\1\0\xff\xff{"])
def test_a_damaged_header_of_numpy(tmp_path: Path, refuses: Any, header: bytes) -> None:
    (tmp_path / "ws.npy").write_bytes(b"\x93NUMPY" + header)
    with refuses("Cannot read ", "its header of NumPy is damaged", error=CheckpointError):
        read_latents(tmp_path / "ws.npy")


@pytest.mark.parametrize("name", ["missing.pt", "", "a\0b"])
def test_no_such_file(tmp_path: Path, refuses: Any, name: str) -> None:
    with refuses("Cannot read ", error=CheckpointError):
        read_latents(f"{tmp_path}/{name}")

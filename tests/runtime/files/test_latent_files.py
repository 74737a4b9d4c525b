"""Styles and directions from files: every shape that tools write, and files that are none."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert.runtime.bundle import GeneratorSpec
from stylert.runtime.files import latent_files
from stylert.runtime.files.latent_files import is_pickled, load_direction, load_ws

SPEC = GeneratorSpec(
    z_dim=5,
    c_dim=0,
    w_dim=4,
    num_ws=3,
    img_channels=3,
    img_height=8,
    img_width=8,
    truncation_psi=1.0,
    truncation_cutoff=None,
)
W = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(params=["npy", "npz", "compressed"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Gives the path of a file with an array, as each of the formats."""

    def save(array: Any) -> Path:
        path = tmp_path / ("latents.npy" if request.param == "npy" else "latents.npz")
        if request.param == "npy":
            np.save(path, array)
        else:
            (np.savez if request.param == "npz" else np.savez_compressed)(path, w=array)
        return path

    return save


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (W[None], W[None]),  # NVIDIA's projector
        (W, W[None]),
        (np.stack([W, -W]), np.stack([W, -W])),
        (W[0], W[None, [0, 0, 0]]),
        (W[:1], W[None, [0, 0, 0]]),
        (W[:2, None], np.stack([W[[0, 0, 0]], W[[1, 1, 1]]])),
        (W[None].astype(np.float64), W[None]),
        (W[None].astype(np.float16), W[None]),
        (np.asfortranarray(W), W[None]),
        (W.astype(">f4"), W[None]),
    ],
)
def test_styles(saved: Any, array: np.ndarray, expected: np.ndarray) -> None:
    for path in (saved(array), str(saved(array))):
        ws = load_ws(path, SPEC)
        assert ws.dtype == np.float32
        assert ws.flags.c_contiguous
        assert np.array_equal(ws, expected)


@pytest.mark.parametrize(
    "array",
    [
        *(W[:2], W[:, :3], W[None, :, :3], W[None, :2], W[None, None], W[0, :3], W[:0, None]),
        *(np.zeros((0, 3, 4), np.float32), np.zeros((18, 512), np.float32)),
    ],
)
def test_styles_of_another_shape(saved: Any, refuses: Any, array: np.ndarray) -> None:
    with refuses(
        f"got shape {array.shape}, expected ('N', 3, 4), (3, 4), ('N', 1, 4) or (4,). Was it made"
    ):
        load_ws(saved(array), SPEC)


@pytest.mark.parametrize(
    ("array", "expected"),
    [(W, W), (W[0], W[0]), (W[:1], W[0]), (W[None], W), (W[0].astype(np.float64), W[0])],
)
def test_directions(saved: Any, array: np.ndarray, expected: np.ndarray) -> None:
    direction = load_direction(saved(array), SPEC)
    assert direction.dtype == np.float32
    assert np.array_equal(direction, expected)


@pytest.mark.parametrize("array", [W[:2], W[0, :3], np.stack([W, W]), W[:0], W[:, :3]])
def test_directions_of_another_shape(saved: Any, refuses: Any, array: np.ndarray) -> None:
    with refuses("got shape ", "expected (4,) or (3, 4). Was it made for "):
        load_direction(saved(array), SPEC)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (W.astype(int), "got dtype int64, expected float32"),
        (W.astype(complex), "got dtype complex128, expected float32"),
        (W * np.nan, "got NaN or infinity"),
        (np.array(["w"]), "got dtype <U1, expected float32"),
        (np.zeros(3, [("a", "f4")]), "got dtype [('a', '<f4')], expected float32"),
    ],
)
def test_arrays_of_another_kind(saved: Any, refuses: Any, array: np.ndarray, message: str) -> None:
    path = saved(array)
    with refuses(str(path), message):
        load_ws(path, SPEC)


# --- Several arrays in a file.


def test_the_array_that_is_meant(tmp_path: Path, refuses: Any) -> None:
    path = tmp_path / "several.npz"
    np.savez(path, a=W, b=-W)
    assert np.array_equal(load_ws(path, SPEC, key="b")[0], -W)
    with refuses("got no array 'w', expected one of those in it: 'a', 'b'. Save a file of one"):
        load_ws(path, SPEC)
    with refuses("got no array 'c', expected one of those in it: 'a', 'b'"):
        load_direction(path, SPEC, key="c")
    np.savez(path, a=W, w=-W)
    assert np.array_equal(load_ws(path, SPEC)[0], -W)
    np.savez(path)
    with refuses("got no array 'w', expected one of those in it: none"):
        load_ws(path, SPEC)
    np.savez(path, anything=W)
    assert np.array_equal(load_ws(path, SPEC)[0], W)


def test_a_key_for_a_file_with_one_array(tmp_path: Path, refuses: Any) -> None:
    np.save(tmp_path / "w.npy", W)
    with refuses("key: got 'w', expected None"):
        load_ws(tmp_path / "w.npy", SPEC, key="w")


@pytest.mark.parametrize("key", [7, b"w", ["w"], object()])
def test_a_key_that_is_no_name(tmp_path: Path, refuses: Any, key: Any) -> None:
    np.savez(tmp_path / "w.npz", w=W)
    with refuses("got no array ", "expected one of those in it: 'w'"):
        load_ws(tmp_path / "w.npz", SPEC, key=key)


# --- Files that are none, or not safe.


class Gadget:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("form", ["npy", "npz"])
def test_a_pickle_inside_is_never_loaded(tmp_path: Path, refuses: Any, form: str) -> None:
    path, objects = tmp_path / f"w.{form}", np.array([Gadget(tmp_path / "PWNED")], dtype=object)
    if form == "npy":
        np.save(path, objects)
    else:
        np.savez(path, w=objects)
    message = "is damaged" if form == "npz" else f"stylert convert {path} {tmp_path}/w-plain.npy"
    with refuses("w.np", message):
        load_ws(path, SPEC)
    assert is_pickled(path) is (form == "npy")
    assert not (tmp_path / "PWNED").exists()


def test_files_of_torch_are_to_be_converted(tmp_path: Path, refuses: Any) -> None:
    path = tmp_path / "latents.pt"
    path.write_bytes(pickle.dumps(Gadget(tmp_path / "PWNED")))
    with refuses(f"stylert convert {path} {tmp_path}/latents.npy"):
        load_ws(path, SPEC)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("latents/data.pkl", pickle.dumps(Gadget(tmp_path / "PWNED")))
    with refuses(
        "is a pickle, as torch.save writes it", f"stylert convert {path} {tmp_path}/latents.npy"
    ):
        load_direction(path, SPEC)
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"\x93NUMPY\x01\0v\0{'descr': 'f4'"])
def test_what_is_no_pickle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.npy").write_bytes(content)
    assert not is_pickled(tmp_path / "w.npy")
    assert not is_pickled(tmp_path / "missing.npy")
    assert not is_pickled(tmp_path)


@pytest.mark.parametrize("content", [b"", b"w", b"[[1.0, 2.0]]", b"\x93NUMP", bytes(1000)])
def test_other_files(tmp_path: Path, refuses: Any, content: bytes) -> None:
    path = tmp_path / "w.npy"
    path.write_bytes(content)
    with refuses("it is no .npy or .npz file. Write one: numpy.save("):
        load_ws(path, SPEC)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "tiff"])
def test_pictures_are_no_styles(tmp_path: Path, refuses: Any, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (4, 4)).save(path, kind)
    with refuses(f"{path}: it is a picture, expected its styles", "a projector or an encoder"):
        load_ws(path, SPEC)


def test_damaged_files(saved: Any, refuses: Any) -> None:
    path = saved(np.random.RandomState(0).randn(50, 3, 4))
    whole = path.read_bytes()
    for end in (7, 20, 70, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with refuses("Cannot read ", "it is damaged"):
            load_ws(path, SPEC)


def test_a_header_that_claims_a_huge_array(tmp_path: Path, refuses: Any) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 3, 4)}
    )
    path = tmp_path / "w.npy"
    path.write_bytes(header.getvalue() + bytes(100))
    with refuses("Cannot read "):
        load_ws(path, SPEC)


def test_an_archive_that_swells(
    tmp_path: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latent_files, "MAX_BYTES", 1000)
    path = tmp_path / "w.npz"
    np.savez_compressed(path, w=np.zeros((100, 3, 4), np.float32))
    assert path.stat().st_size < 1000
    with refuses("got 4928 bytes, expected at most 1000"):
        load_ws(path, SPEC)


@pytest.mark.parametrize("path", [None, 3, ["w.npy"], W])
def test_what_is_no_path(refuses: Any, path: Any) -> None:
    with refuses("path: got ", "expected a .npy or .npz file"):
        load_ws(path, SPEC)


@pytest.mark.parametrize("name", ["missing.npy", "", "a\0b"])
def test_no_such_file(tmp_path: Path, refuses: Any, name: str) -> None:
    with refuses("Cannot read "):
        load_ws(f"{tmp_path}/{name}", SPEC)

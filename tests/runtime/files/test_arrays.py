"""Archives of arrays that take more memory than their bundle says: refused while they are small."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime import bundle as bundle_module
from stylert.runtime.bundle import MANIFEST, Bundle
from stylert.runtime.errors import BundleError
from stylert.runtime.files import manifest as manifest_module
from stylert.runtime.generator import Generator
from stylert.tests.manifests import change_manifest, list_file

Refuses = Callable[..., Any]
LARGE = np.zeros((1, 1, 2048, 2048), np.float32)  # 16 MiB, which zip makes 16 kB of


@pytest.fixture(autouse=True)
def nothing_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(*args: Any) -> None:
        raise AssertionError("unpacked before it was checked")

    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", unpack)


def npy(shape: tuple[int, ...], data: bytes = b"", descr: str = "<f4") -> bytes:
    """A .npy file that claims a shape."""
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def swelling(path: Path) -> None:
    np.savez_compressed(path, noise_b4_conv1=LARGE)


def swelling_beside(path: Path) -> None:
    np.savez_compressed(path, noise_b4_conv1=LARGE[..., :4, :4], other=LARGE)


def claiming(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("noise_b4_conv1.npy", npy((1, 1, 2**20, 2**20)))


def too_long(path: Path) -> None:
    path.write_bytes(bytes(2**20))


def with_a_long_header(path: Path) -> None:
    header = b"\x93NUMPY\x02\x00" + (2**30).to_bytes(4, "little")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("noise_b4_conv1.npy", header + b" " * 2**20)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (swelling, "its arrays take 16777344 bytes, expected at most "),
        (swelling_beside, "its arrays take "),
        (claiming, "an array of the shape (1, 1, 1048576, 1048576) has only 128 bytes"),
        (too_long, "it has 1048576 bytes, expected at most "),
        (with_a_long_header, "its arrays take "),
    ],
)
@pytest.mark.parametrize("name", ["noise.npz", "directions.npz"])
def test_arrays_that_are_too_large(
    bundle_copy: Path,
    refuses: Refuses,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], None],
    words: str,
    name: str,
) -> None:
    monkeypatch.setattr(bundle_module, "MAX_DIRECTIONS", 20)
    write(bundle_copy / name)
    list_file(bundle_copy, name)
    opened = Bundle.open(bundle_copy)
    with refuses(f"cannot read {name} ({words}", error=BundleError):
        (opened.read_noise if name == "noise.npz" else opened.read_directions)()


def test_the_own_noise_of_another_shape_is_not_unpacked(
    bundle_copy: Path, refuses: Refuses
) -> None:
    np.savez(bundle_copy / "noise.npz", noise_b4_conv1=np.zeros((1, 1, 8, 8), np.float32))
    list_file(bundle_copy, "noise.npz")
    opened = Bundle.open(bundle_copy)
    words = (
        "noise.npz has noise_b4_conv1 as float32 (1, 1, 8, 8)",
        "expected float32 (1, 1, 4, 4)",
    )
    with refuses(*words, error=BundleError):
        opened.read_noise()


def test_a_manifest_that_is_too_large(
    bundle_copy: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (bundle_copy / MANIFEST).stat().st_size
    monkeypatch.setattr(manifest_module, "MAX_MANIFEST", size)
    Bundle.open(bundle_copy)
    monkeypatch.setattr(manifest_module, "MAX_MANIFEST", size - 1)
    monkeypatch.setattr(Path, "read_bytes", None)
    words = f"cannot read manifest.json (it has {size} bytes, expected at most {size - 1})"
    with refuses(words, error=BundleError):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("deep", [16, 900])
def test_a_manifest_that_is_too_deep(bundle_copy: Path, refuses: Refuses, deep: int) -> None:
    nested = json.loads("[" * deep + "]" * deep)
    change_manifest(bundle_copy, lambda manifest: manifest.update(nested=nested))
    with refuses(
        "cannot read manifest.json (its lists and objects lie more than 16", error=BundleError
    ):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("key", ["z_dim", "c_dim", "w_dim", "num_ws", "img_height", "img_width"])
def test_a_size_that_no_network_has(bundle_copy: Path, refuses: Refuses, key: str) -> None:
    change_manifest(bundle_copy, lambda manifest: manifest["generator"].update({key: 2**16 + 1}))
    with refuses(
        f"manifest.json is damaged (ValueError: generator.{key} is 65537", error=BundleError
    ):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("shape", [["M", 1, 33, 32], ["M", 1, 4, 64], ["M", 2, 4, 4]])
def test_noise_that_is_larger_than_the_picture(
    bundle_copy: Path, refuses: Refuses, shape: list[Any]
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        inputs = manifest["graphs"]["synthesis"]["inputs"]
        next(t for t in inputs if t["name"].startswith("noise_"))["shape"] = shape

    change_manifest(bundle_copy, change)
    with refuses(
        "manifest.json is damaged (ValueError: noise_b4_conv1 has the shape", error=BundleError
    ):
        Bundle.open(bundle_copy)


def test_pictures_of_another_size_than_the_graph_draws(bundle_copy: Path, refuses: Refuses) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["generator"].update(img_height=4096, img_width=4096)
        for graph in manifest["graphs"].values():
            for t in graph["outputs"]:
                t["shape"] = [4096 if size == 32 else size for size in t["shape"]]

    change_manifest(bundle_copy, change)
    words = ("synthesis.onnx has image as uint8 ['N', 32, 32, 3]", "says uint8 ['N', 4096, 4096")
    with refuses(*words, error=BundleError):
        Generator.open(bundle_copy)


@pytest.mark.parametrize("name", ["renamed", "img"])
def test_a_tensor_that_the_graph_has_not(bundle_copy: Path, refuses: Refuses, name: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        (output,) = (t for t in manifest["graphs"]["synthesis"]["outputs"] if t["name"] == "img")
        output |= {"name": name, "dtype": "uint8"}

    change_manifest(bundle_copy, change)
    with refuses(f"synthesis.onnx has {name} as ", "says uint8", error=BundleError):
        Generator.open(bundle_copy)

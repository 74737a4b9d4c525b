"""A bundle from a stranger reaches no file but its own: not by a link, and not by its graphs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from stylert.runtime.bundle import MANIFEST, Bundle, hash_file, sealed
from stylert.runtime.errors import BundleError
from stylert.runtime.generator import Generator


@pytest.fixture
def no_backend(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused, no backend has seen."""
    monkeypatch.setattr("onnxruntime.InferenceSession", None)


def relist(bundle: Path, *names: str) -> None:
    """Enter files into the manifest as they are now."""
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    for name in names:
        file = bundle / name
        entry = {"bytes": file.stat().st_size, "sha256": hash_file(file)}
        manifest["files"][name] = entry
    (bundle / MANIFEST).write_text(json.dumps(sealed(manifest)))


def move_weight(bundle: Path, graph: str, location: str) -> bytes:
    """Have a graph read its first weight from another file; gives that file's content."""
    model = onnx.load_model(bundle / graph)
    weight = next(t for t in model.graph.initializer if len(t.raw_data) > 64)
    data = weight.raw_data
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    (bundle / graph).write_bytes(model.SerializeToString())
    relist(bundle, graph)
    return data


GRAPHS = ("mapping.onnx", "synthesis.onnx", "synthesis.fp16.onnx")
OUTSIDE = (
    "../outside.bin",
    "engines/../../outside.bin",
    "unlisted.bin",
    "./noise.npz",
    "NOISE.NPZ",
    "",
    "*/_ORT_MEM_ADDR_/*",  # what ONNX Runtime calls its own memory
    MANIFEST,
)


@pytest.mark.parametrize("location", OUTSIDE)
@pytest.mark.parametrize("check_files", [True, False])
def test_a_graph_that_reads_another_file(
    bundle_copy: Path, refuses: Any, no_backend: None, location: str, check_files: bool
) -> None:
    (bundle_copy.parent / "outside.bin").write_bytes(bytes(2**16))
    (bundle_copy / "unlisted.bin").write_bytes(bytes(2**16))
    move_weight(bundle_copy, "synthesis.onnx", location)
    words = ("synthesis.onnx would read the file ", repr(location), "manifest.json lists")
    with refuses(*words, error=BundleError):
        Generator.open(bundle_copy, check_files=check_files)


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_graph_is_looked_at(
    bundle_of: Callable[[str], Path], tmp_path: Path, refuses: Any, graph: str
) -> None:
    path = shutil.copytree(bundle_of("sg2-nhwc-32"), tmp_path / "bundle")
    outside = tmp_path / "outside.bin"
    outside.write_bytes(move_weight(path, graph, str(outside)))
    with refuses(f"{graph} would read the file ", str(outside)[:20], error=BundleError):
        Bundle.open(path)


def test_a_graph_that_nobody_opens_yet(bundle_copy: Path, refuses: Any) -> None:
    shutil.copy(bundle_copy / "mapping.onnx", bundle_copy / "encoder.onnx")
    move_weight(bundle_copy, "encoder.onnx", "/etc/hostname")
    with refuses("encoder.onnx would read the file '/etc/hostname'", error=BundleError):
        Bundle.open(bundle_copy)


def test_weights_that_are_listed_are_read(bundle: Path, bundle_copy: Path) -> None:
    data = move_weight(bundle_copy, "synthesis.onnx", "weights.bin")
    (bundle_copy / "weights.bin").write_bytes(data)
    relist(bundle_copy, "weights.bin")
    with Generator.open(bundle, provider="cpu") as one, Generator.open(bundle_copy) as other:
        assert np.array_equal(one.generate(1), other.generate(1))


def test_refit_looks_at_the_other_bundle(
    bundle_copy: Path, generator: Generator, refuses: Any
) -> None:
    move_weight(bundle_copy, "synthesis.onnx", "../outside.bin")
    with refuses("synthesis.onnx would read the file '../outside.bin'", error=BundleError):
        generator.refit(bundle_copy)


@pytest.mark.parametrize("name", ["synthesis.onnx", "noise.npz", "weights.bin"])
def test_a_link_out_of_the_bundle(bundle_copy: Path, refuses: Any, name: str) -> None:
    outside = bundle_copy.parent / "outside"
    if name == "weights.bin":
        outside.write_bytes(move_weight(bundle_copy, "synthesis.onnx", name))
    else:
        (bundle_copy / name).rename(outside)
    (bundle_copy / name).symlink_to(outside)
    relist(bundle_copy, name)
    words = (f"{name} is a link to a file outside of the bundle", f"cp -rL {bundle_copy}")
    with refuses(*words, error=BundleError):
        Bundle.open(bundle_copy, check_files=False)


def test_links_that_stay_inside(bundle_copy: Path) -> None:
    (bundle_copy / "noise.npz").rename(bundle_copy / "noise-1")
    (bundle_copy / "noise.npz").symlink_to("noise-1")
    link = bundle_copy.with_name("link")
    link.symlink_to(bundle_copy)
    assert Bundle.open(link).read_noise()


@pytest.mark.parametrize(
    "name", ["a/b.onnx", "a\\b", ".hidden", "c:x", "-", "*", "ä.onnx", "a" * 101, ""]
)
def test_names_that_are_no_plain_names(bundle_copy: Path, refuses: Any, name: str) -> None:
    manifest = json.loads((bundle_copy / MANIFEST).read_bytes())
    manifest["files"][name] = manifest["files"]["noise.npz"]
    (bundle_copy / MANIFEST).write_text(json.dumps(sealed(manifest)))
    with refuses(
        "manifest.json is damaged", "expected a name of letters, digits", error=BundleError
    ):
        Bundle.open(bundle_copy)


def test_noise_that_is_not_listed(bundle_copy: Path, refuses: Any) -> None:
    """Its size and its hash are nobody's word."""
    manifest = json.loads((bundle_copy / MANIFEST).read_bytes())
    del manifest["files"]["noise.npz"]
    (bundle_copy / MANIFEST).write_text(json.dumps(sealed(manifest)))
    with refuses("cannot read noise.npz (manifest.json does not list it)", error=BundleError):
        Bundle.open(bundle_copy).read_noise()

"""`stylert web`: the folder that it writes, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stylert import cli
from stylert.apps import demo
from stylert.apps.web import Runtime, find_runtime, runtime_files, write_site
from stylert.apps.web.numbers import join_weights
from stylert.apps.web.packed_graphs import LOCATION, pack_graph
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import StylertError

NO_RUNTIME: Runtime = {}


def test_all_files_are_listed(
    runtime: Runtime, site_of: Callable[[Path], Path], tiny_bundle: Path
) -> None:
    site = site_of(tiny_bundle)
    info = json.loads((site / "bundle" / "info.json").read_bytes())
    for name, file in info["files"].items():
        data = (site / "bundle" / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
    kept = json.loads((site / "offline.js").read_text().split("= ")[1].split(";\n")[0])["files"]
    there = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    for_gpu = {name for name in there if "jspi" in name or "asyncify" in name or "webgpu" in name}
    assert set(kept) == there - for_gpu - {"index.html", "offline.js"} | {"./"}
    assert {f"runtime/{name}" for name in runtime} <= there


def test_nothing_comes_from_elsewhere(site_of: Callable[[Path], Path], tiny_bundle: Path) -> None:
    for path in site_of(tiny_bundle).rglob("*"):
        if path.suffix in (".html", ".css", ".svg") or path.parent.name == "page":
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "http://localhost:8000" in text or "http://" not in text, path
            assert "https://" not in text.replace("begins with https://", ""), path


@pytest.mark.parametrize("stored", ["fp32", "int16"])
def test_weights_are_those_of_the_graph(stored: str, bundle: Path) -> None:
    path = (bundle if stored == "fp32" else demo.SOURCE) / "synthesis.onnx"
    packed = pack_graph(path)
    data, table = join_weights(packed.weights)
    model = onnx.load_model_from_string(packed.model)
    apart = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    originals = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert len(apart) == len(table) > 1
    offset = 0
    for tensor, entry in zip(apart, table, strict=True):
        shape, factor_shape = entry["shape"], entry["factor_shape"]
        integers = np.frombuffer(data, "<i2", np.prod(shape), entry["integers"]).reshape(shape)
        factors = np.frombuffer(data, "<f4", np.prod(factor_shape), entry["factors"])
        unpacked = integers * factors.reshape(factor_shape)
        external = {item.key: item.value for item in tensor.external_data}
        assert external["location"] == LOCATION
        assert int(external["offset"]) == offset
        assert list(tensor.dims) == shape
        offset += unpacked.nbytes
        if stored == "fp32":
            original = originals[tensor.name]
            rows = np.abs(original).reshape(len(original), -1).max(1)
            bound = rows.reshape(-1, *[1] * (original.ndim - 1)) / 32767 * 0.51
            assert (np.abs(unpacked - original) <= bound).all()
        else:
            stored_integers = originals[f"{tensor.name}_int16"]
            np.testing.assert_array_equal(integers, stored_integers)


def test_site_is_replaced_only_by_force(
    runtime: Runtime, tiny_bundle: Path, tmp_path: Path, refuses: Callable[..., Any]
) -> None:
    out = tmp_path / "site"
    write_site(tiny_bundle, out, runtime)
    with refuses("exists", "force=True"):
        write_site(tiny_bundle, out, runtime)
    before = (out / "offline.js").read_bytes()
    write_site(tiny_bundle, out, runtime, force=True)
    assert (out / "offline.js").read_bytes() == before  # the same files are the same version


def test_another_folder_is_left_alone(
    tiny_bundle: Path, tmp_path: Path, refuses: Callable[..., Any]
) -> None:
    (tmp_path / "mine.txt").touch()
    with refuses("is no site"):
        write_site(tiny_bundle, tmp_path, NO_RUNTIME, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_channels_that_no_browser_shows(
    make_checkpoint: Callable[..., Any], tmp_path: Path, refuses: Callable[..., Any]
) -> None:
    from stylert.export.bundle_writer import export_bundle

    export_bundle(
        make_checkpoint(img_channels=2, channels=(6, 5)), tmp_path / "two", verify_seeds=1
    )
    with refuses("2 channels, expected 1, 3 or 4"):
        write_site(tmp_path / "two", tmp_path / "site", NO_RUNTIME)
    assert not (tmp_path / "site").exists()


def test_folder_without_the_runtime(tmp_path: Path, refuses: Callable[..., Any]) -> None:
    with refuses("--runtime", "has no dist/ort.wasm.min.mjs", runtime_files.VERSION):
        find_runtime(str(tmp_path))


def test_runtime_of_another_version(
    runtime_folder: Path, tmp_path: Path, refuses: Callable[..., Any]
) -> None:
    folder = shutil.copytree(runtime_folder, tmp_path / "dist").parent
    with (folder / "dist" / "ort.wasm.min.mjs").open("ab") as file:
        file.write(b"\n")
    with refuses("ort.wasm.min.mjs is not that of onnxruntime-web", "npm pack"):
        find_runtime(str(folder))
    (folder / "dist" / "ort.jspi.min.mjs").unlink()
    with refuses("ort.jspi.min.mjs is missing"):
        find_runtime(str(folder))


def test_no_npm(monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., Any]) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with refuses("npm is not installed", "nodejs.org", error=StylertError):
        find_runtime("npm")


def test_npm_without_a_network(
    monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., Any]
) -> None:
    def fail(command: list[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="npm error network\nmore")

    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(subprocess, "run", fail)
    with refuses("npm cannot fetch", "npm error network", error=StylertError):
        find_runtime("npm")


def test_command_says_where_the_runtime_comes_from(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["web", str(tiny_bundle), "--out", str(tmp_path / "site")])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "--runtime npm" in message
    assert message.count("\n") == 1


def test_command_writes_a_site(
    runtime_folder: Path, named_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "site"
    words = ["web", str(named_bundle), "--out", str(out), "--runtime", str(runtime_folder)]
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert not ended.value.code
    assert "for a first visit" in capsys.readouterr().out
    assert Bundle.open(named_bundle).classes.names[0] in (out / "bundle" / "info.json").read_text()

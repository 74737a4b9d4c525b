"""The graph builder, and files too large for protobuf."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from stylert.export import onnx_graph
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.export.onnx_graph import IR_VERSION, OPSET, GraphBuilder
from stylert.export.verification import check_graphs
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import BundleError, StylertError
from stylert.runtime.generator import Generator


def test_builds_a_graph_that_runs(tmp_path: Path) -> None:
    g = GraphBuilder("sum")
    x = g.input("x", ["N", 2])
    with g.scope("b8.conv0"):
        with g.scope("affine"):
            y = g.op("Add", x, g.constant("bias", np.array([1.0, 2.0])), name="add")
        y = g.op("LeakyRelu", y, name="lrelu", alpha=0.5)
    g.output(y, "y", "float32", ["N", 2])
    assert g.save(tmp_path / "sum.onnx") == [tmp_path / "sum.onnx"]
    model = onnx.load(tmp_path / "sum.onnx")
    assert [node.name for node in model.graph.node] == ["b8.conv0/affine/add", "b8.conv0/lrelu"]
    assert [t.name for t in model.graph.initializer] == ["b8.conv0/affine/bias"]
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)
    assert model.producer_name == "stylert"
    session = onnxruntime.InferenceSession(tmp_path / "sum.onnx")
    (got,) = session.run(None, {"x": np.array([[-5, 1]], np.float32)})
    assert got.tolist() == [[-2, 3]]


def test_floats_become_float32_and_keep_their_shape() -> None:
    g = GraphBuilder("constants")
    for array in (np.array(0.1), np.zeros((2, 3)).T, np.float16([1, 2])):
        value = g.constant(f"c{array.ndim}{array.size}", array)
        assert value.const_value.numpy().dtype == np.float32
        assert tuple(value.shape) == value.const_value.numpy().shape == array.shape
        assert np.array_equal(value.const_value.numpy(), array.astype(np.float32))
    assert g.constant("axes", np.array([2, 3])).const_value.numpy().dtype == np.int64


def test_shared_constants_are_kept_once() -> None:
    g = GraphBuilder("shared")
    with g.scope("b4.conv1"):
        first = g.shared("axes", np.array([2, 3]))
    with g.scope("b8.conv0"):
        assert g.shared("axes", np.array([2, 3])) is first
        assert g.constant("after", np.zeros(1)).name == "b8.conv0/after"
    assert first.name == "axes"


def test_scope_ends_with_an_error() -> None:
    g = GraphBuilder("scopes")
    with pytest.raises(ZeroDivisionError), g.scope("broken"):
        raise ZeroDivisionError
    assert g.constant("after", np.zeros(1)).name == "after"


def test_a_name_is_taken_once() -> None:
    g = GraphBuilder("names")
    x = g.input("x", [1])
    g.op("Relu", x, name="relu")
    with pytest.raises(AssertionError, match="two values named relu"):
        g.op("Relu", x, name="relu")


def test_an_invalid_graph_is_not_written_silently(tmp_path: Path) -> None:
    g = GraphBuilder("invalid")
    y = g.op("NoSuchOp", g.input("x", [1]), name="wrong")
    g.output(y, "y", "float32", [1])
    with pytest.raises(
        StylertError, match=r"invalid\.onnx is not valid ONNX: .*NoSuchOp"
    ) as caught:
        g.save(tmp_path / "invalid.onnx")
    assert "\n" not in str(caught.value)


def test_shapes_that_contradict_are_found(tmp_path: Path) -> None:
    g = GraphBuilder("shapes")
    y = g.op("Relu", g.input("x", ["N", 2]), name="relu")
    g.output(y, "y", "float32", ["N", 3])
    with pytest.raises(StylertError, match="not valid ONNX"):
        g.save(tmp_path / "shapes.onnx")


# ---- Weights beside the graph, as for checkpoints of 2 GB and more ----------------------------


@pytest.fixture(scope="module")
def large(
    make_checkpoint: Callable[..., Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The same generator as a bundle with its weights inline, and one with them beside."""
    checkpoint = make_checkpoint(mapping_features=32, mapping_layers=3)
    folder = tmp_path_factory.mktemp("large")
    export_bundle(checkpoint, folder / "inline", verify_seeds=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_graph, "_INLINE_LIMIT", 20_000)  # between mapping's and synthesis' size
        report = export_bundle(checkpoint, folder / "beside", verify_seeds=2)
    assert report is not None
    assert report.passed
    return folder / "inline", folder / "beside"


def test_only_a_large_graph_has_a_second_file(large: tuple[Path, Path]) -> None:
    inline, beside = ({file.name for file in folder.iterdir()} for folder in large)
    assert inline == {
        "manifest.json",
        "mapping.onnx",
        "synthesis.onnx",
        "synthesis.fp16.onnx",
        "noise.npz",
        "directions.npz",
    }
    assert beside == inline | {"synthesis.onnx.data"}
    files = json.loads((large[1] / "manifest.json").read_text())["files"]
    assert set(files) == beside - {"manifest.json"}
    assert (large[1] / "synthesis.onnx").stat().st_size < 20_000
    assert files["synthesis.onnx.data"]["bytes"] > 20_000


def test_the_second_file_is_named_without_folders(large: tuple[Path, Path]) -> None:
    model = onnx.load(large[1] / "synthesis.onnx", load_external_data=False)
    locations = {
        e.value for t in model.graph.initializer for e in t.external_data if e.key == "location"
    }
    assert locations == {"synthesis.onnx.data"}


def test_large_bundle_draws_the_same(large: tuple[Path, Path], tmp_path: Path) -> None:
    moved = shutil.copytree(large[1], tmp_path / "moved")
    check_graphs(Bundle.open(moved))
    images = []
    for path in (large[0], moved):
        with Generator.open(path, threads=1) as generator:
            images.append(generator.generate([1, 2], output="img"))
    assert np.array_equal(*images)


def test_a_flipped_byte_beside_is_found(large: tuple[Path, Path], tmp_path: Path) -> None:
    path = shutil.copytree(large[1], tmp_path / "changed")
    data = bytearray((path / "synthesis.onnx.data").read_bytes())
    data[len(data) // 2] ^= 1
    (path / "synthesis.onnx.data").write_bytes(data)
    with pytest.raises(BundleError, match=r"synthesis\.onnx\.data was changed"):
        Generator.open(path)


def test_a_missing_file_beside_is_found(large: tuple[Path, Path], tmp_path: Path) -> None:
    path = shutil.copytree(large[1], tmp_path / "incomplete")
    (path / "synthesis.onnx.data").unlink()
    with pytest.raises(BundleError, match=r"synthesis\.onnx\.data is missing"):
        Generator.open(path)

"""What a file stores as float16 only to be small is float32 again, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from stylert.runtime.backends.tensorrt.refit_weights import STORED, with_float32_weights


@pytest.fixture(scope="module")
def half(bundle_of: Callable[[str], Path]) -> Path:
    return bundle_of("sg2-fp16-64") / "synthesis.fp16.onnx"


def model_of(nodes: list[Any], **constants: np.ndarray) -> onnx.ModelProto:
    """A graph x [4] float32 -> y."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def written(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def test_the_graph_draws_the_same_without_the_casts(half: Path) -> None:
    """ONNX Runtime folds them to the same graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    random = np.random.RandomState(0)
    feeds: dict[str, np.ndarray] = {}
    images = []
    for model in (half.read_bytes(), with_float32_weights(half)):
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for given in session.get_inputs():
            shape = [1 if isinstance(size, str) else size for size in given.shape]
            feeds.setdefault(given.name, random.standard_normal(shape).astype(np.float32))
        images.append(session.run(["img"], feeds)[0])
    np.testing.assert_array_equal(*images)


def test_weights_take_the_place_of_their_casts(half: Path) -> None:
    before, after = onnx.load(half), onnx.load_from_string(with_float32_weights(half))
    onnx.checker.check_model(after, full_check=True)
    stored = {t.name: t for t in before.graph.initializer if t.name.endswith(STORED)}
    assert len(stored) >= 10
    tensors = {t.name: numpy_helper.to_array(t) for t in after.graph.initializer}
    for name, tensor in stored.items():
        array = numpy_helper.to_array(tensor)
        assert array.dtype == np.float16
        restored = tensors[name.removesuffix(STORED)]
        assert restored.dtype == np.float32
        np.testing.assert_array_equal(restored, array)
    names = [name.removesuffix(STORED) for name in (t.name for t in before.graph.initializer)]
    assert sorted(t.name for t in after.graph.initializer) == sorted(names)
    kept = [n for n in before.graph.node if not n.input or n.input[0] not in stored]
    assert list(after.graph.node) == kept


def test_other_files_stay_as_they_are(half: Path, tmp_path: Path) -> None:
    whole = half.with_name("synthesis.onnx")
    assert with_float32_weights(whole) == whole.read_bytes()
    used = [
        helper.make_node("Cast", ["k"], ["w"], to=TensorProto.FLOAT),  # not ours: another name
        helper.make_node("Cast", ["v_half"], ["v"], to=TensorProto.FLOAT),  # ours, not half
        helper.make_node("Add", ["x", "w"], ["z"]),
        helper.make_node("Add", ["z", "v"], ["y"]),
    ]
    model = model_of(used, k=np.ones(4, np.float16), v_half=np.ones(4, np.float64))
    path = written(model, tmp_path / "test.onnx")
    assert with_float32_weights(path) == path.read_bytes()


def test_weights_in_a_second_file_stay_there(half: Path, tmp_path: Path) -> None:
    path = tmp_path / "test.onnx"
    onnx.save(onnx.load(half), path, save_as_external_data=True, size_threshold=0)
    assert with_float32_weights(path) == path.read_bytes()


def test_a_file_that_is_no_onnx_is_left_to_its_reader(tmp_path: Path) -> None:
    cast = helper.make_node("Cast", ["w_half"], ["w"], to=TensorProto.FLOAT)
    add = helper.make_node("Add", ["x", "w"], ["y"])
    model = model_of([cast, add], w_half=np.arange(4, dtype=np.float16))
    path = written(model, tmp_path / "test.onnx")
    data, graph = path.read_bytes(), model.graph.SerializeToString()
    assert with_float32_weights(path) != data
    cuts = [data[:end] for end in range(data.index(graph) + len(graph))]
    for broken in [*cuts, b"junk", b"\xff" * 20, b"\x0b" * 9]:
        path.write_bytes(broken)
        assert with_float32_weights(path) == broken

"""Packed graphs: half the size, the same function, and nothing left of it once they are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.export.weight_rounding import LARGE, Integers, list_forms, round_weights
from stylert.runtime.backends.tensorrt.refit_weights import INTEGERS, with_float32_weights

NETWORKS = {
    "int16": [
        "field/xl-cond",
        "sg1-tf-32",
        "sg2-resnet-32",
        "field/sg3t-statedict",
        "sg3-r-64",
        "rosinality-32",
    ],
    "int8": ["field/luci16attn", "sg1-tf-32", "sg2-fp16-64", "field/sg3t-statedict"],
}


@pytest.fixture(
    scope="module", params=[(name, weights) for weights in NETWORKS for name in NETWORKS[weights]]
)
def files(
    request: pytest.FixtureRequest, goldens: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The graph of a network with rounded weights: as float32, and packed."""
    name, weights = request.param
    (path,) = (p for p in goldens.glob(f"{name}.p*"))
    checkpoint = round_weights(read_checkpoint(path), weights)
    folder = tmp_path_factory.mktemp("packed")
    return saved(checkpoint, folder), saved(checkpoint, folder, pack=list_forms(weights))


def saved(checkpoint: Checkpoint, folder: Path, *, pack: Sequence[Integers] = ()) -> Path:
    path = folder / f"{'packed' if pack else 'plain'}.onnx"
    build_synthesis_graph(checkpoint).save(path, pack=pack)
    return path


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def opened(model: bytes | str, **options: object) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    for name, value in options.items():
        setattr(settings, name, value)
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def test_the_large_weights_and_matrices_are_stored_once_as_integers(
    files: tuple[Path, Path],
) -> None:
    plain, packed = (constants(onnx.load(path)) for path in files)
    expected = {
        name
        for name, array in plain.items()
        if array.size >= LARGE and name.endswith(("conv_weight", "affine/weight", "mix_weight"))
    }
    assert expected
    endings = tuple(INTEGERS.values())
    stored = {name for name, array in packed.items() if array.dtype.name in INTEGERS}
    assert stored == {name for name in packed if name.endswith(endings)}
    assert {name.rpartition("_")[0] for name in stored} >= expected
    assert not expected & packed.keys()
    large = [name for name, a in packed.items() if a.dtype == np.float32 and a.size >= LARGE]
    assert not [name for name in large if name.endswith("demodulation/matrix")]


def test_it_draws_the_same(files: tuple[Path, Path]) -> None:
    random = np.random.RandomState(0)
    feeds: dict[str, np.ndarray] = {}
    images = []
    for path in files:
        session = opened(str(path))
        for given in session.get_inputs():
            shape = [1 if isinstance(size, str) else size for size in given.shape]
            feeds.setdefault(given.name, random.standard_normal(shape).astype(np.float32))
        images.append(session.run(["img"], feeds)[0])
    error = np.sqrt(np.square(images[0] - images[1]).mean())
    assert error <= 1e-6 * max(1.0, float(np.ptp(images[0])))


def test_onnx_runtime_unpacks_when_it_loads(files: tuple[Path, Path], tmp_path: Path) -> None:
    """At the lowest level of optimization, and before it chooses kernels."""
    loaded = []
    for path in files:
        opened(
            str(path),
            graph_optimization_level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
            optimized_model_filepath=str(tmp_path / path.name),
        )
        loaded.append(onnx.load(tmp_path / path.name))
    plain, packed = (constants(model) for model in loaded)
    large = {name: array for name, array in plain.items() if array.size >= LARGE}
    assert large.keys() == {name for name, array in packed.items() if array.size >= LARGE}
    for name, array in large.items():
        np.testing.assert_allclose(packed[name], array, rtol=2e-6, atol=0, err_msg=name)
    operators = [sorted(node.op_type for node in model.graph.node) for model in loaded]
    assert operators[0] == operators[1]


def test_tensorrt_gets_the_plain_graph(files: tuple[Path, Path]) -> None:
    plain = onnx.load(files[0])
    restored = onnx.load_from_string(with_float32_weights(files[1]))
    onnx.checker.check_model(restored, full_check=True)
    assert list(restored.graph.node) == list(plain.graph.node)
    expected, got = constants(plain), constants(restored)
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_allclose(got[name], array, rtol=2e-6, atol=0, err_msg=name)


def test_weights_that_were_not_rounded_stay(goldens: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(goldens / "sg2-skip-32.pkl")
    forms = list_forms("int8")
    plain, packed = (saved(checkpoint, tmp_path, pack=pack) for pack in ((), forms))
    assert plain.read_bytes() == packed.read_bytes()


def test_a_matrix_that_is_not_of_its_weight_stays(goldens: Path, tmp_path: Path) -> None:
    """Where the weight itself is stored in another form, the matrix has nothing to be made of."""
    checkpoint = round_weights(read_checkpoint(goldens / "sg2-fp16-64.pkl"), "int16")
    graph = build_synthesis_graph(checkpoint, up_convolution="folded")
    graph.save(path := tmp_path / "folded.onnx", pack=list_forms("int16"))
    names = constants(onnx.load(path)).keys()
    assert "b8.conv0/demodulation/matrix" in names
    assert "b8.conv1/demodulation/matrix" not in names

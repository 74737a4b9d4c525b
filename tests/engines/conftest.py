"""What the tests of engines/ share: a bundle to build into, and ONNX files that no parser likes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import onnx
import pytest
from filelock import FileLock
from onnx import TensorProto, helper, numpy_helper

from stylert.runtime.bundle import ENGINES
from stylert.tests.loading import load_file

SaveOnnx = Callable[..., Path]


@pytest.fixture
def own_bundle(bundle_of: Callable[[str], Path], tmp_path: Path) -> Path:
    """A bundle of the test's own, 32x32, whose blocks b8, b16 and b32 are half precision."""
    return shutil.copytree(bundle_of("sg2-nhwc-32"), tmp_path / "bundle")


@pytest.fixture(scope="session")
def left() -> Callable[[Path], list[str]]:
    """Gives the names of all that lies in a bundle's engines/ folder, nothing if there is none."""

    def names(bundle: Path) -> list[str]:
        folder = bundle / ENGINES
        return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []

    return names


@pytest.fixture(scope="session")
def fake_tensorrt() -> type[Any]:
    """The class of `fake_tensorrt.py`."""
    return cast(type[Any], load("fake_tensorrt.py").FakeTensorRT)


@pytest.fixture(scope="session")
def load_module() -> Callable[[str], ModuleType]:
    """Loads a module by its path from this folder."""
    return load


@pytest.fixture(scope="session")
def surfaces(pytestconfig: pytest.Config) -> dict[str, Any]:
    """What the real bindings have, by version; fetched once into pytest's cache folder."""
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir("tensorrt-bindings")
    real = load("real_bindings.py")
    with FileLock(folder / "lock"):  # of the workers, one fetches them
        found = {
            version: real.find_surface(spec, folder / version)
            for version, spec in real.BINDINGS.items()
        }
    return found | {"rtx": real.dump_surface("tensorrt_rtx")}


def load(file: str) -> ModuleType:
    """A module by its path from this folder. Those of the backends have the same names."""
    path = Path(__file__).parent / file
    return load_file(path, f"engines_{path.stem}")


@pytest.fixture
def save_onnx(tmp_path: Path) -> SaveOnnx:
    """Writes a graph x [N,4,8,8] float32 -> y from its nodes and constants."""

    def save(nodes: list[onnx.NodeProto], **constants: np.ndarray) -> Path:
        graph = helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        )
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
        path = tmp_path / "test.onnx"
        onnx.save(model, path)
        return path

    return save

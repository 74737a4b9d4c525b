"""A fake GPU and a fake TensorRT whose engines draw the real pictures."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.backends.graph_forms import find_engine_graph, hash_engine_graph
from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.session import TensorRTSession
from stylert.runtime.backends.tensorrt.trust import record_engine
from stylert.runtime.bundle import ENGINES, Bundle, hash_file
from stylert.runtime.feeds import Feeds
from stylert.tests.loading import load_file

BUCKETS = ((1, 1, 1), (2, 2, 2), (4, 4, 4))


FAKE_DEVICE = load_file(Path(__file__).with_name("fake_device.py"))
FAKE_TENSORRT = load_file(Path(__file__).with_name("fake_tensorrt.py"))


class Fakes:
    """The fake GPU and the fake packages that are installed in a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.version: str = FAKE_TENSORRT.VERSION
        self.device = FAKE_DEVICE.FakeDevice()
        self.world = FAKE_TENSORRT.World(self.device)
        for name in ("tensorrt", "tensorrt_lean", "tensorrt_rtx"):
            self._patch.setitem(sys.modules, name, None)  # importing it fails

    def install(self, name: str = "tensorrt", version: str | None = None) -> None:
        self.module = FAKE_TENSORRT
        module = FAKE_TENSORRT.module_of(name, self.world, version or self.version)
        self._patch.setitem(sys.modules, name, module)

    def new_device(self, **options: Any) -> Any:
        self.device = self.world.device = FAKE_DEVICE.FakeDevice(**options)
        return self.device

    def open(self, path: Path, **options: Any) -> TensorRTSession:
        return TensorRTSession(Bundle.open(path), device=self.device, **options)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """A fake GPU; no package is installed."""
    return Fakes(monkeypatch)


@pytest.fixture
def installed(fakes: Fakes) -> Fakes:
    """A fake GPU, and a fake tensorrt."""
    fakes.install()
    return fakes


@pytest.fixture(scope="session")
def add_plans() -> Callable[..., list[Plan]]:
    """Writes plans of both graphs into a bundle, or of those that are named.

    As `build-engine` does it: unless they are somebody else's (`own=False`), they are recorded.
    """

    def add(
        path: Path, *graphs: str, noise: str = "any", own: bool = True, **fields: Any
    ) -> list[Plan]:
        bundle = Bundle.open(path, check_files=False)
        return [
            _add_plan(bundle, graph, noise, own, fields)
            for graph in graphs or ("mapping", "synthesis")
        ]

    return add


@pytest.fixture
def engines(bundle: Path, tmp_path: Path, add_plans: Callable[..., list[Plan]]) -> Path:
    """A bundle with plans for batches of 1, 2 and 4, both outputs, float32."""
    path = shutil.copytree(bundle, tmp_path / "engines")
    add_plans(path)
    return path


@pytest.fixture(scope="session")
def reference(bundle: Path) -> Iterator[OnnxRuntimeSession]:
    """The same graphs in ONNX Runtime."""
    session = OnnxRuntimeSession(Bundle.open(bundle), provider="cpu", threads=1)
    yield session
    session.close()


@pytest.fixture(scope="session")
def expected(reference: OnnxRuntimeSession) -> Callable[..., list[np.ndarray]]:
    """What ONNX Runtime draws of the same inputs."""

    def draw(feeds: Feeds, outputs: list[str]) -> list[np.ndarray]:
        drawn: Any = reference.run(("mapping", "synthesis"), feeds, outputs)
        return list(drawn)

    return draw


def _add_plan(bundle: Bundle, graph: str, noise: str, own: bool, fields: dict[str, Any]) -> Plan:
    values = {
        "compiler": "tensorrt",
        "version": FAKE_TENSORRT.VERSION,
        "precision": "fp32",
        "compute_capabilities": ("8.9",),
        "gpu": "Fake GPU",
        "batches": BUCKETS,
        "outputs": ("image", "img"),
        **fields,
    }
    if graph == "mapping":
        values |= {"precision": "fp32"}
    if graph != "synthesis":
        values |= {"outputs": ("ws",)}
    onnx = bundle.file(find_engine_graph(bundle, graph, values["precision"]))
    content = {"onnx": str(onnx), "noise": noise}
    content |= {key: values[key] for key in ("batches", "outputs")}
    folder = bundle.path / ENGINES
    folder.mkdir(exist_ok=True)
    number = len(list(folder.glob("*.json")))
    name = values.pop("name", f"{values['compiler']}-{values['version']}-{graph}-{number}")
    file = folder / f"{name}.plan"
    file.write_text(json.dumps(content))
    plan = Plan(
        name=name,
        graph=graph,
        sha256=hash_file(file),
        size=file.stat().st_size,
        **{"onnx_sha256": hash_engine_graph(bundle, graph, values["precision"]), **values},
    )
    (folder / f"{name}.json").write_text(json.dumps(plan.to_json()))
    if own:
        record_engine(plan)
    return plan

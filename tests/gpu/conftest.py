"""Engines on the GPU that is here: TensorRT builds them, or its stand-in runs them by torch."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from stylert.export.encoders.bundling import add_encoder
from stylert.runtime.backends.cuda.device import Device
from stylert.runtime.backends.graph_forms import find_engine_graph, hash_engine_graph
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.trust import record_engine
from stylert.runtime.bundle import ENGINES, Bundle, hash_file
from stylert.runtime.generator import Generator
from stylert.runtime.proof.bundle_facts import reference_error
from stylert.runtime.proof.parity import compare, judge
from stylert.tests.loading import load_file

TESTS = Path(__file__).parents[1]
BATCHES = ((1, 1, 1), (2, 2, 2), (4, 4, 4))


@pytest.fixture(scope="session")
def is_close() -> Callable[[Generator, np.ndarray, np.ndarray, str], bool]:
    """By the gates of the proof; the second one where the export knows the rounding."""

    def check(generator: Generator, got: np.ndarray, want: np.ndarray, precision: str) -> bool:
        return judge(compare(want, got), precision, reference_error(generator.bundle)) > 0

    return check


@pytest.fixture(scope="session")
def load_tests_module() -> Callable[[str], ModuleType]:
    """Loads a module of the tests by its path, for instance 'gpu/onnx_on_torch.py'."""
    return lambda file: load_file(TESTS / file)


@pytest.fixture(scope="session")
def stand_in() -> Iterator[ModuleType | None]:
    """The stand-in for TensorRT, where TensorRT is not installed. It is in place until the end."""
    if not sys.modules["require_gpu"].why_not("tensorrt", stand_in=False):
        yield None
        return
    module = load_file(TESTS / "gpu/stand_in.py")
    fake = load_file(TESTS / "runtime/backends/fake_tensorrt.py", "fake_tensorrt_on_torch")
    with pytest.MonkeyPatch.context() as patch:
        trt = module.stand_in(fake, load_file(TESTS / "gpu/onnx_on_torch.py"))
        patch.setitem(sys.modules, "tensorrt", trt)
        yield module


@pytest.fixture
def release_memory(stand_in: ModuleType | None) -> Callable[[], None]:
    """Gives back what the stand-in keeps. No engine may be open."""
    return (lambda: None) if stand_in is None else stand_in.release_memory


@pytest.fixture(autouse=True)
def no_replay_fails() -> Iterator[None]:
    """What a graph of the stub raised while it was launched fails the test."""
    yield
    module = sys.modules.get("stand_in")
    if module is not None:
        module.raise_failure()


@pytest.fixture(scope="session")
def built(
    bundle_of: Callable[[str], Path],
    stand_in: ModuleType | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """A copy of a golden's bundle with TensorRT engines for batches of 1, 2 and 4."""
    made: dict[Any, Path] = {}

    def build(name: str, precision: str, *, encoder: Any = None, **options: Any) -> Path:
        key = (name, precision, encoder is not None, tuple(options.items()))
        if key not in made:
            path = tmp_path_factory.mktemp(name) / "bundle"
            shutil.copytree(bundle_of(name), path)
            if encoder is not None:
                add_encoder(path, encoder, verify=False)
            if stand_in is None:
                _build(path, precision, options)
            else:
                _add_plans(path, precision, options)
            made[key] = path
        return made[key]

    return build


def _build(path: Path, precision: str, options: dict[str, Any]) -> None:
    from stylert.engines import build_engine

    build_engine(
        path,
        compiler="tensorrt",
        precision=precision,
        batch="1,2,4",
        output="both",
        optimization_level=1,
        **options,
    )


def _add_plans(path: Path, precision: str, options: dict[str, Any]) -> None:
    """The plans of the stand-in name an ONNX file."""
    bundle = Bundle.open(path, check_files=False)
    device = Device()
    folder = path / ENGINES
    folder.mkdir()
    for graph, kind, outputs in (
        ("mapping", "fp32", ("ws",)),
        ("synthesis", precision, ("image", "img")),
        ("encoder", "fp32", ("ws",)),
    ):
        if graph not in bundle.graphs:
            continue
        onnx = bundle.file(find_engine_graph(bundle, graph, kind))
        file = folder / f"stand-in-{graph}.plan"
        content = {"onnx": str(onnx), "batches": BATCHES, "outputs": outputs}
        file.write_text(json.dumps(content), encoding="utf-8")
        plan = Plan(
            name=file.stem,
            compiler="tensorrt",
            version=sys.modules["tensorrt"].__version__,
            graph=graph,
            precision=kind,
            compute_capabilities=("{}.{}".format(*device.compute_capability),),
            gpu=device.name,
            batches=BATCHES,
            outputs=outputs,
            onnx_sha256=hash_engine_graph(bundle, graph, kind),
            sha256=hash_file(file),
            size=file.stat().st_size,
            options=options,
        )
        file.with_suffix(".json").write_text(json.dumps(plan.to_json()), encoding="utf-8")
        record_engine(plan)
    device.close()

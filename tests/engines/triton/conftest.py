"""What the tests of Triton share: plans for TensorRT, a fake of its Python API, a real server."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.trust import record_engine
from stylert.runtime.bundle import Bundle, graph_key
from stylert.tests.loading import load_file

MAPPING = {"outputs": ("ws",)}


@pytest.fixture(scope="session")
def serve_triton(pytestconfig: pytest.Config) -> Callable[..., AbstractContextManager[Any]]:
    """Runs a real server for as long as a block, and gives a client of it; see real_server.py."""
    real_server = load_file(Path(__file__).with_name("real_server.py"))
    cache = pytestconfig.cache
    assert cache is not None
    try:
        home = real_server.installed(cache.mkdir("tritonserver"))
    except real_server.Unavailable as error:
        pytest.skip(str(error))
    return partial(real_server.serving, home)


@pytest.fixture(scope="session")
def add_plans() -> Callable[..., tuple[Plan, Plan]]:
    """Puts a mapping and a synthesis plan for a GPU into a bundle, as a build would: but empty.

    They are recorded as this user's, unless they are somebody else's (`own=False`).
    """

    def add(
        bundle: Path,
        capability: str,
        *,
        batches: tuple[tuple[int, int, int], ...],
        version: str = "10.13.0.35",
        precision: str = "fp16",
        own: bool = True,
        **changes: Any,
    ) -> tuple[Plan, Plan]:
        opened = Bundle.open(bundle)
        made = []
        for graph in ("mapping", "synthesis"):
            half = precision if graph == "synthesis" else "fp32"
            name = f"tensorrt-{version}-{capability}-{half}-{graph}-{batches[-1][2]}"
            data = name.encode()
            fields: dict[str, Any] = {
                "name": name,
                "compiler": "tensorrt",
                "version": version,
                "graph": graph,
                "precision": half,
                "compute_capabilities": (capability,),
                "gpu": "a GPU",
                "batches": batches,
                "outputs": ("image",),
                "onnx_sha256": opened.graph_sha256(graph_key(graph, half)),
                "sha256": hashlib.sha256(data).hexdigest(),
                "size": len(data),
            }
            plan = Plan(**{**fields, **changes, **({} if graph == "synthesis" else MAPPING)})
            plan.file(opened).parent.mkdir(exist_ok=True)
            plan.file(opened).write_bytes(data)
            plan.file(opened).with_suffix(".json").write_text(json.dumps(plan.to_json()))
            if own:
                record_engine(plan)
            made.append(plan)
        return made[0], made[1]

    return add


@pytest.fixture
def no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This user has built nothing yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def load_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """Loads a Python model from its folder in a repository, as Triton would."""
    fake = load_file(Path(__file__).with_name("fake_triton.py"))
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", fake.BACKEND_UTILS)
    return cast(Callable[[Path], Any], fake.Model)

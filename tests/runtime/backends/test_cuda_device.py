"""The real device, as far as that can be checked without a GPU, and the real packages."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stylert.runtime import packages
from stylert.runtime.backends.cuda import device as cuda_device
from stylert.runtime.backends.cuda.device import Device
from stylert.runtime.backends.tensorrt import engine, package
from stylert.runtime.backends.tensorrt.package import Package
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.machine import visible_gpus

PLAN = Plan(
    name="broken",
    compiler="tensorrt_rtx",
    version="1",
    graph="mapping",
    precision="fp32",
    compute_capabilities=("8.9",),
    gpu=None,
    batches=((1, 1, 1),),
    outputs=("ws",),
    onnx_sha256="",
    sha256="",
    size=0,
)


@pytest.mark.parametrize(
    ("module", "distribution"),
    [("cuda.core", "cuda-core"), ("cuda.bindings.driver", "cuda-bindings")],
)
def test_without_cuda_core(
    monkeypatch: pytest.MonkeyPatch, refuses: Any, module: str, distribution: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with refuses(f"{distribution} is not installed", "pip install", error=MissingExtra):
        Device()


def test_the_command_brings_no_second_onnxruntime(
    monkeypatch: pytest.MonkeyPatch, refuses: Any
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    for installed, extra in ({"tensorrt-rtx"}, "rtx"), ({"tensorrt-rtx", "tensorrt"}, "gpu"):
        monkeypatch.setattr(
            cuda_device,
            "installed_version",
            lambda *names, there=installed: "1" if there & {*names} else None,
        )
        with refuses("cuda-core is not installed", f"[{extra}]'", error=MissingExtra):
            Device()


@pytest.mark.parametrize(
    ("distribution", "version", "floor"),
    [
        ("cuda-core", "1.1.1", "1.2"),
        ("cuda-core", "0.9", "1.2"),
        ("cuda-bindings", "12.8.0", "12.9.3"),
        ("cuda-bindings", "13.0.1", "13.0.2"),
    ],
)
def test_packages_that_are_too_old(
    monkeypatch: pytest.MonkeyPatch, refuses: Any, distribution: str, version: str, floor: str
) -> None:
    real = packages.installed_version
    monkeypatch.setattr(
        packages,
        "installed_version",
        lambda name: version if name == distribution else real(name),
    )
    message = f"{distribution} is too old: got {version}, expected >= {floor}. Install: pip "
    with refuses(message, error=MissingExtra):
        Device()


@pytest.mark.skipif(bool(visible_gpus()), reason="there is a GPU")
def test_without_a_gpu(refuses: Any) -> None:
    pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    with refuses("CUDA: opening GPU 0 failed", "stylert doctor", error=EngineError):
        Device()


def test_the_fake_of_the_tests_has_the_calls_of_a_device(fakes: Any) -> None:
    attributes = {"index", "name", "compute_capability", "dlpack_device", "late_frees"}
    assert attributes <= vars(fakes.device).keys()
    calls = {name for name in vars(Device) if not name.startswith("_")} - {"driver_call"}
    assert len(calls) > 10
    for name in calls:
        real, fake = getattr(Device, name), getattr(type(fakes.device), name)
        assert [*inspect.signature(fake).parameters] == [*inspect.signature(real).parameters], name


def test_the_real_cuda_core_on_a_stub_of_the_driver(
    engines: Path, driver_stub: Path, add_plans: Any
) -> None:
    add_plans(engines, gpu="Stub")
    pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    drive = Path(__file__).with_name("drive_cuda.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(drive), str(engines)],
        env={**os.environ, "LD_LIBRARY_PATH": str(driver_stub)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "all is well\n", done.stderr
    assert done.returncode == 0, done.stderr


def test_every_name_of_cuda_exists() -> None:
    core = pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    bindings = importlib.import_module("cuda.bindings")
    importlib.import_module("cuda.bindings.driver")
    for owner, name in names_after(cuda_device.__file__, {"self._cuda"}):
        assert hasattr(core, name), f"{owner}.{name}"
    source = Path(cuda_device.__file__ or "").read_text(encoding="utf-8")
    calls = re.findall(r'driver_call\("(\w+)"', source)
    assert "cuMemcpyAsync" in calls
    for call in calls:
        assert hasattr(bindings.driver, call), call
    assert bindings.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL == 1
    assert bindings.driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD == 4
    for kind, names in {
        core.Device: "set_current compute_capability name create_stream create_event",
        core.Stream: "handle sync record wait",
        core.Event: "handle sync",
        core.Buffer: "handle close fill",
        core.DeviceMemoryResource: "allocate close handle",
    }.items():
        for name in names.split():
            assert hasattr(kind, name), f"{kind.__name__}.{name}"


def test_every_name_of_tensorrt_rtx_exists() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    for file in (engine.__file__, package.__file__):
        for owner, name in names_after(file, {"trt", "rtx", "self._trt"}):
            assert hasattr(trt, name), f"{owner}.{name}"
    for kind, names in {
        trt.Runtime: "deserialize_cuda_engine engine_host_code_allowed",
        trt.ICudaEngine: "num_io_tensors get_tensor_name get_tensor_mode get_tensor_dtype "
        "get_tensor_shape get_tensor_profile_shape num_optimization_profiles "
        "get_device_memory_size_for_profile_v2 create_execution_context create_runtime_config",
        trt.IExecutionContext: "set_device_memory set_optimization_profile_async set_input_shape "
        "set_tensor_address infer_shapes get_tensor_shape execute_async_v3",
        trt.IRuntimeConfig: "set_execution_context_allocation_strategy cuda_graph_strategy "
        "create_runtime_cache set_runtime_cache dynamic_shapes_kernel_specialization_strategy",
        trt.tensorrt_rtx.IRuntimeCache: "serialize deserialize",
        trt.Refitter: "get_missing_weights refit_cuda_engine",
        trt.OnnxParserRefitter: "refit_from_bytes num_errors get_error",
    }.items():
        for name in names.split():
            assert hasattr(kind, name), f"{kind.__name__}.{name}"


def test_the_real_runtime_tells_why_it_refuses(refuses: Any) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    opened = Package("tensorrt_rtx")
    assert opened.version[0].isdigit()
    for _ in range(2):
        with refuses(
            f"tensorrt_rtx {opened.version}: deserialize_cuda_engine of broken",
            "(",
            error=EngineError,
        ) as _:
            opened.load(b"no plan", PLAN)


def test_a_package_that_does_not_load(monkeypatch: pytest.MonkeyPatch, refuses: Any) -> None:
    def broken(name: str) -> Any:
        raise OSError("libnvinfer.so.11: cannot open\nshared object file")

    monkeypatch.setattr(package.importlib, "import_module", broken)
    with refuses("tensorrt does not load here: libnvinfer.so.11", "[gpu]'", error=MissingExtra):
        Package("tensorrt")


def names_after(file: str | None, owners: set[str]) -> set[tuple[str, str]]:
    """The attributes that a source file takes from these expressions."""
    assert file is not None
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in owners:
            found.add((ast.unparse(node.value), node.attr))
    return found

"""`Generator` with `on_device`: one array where it was drawn, on every backend."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.runtime.backends.cuda import device as cuda_device
from stylert.runtime.backends.cuda.device_array import DeviceArray
from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.feeds import Feeds
from stylert.runtime.generator import Generator

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"output": "img"},
    {"noise_mode": "seeded", "truncation_psi": 0.5, "truncation_cutoff": 4},
)


def close(a: Any, b: np.ndarray) -> bool:
    """Equal up to what another batch size changes in ONNX Runtime."""
    got = np.from_dlpack(a)
    if got.dtype == np.uint8:
        return got.shape == b.shape and int(np.abs(got.astype(int) - b).max()) <= 1
    return got.shape == b.shape and got.dtype == b.dtype and bool(np.abs(got - b).max() < 1e-4)


# The CPU.


@pytest.mark.parametrize("options", OPTIONS)
def test_on_the_cpu_torch_shares_the_memory(generator: Generator, options: dict[str, Any]) -> None:
    array = generator.generate([3, 1, 2], on_device=True, **options)
    assert isinstance(array, np.ndarray)
    tensor = torch.from_dlpack(array)
    assert tensor.data_ptr() == array.ctypes.data
    assert np.array_equal(tensor.numpy(), generator.generate([3, 1, 2], **options))
    tensor.zero_()  # it is the caller's own
    assert not array.any()


def test_on_the_cpu_with_parts(bundle: Path, generator: Generator) -> None:
    with Generator.open(bundle, provider="cpu", threads=1, max_batch=2) as small:
        array = small.generate(range(5), on_device=True)
        ws = small.map(np.random.RandomState(0).randn(5, small.spec.z_dim))
        styled = small.synthesize(ws, on_device=True, output="img")
    assert close(array, generator.generate(range(5)))
    assert close(styled, generator.synthesize(ws, output="img"))


def test_the_host_is_the_default(generator: Generator, refuses: Any) -> None:
    for on_device in ("cuda", 1, None):
        with refuses("on_device: got", "expected True or False"):
            generator.generate([1], on_device=on_device)


# An engine, on a fake GPU.


@pytest.fixture
def engine(installed: Any, engines: Path) -> Iterator[Generator]:
    session = installed.open(engines)  # for batches of up to 4
    with Generator(Bundle.open(engines), session) as opened:
        yield opened


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("count", [1, 4, 7])
def test_an_engine_gives_one_array(
    engine: Generator, generator: Generator, count: int, options: dict[str, Any]
) -> None:
    array = engine.generate(range(count), on_device=True, **options)
    assert isinstance(array, DeviceArray)
    tensor = torch.from_dlpack(array)
    assert tensor.data_ptr() == array.pointer
    assert close(array, generator.generate(range(count), **options))
    ws = generator.map(np.random.RandomState(1).randn(count, generator.spec.z_dim))
    noise = {name: field for name, field in options.items() if name == "output"}
    assert close(engine.synthesize(ws, on_device=True, **noise), generator.synthesize(ws, **noise))


def test_arrays_outlive_later_calls_and_the_generator(
    installed: Any, engine: Generator, generator: Generator
) -> None:
    kept = {count: engine.generate(range(count), on_device=True) for count in (6, 2, 9)}
    engine.generate([77, 78, 79, 80])
    engine.close()
    for count, array in kept.items():
        assert close(array, generator.generate(range(count)))
    del array
    kept.clear()
    gc.collect()
    installed.device.finish()
    assert not installed.device.live  # the parts were let go of too


def test_the_host_does_not_wait(installed: Any, engine: Generator) -> None:
    engine.generate(range(8), on_device=True)  # captures the graphs
    installed.device.finish()
    installed.device.calls.clear()
    engine.generate(range(4), on_device=True)
    assert not installed.device.calls["sync"]


@pytest.mark.parametrize("call", ["allocate", "copy"])
def test_a_failure_halfway_leaves_nothing(
    installed: Any, engine: Generator, refuses: Any, call: str
) -> None:
    device = installed.device
    engine.generate(range(7), on_device=True)
    device.calls.clear()
    engine.generate(range(7), on_device=True)
    count = device.calls[call]
    assert count >= 3  # two parts, and the whole
    live = len(device.live)
    for successes in range(count):
        device.failing[call] = successes
        with refuses("CUDA", call, error=EngineError):
            engine.generate(range(7), on_device=True)
        gc.collect()
        device.finish()
        assert len(device.live) <= live  # a lane that failed is thrown away
        engine.generate(range(7), on_device=True)


# ONNX Runtime with CUDA: it runs on the CPU here, and writes to the memory of a fake GPU.


@pytest.fixture
def cuda(bundle: Path, fakes: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Generator]:
    where = "stylert.runtime.backends.onnxruntime._open_device"
    monkeypatch.setattr(where, lambda index: fakes.device)
    session = OnnxRuntimeSession(Bundle.open(bundle), provider="cpu", threads=1)
    session.provider = "cuda"
    with Generator(Bundle.open(bundle), session, max_batch=3) as opened:
        yield opened


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("count", [1, 3, 7])
def test_onnxruntime_binds_its_outputs(
    cuda: Generator, fakes: Any, generator: Generator, count: int, options: dict[str, Any]
) -> None:
    expected = generator.generate(range(count), **options)
    array = cuda.generate(range(count), on_device=True, **options)
    cuda.generate([50, 51, 52], on_device=True)  # in other memory
    assert isinstance(array, DeviceArray)
    assert torch.from_dlpack(array).data_ptr() == array.pointer
    assert close(array, expected)
    assert fakes.device.calls["open_stream"] == 1
    cuda.close()
    assert fakes.device.closed == 1
    assert close(array, expected)
    del array
    gc.collect()
    fakes.device.finish()
    assert not fakes.device.live


def test_both_outputs_are_bound(cuda: Generator, generator: Generator) -> None:
    ws = generator.map(np.random.RandomState(2).randn(2, generator.spec.z_dim))
    feeds = Feeds(2, {"ws": ws}, generator.bundle.read_noise())
    with cuda.lifetime.in_use() as session:
        arrays = session.run(("synthesis",), feeds, ["img", "image"], on_device=True)
    for array, output in zip(arrays, ("img", "image"), strict=True):
        assert close(array, generator.synthesize(ws, output=output))


def test_several_threads(cuda: Generator, generator: Generator, fakes: Any) -> None:
    expected = [generator.generate(seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(lambda seed: cuda.generate(seed, on_device=True), range(12)))
    assert all(close(a, e) for a, e in zip(arrays, expected, strict=True))
    assert fakes.device.calls["open_stream"] == 1


def test_onnxruntime_that_fails_frees_the_memory(cuda: Generator, fakes: Any, refuses: Any) -> None:
    wrong = Feeds(2, {"ws": np.zeros((2, 1, 1), np.float32)}, cuda.bundle.read_noise())
    with (
        cuda.lifetime.in_use() as session,
        refuses("ONNX Runtime failed: ", error=EngineError),
    ):
        session.run(("synthesis",), wrong, ["image"], on_device=True)
    fakes.device.failing["record"] = 0
    with refuses("CUDA: record", error=EngineError):
        cuda.generate([1], on_device=True)
    fakes.device.finish()
    assert not fakes.device.live


def test_without_cuda_core(bundle: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda.core", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(cuda_device, "installed_version", lambda *names: "1")  # onnxruntime-gpu
    session = OnnxRuntimeSession(Bundle.open(bundle), provider="cpu", threads=1)
    session.provider = "cuda"
    with (
        Generator(Bundle.open(bundle), session) as opened,
        refuses("cuda-core is not installed", "[gpu]'", error=MissingExtra),
    ):
        opened.generate([1], on_device=True)

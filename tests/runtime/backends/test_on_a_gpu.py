"""The engines and ONNX Runtime's CUDA provider on a real GPU, against ONNX Runtime on the CPU.

They are skipped where there is no GPU. `pytest -m gpu --require-gpu` on a machine with one.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.backends.cuda.device import Device
from stylert.runtime.backends.cuda.launch_timer import LaunchTimer
from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession, available_providers
from stylert.runtime.backends.tensorrt.session import TensorRTSession
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.proof.bundle_facts import reference_error
from stylert.runtime.proof.parity import compare, judge

BOTH = ("mapping", "synthesis")

pytestmark = pytest.mark.gpu

GOLDENS = ("sg2-skip-32", "sg2-fp16-64", "sg2-hot-64")
SEEDS = range(6)


def is_close(generator: Generator, got: np.ndarray, want: np.ndarray, precision: str) -> bool:
    """By the gates of the proof; the second one where the export knows the rounding."""
    return judge(compare(want, got), precision, reference_error(generator.bundle)) > 0


@pytest.fixture(scope="module")
def built(
    bundle_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """A copy of a golden's bundle with TensorRT engines for batches of 1, 2 and 4."""
    pytest.importorskip("tensorrt", reason="tensorrt is not installed")
    from stylert.engines import build_engine

    made: dict[Any, Path] = {}

    def build(name: str, precision: str, **options: Any) -> Path:
        key = (name, precision, tuple(options.items()))
        if key not in made:
            path = tmp_path_factory.mktemp(name) / "bundle"
            shutil.copytree(bundle_of(name), path)
            build_engine(
                path,
                compiler="tensorrt",
                precision=precision,
                batch="1,2,4",
                output="both",
                optimization_level=1,
                **options,
            )
            made[key] = path
        return made[key]

    return build


def drawing(path: Path, **options: Any) -> Generator:
    session = TensorRTSession(Bundle.open(path), **options)
    return Generator(Bundle.open(path), session, max_batch=session.max_batch)


def cuda_torch() -> Any:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    return torch


@pytest.fixture
def session(built: Callable[..., Path]) -> Iterator[TensorRTSession]:
    opened = TensorRTSession(Bundle.open(built("sg2-skip-32", "fp32")))
    yield opened
    opened.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", GOLDENS)
def test_engine_parity(built: Callable[..., Path], name: str, precision: str) -> None:
    path = built(name, precision)
    with drawing(path) as ours, Generator.open(path, provider="cpu") as reference:
        assert ours.describe()["precision"] == precision
        for noise_mode in ("const", "none", "seeded"):
            options: dict[str, Any] = {"noise_mode": noise_mode, "output": "img"}
            want = reference.generate(SEEDS, **options)
            assert is_close(reference, ours.generate(SEEDS, **options), want, precision)
        image = ours.generate([1])
        assert image.dtype == np.uint8
        assert np.abs(image.astype(int) - reference.generate([1])).max() <= 4


def test_a_replay_equals_eager(
    built: Callable[..., Path], session: TensorRTSession, feeds_of: Any
) -> None:
    eager = TensorRTSession(Bundle.open(built("sg2-skip-32", "fp32")), cuda_graphs=False)
    for count in (1, 2, 3, 4):
        for seed in range(3):
            feeds = feeds_of(count, seed=seed, noise=("const", "own", "none")[seed])
            (graph,), (kernels,) = (
                session.run(BOTH, feeds, ["img"]),
                eager.run(BOTH, feeds, ["img"]),
            )
            assert np.array_equal(graph, kernels)
    assert session.describe()["cuda_graphs"] is True
    assert eager.describe()["cuda_graphs"] is False
    eager.close()


def test_dlpack_into_torch(session: TensorRTSession, feeds_of: Any) -> None:
    torch = cuda_torch()
    kept = []
    for seed in range(20):
        (array,) = session.run(BOTH, feeds_of(2, seed=seed), ["img"], on_device=True)
        tensor = torch.from_dlpack(array)
        assert tensor.data_ptr() == array.pointer
        kept.append((seed, tensor.clone(), torch.as_tensor(array, device="cuda").clone()))
        with torch.cuda.stream(torch.cuda.Stream()):
            kept.append((seed, torch.from_dlpack(array).clone(), tensor))
            torch.cuda.current_stream().synchronize()
        del array, tensor
    for seed, one, two in kept:
        (want,) = session.run(BOTH, feeds_of(2, seed=seed), ["img"])
        assert np.array_equal(one.cpu().numpy(), want)
        assert np.array_equal(two.cpu().numpy(), want)


def test_generator_on_device(built: Callable[..., Path]) -> None:
    torch = cuda_torch()
    with drawing(built("sg2-skip-32", "fp32")) as ours:
        tensor = torch.from_dlpack(ours.generate(range(7), on_device=True))  # 4 and 3
        later = torch.from_dlpack(ours.generate(range(7, 14), on_device=True))
        want = ours.generate(range(14))
    assert tensor.is_cuda
    assert np.array_equal(torch.cat([tensor, later]).cpu().numpy(), want)


@pytest.mark.parametrize("output", ["image", "img"])
def test_onnxruntime_on_device(bundle_of: Callable[[str], Path], output: Any) -> None:
    if "cuda" not in available_providers():
        pytest.skip("this ONNX Runtime has no CUDA provider")
    torch = cuda_torch()
    path = bundle_of("sg2-skip-32")
    with Generator.open(path, provider="cuda", precision="fp32", max_batch=4) as ours:
        kept = []
        for start in range(0, 60, 6):
            seeds = range(start, start + 6)
            array = ours.generate(seeds, on_device=True, output=output)
            tensor = torch.from_dlpack(array)
            assert tensor.data_ptr() == array.pointer
            kept.append(tensor + 0)  # queued on the default stream; the memory is let go of at once
            del array, tensor
        want = ours.generate(range(60), output=output)
    got = torch.cat(kept).cpu().numpy()
    assert got.dtype == want.dtype
    assert np.abs(got.astype(np.float32) - want).max() <= (1 if output == "image" else 1e-4)


def test_memory_does_not_grow_in_1000_calls(session: TensorRTSession, feeds_of: Any) -> None:
    from cuda.bindings import driver

    def free() -> int:
        with session._device.active():
            status, free_bytes, _ = driver.cuMemGetInfo()
        assert int(status) == 0
        return int(free_bytes)

    def use(count: int) -> None:
        for i in range(count):
            feeds = feeds_of(1 + i % 4, noise=("const", "own", "none")[i % 3])
            session.run(BOTH, feeds, ["image"])
            session.run(BOTH, feeds, ["image"], on_device=True)

    use(24)
    before = free()
    use(1000)
    assert before - free() < 32 << 20  # the pool may round up once


def test_the_gpus_clock(built: Callable[..., Path], feeds_of: Any) -> None:
    timer = LaunchTimer(Device())
    path = built("sg2-skip-32", "fp32")
    session = TensorRTSession(Bundle.open(path), device=timer.device, timer=timer)
    for count in (1, 4, 4):
        start = time.perf_counter()
        session.run(BOTH, feeds_of(count), ["img"])
        assert 0 < timer.seconds() < time.perf_counter() - start
    session.close()


def test_the_gpus_clock_of_onnxruntime(bundle_of: Callable[[str], Path]) -> None:
    if "cuda" not in available_providers():
        pytest.skip("this ONNX Runtime has no CUDA provider")
    timer = LaunchTimer(Device())
    bundle = Bundle.open(bundle_of("sg2-skip-32"))
    session = OnnxRuntimeSession(bundle, provider="cuda", timer=timer)
    with Generator(bundle, session) as ours, Generator.open(bundle.path, provider="cpu") as cpu:
        for count in (1, 4, 4):
            start = time.perf_counter()
            got = ours.generate(range(count), output="img")
            assert 0 < timer.seconds() < time.perf_counter() - start
            assert is_close(cpu, got, cpu.generate(range(count), output="img"), "fp32")


@pytest.mark.parametrize("lanes", [1, 2])
def test_two_threads(built: Callable[..., Path], feeds_of: Any, lanes: int) -> None:
    path = built("sg2-skip-32", "fp32")
    shared = TensorRTSession(Bundle.open(path), lanes=lanes)
    single = TensorRTSession(Bundle.open(path))

    def draw(seed: int) -> bool:
        feeds = feeds_of(1 + seed % 4, seed=seed)
        if seed % 2:
            got = shared.run(BOTH, feeds, ["img"], on_device=True)[0].numpy()
        else:
            got = shared.run(BOTH, feeds, ["img"])[0]
        return bool(np.array_equal(got, single.run(BOTH, feeds, ["img"])[0]))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(draw, range(100)))
    shared.close()
    single.close()


def test_closed_memory_is_given_back(built: Callable[..., Path], feeds_of: Any) -> None:
    from cuda.bindings import driver

    path = built("sg2-skip-32", "fp32")
    free = []
    for _ in range(4):
        session = TensorRTSession(Bundle.open(path))
        session.run(BOTH, feeds_of(4), ["img"])
        device = session._device
        session.close()
        with device.active():
            free.append(int(driver.cuMemGetInfo()[1]))
    assert free[1] - free[-1] < 32 << 20


def test_refit(built: Callable[..., Path], bundle_of: Callable[[str], Path]) -> None:
    path = built("sg2-fp16-64", "fp32", refittable=True)
    other = Bundle.open(bundle_of("sg2-hot-64"))  # the same architecture, other weights
    session = TensorRTSession(Bundle.open(path))
    own = Generator(Bundle.open(path), session, max_batch=4).generate(SEEDS, output="img")
    session.refit(other)
    with Generator(other, session, max_batch=4) as refitted:
        got = refitted.generate(SEEDS, output="img")
    with Generator.open(other.path, provider="cpu") as reference:
        want = reference.generate(SEEDS, output="img")
        assert is_close(reference, got, want, "fp32")
    assert compare(want, own).psnr_db < 40


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", GOLDENS)
def test_onnxruntime_cuda_parity(
    bundle_of: Callable[[str], Path], name: str, precision: str
) -> None:
    if "cuda" not in available_providers():
        pytest.skip("this ONNX Runtime has no CUDA provider")
    bundle = Bundle.open(bundle_of(name))
    session = OnnxRuntimeSession(bundle, provider="cuda", precision=precision)
    with Generator(bundle, session) as ours, Generator.open(bundle.path, provider="cpu") as cpu:
        for noise_mode in ("const", "seeded"):
            options: dict[str, Any] = {"noise_mode": noise_mode, "output": "img"}
            want = cpu.generate(SEEDS, **options)
            got = ours.generate(SEEDS, **options)
            assert compare(want, got).psnr_db >= 60  # with TF32

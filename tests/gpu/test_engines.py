"""Engines on a real GPU, of TensorRT or of its stand-in, against ONNX Runtime on the CPU.

They are skipped where there is no GPU, and run over the stub of the driver in test_dry_run.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.runtime.backends.cuda.device import Device
from stylert.runtime.backends.cuda.launch_timer import LaunchTimer
from stylert.runtime.backends.tensorrt.session import TensorRTSession
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.proof.parity import CODES, compare

BOTH = ("mapping", "synthesis")

pytestmark = pytest.mark.gpu("cuda", "engines")

GOLDENS = ("sg2-skip-32", "sg2-fp16-64", "sg2-hot-64")
SEEDS = range(6)
# A pool takes memory of the GPU in large pieces. The stub of the driver counts bytes.
SLACK = 32 << 20 if torch.cuda.is_available() else 0


def drawing(path: Path, **options: Any) -> Generator:
    session = TensorRTSession(Bundle.open(path), **options)
    return Generator(Bundle.open(path), session, max_batch=session.max_batch)


@pytest.fixture
def session(built: Callable[..., Path]) -> Iterator[TensorRTSession]:
    opened = TensorRTSession(Bundle.open(built("sg2-skip-32", "fp32")))
    yield opened
    opened.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", GOLDENS)
def test_engine_parity(
    built: Callable[..., Path], is_close: Callable[..., bool], name: str, precision: str
) -> None:
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


def test_encoder_parity(
    built: Callable[..., Path], make_encoder: Callable[..., Any], bundle_of: Callable[[str], Path]
) -> None:
    """Its engine is loaded when it is asked for, between launches of the others."""
    spec = Bundle.open(bundle_of("sg2-skip-32")).spec
    path = built("sg2-skip-32", "fp32", encoder=make_encoder(spec.num_ws, spec.w_dim))
    photos = np.random.default_rng(0).integers(0, 256, (6, 20, 16, 3), np.uint8)
    with drawing(path) as ours, Generator.open(path, provider="cpu") as reference:
        before = ours.generate(SEEDS)
        want = reference.invert(photos)
        for _ in range(2):
            codes = ours.invert(photos)
            assert np.abs(codes - want).max() <= CODES * np.abs(want).max()
            assert np.array_equal(ours.generate(SEEDS), before)


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


@pytest.mark.gpu("torch")
def test_dlpack_into_torch(session: TensorRTSession, feeds_of: Any) -> None:
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


@pytest.mark.gpu("torch")
def test_generator_on_device(built: Callable[..., Path]) -> None:
    with drawing(built("sg2-skip-32", "fp32")) as ours:
        tensor = torch.from_dlpack(ours.generate(range(7), on_device=True))  # 4 and 3
        later = torch.from_dlpack(ours.generate(range(7, 14), on_device=True))
        want = ours.generate(range(14))
    assert tensor.is_cuda
    assert np.array_equal(torch.cat([tensor, later]).cpu().numpy(), want)


def test_memory_does_not_grow(session: TensorRTSession, feeds_of: Any) -> None:
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

    use(12)  # each number of rows with each noise
    before = free()
    use(1000 if torch.cuda.is_available() else 12)
    assert before - free() <= SLACK


@pytest.mark.gpu("torch")  # the stub's clock stands still
def test_the_gpus_clock(built: Callable[..., Path], feeds_of: Any) -> None:
    timer = LaunchTimer(Device())
    path = built("sg2-skip-32", "fp32")
    session = TensorRTSession(Bundle.open(path), device=timer.device, timer=timer)
    for count in (1, 4, 4):
        start = time.perf_counter()
        session.run(BOTH, feeds_of(count), ["img"])
        assert 0 < timer.seconds() < time.perf_counter() - start
    session.close()


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
        assert all(pool.map(draw, range(100 if torch.cuda.is_available() else 12)))
    shared.close()
    single.close()


def test_closed_memory_is_given_back(
    built: Callable[..., Path], feeds_of: Any, release_memory: Callable[[], None]
) -> None:
    def free(device: Device) -> int:
        with device.active():
            return int(device.driver_call("cuMemGetInfo"))

    path = built("sg2-skip-32", "fp32")
    for turn in range(4):
        device = Device()
        before = free(device)
        session = TensorRTSession(Bundle.open(path), device=device)
        session.run(BOTH, feeds_of(4), ["img"])
        session.close()
        release_memory()
        assert turn == 0 or before - free(device) <= SLACK  # libraries keep what they load


def test_refit(
    built: Callable[..., Path], bundle_of: Callable[[str], Path], is_close: Callable[..., bool]
) -> None:
    path = built("sg2-fp16-64", "fp32", refittable=True)
    other = Bundle.open(bundle_of("sg2-hot-64"))  # the same architecture, other weights
    session = TensorRTSession(Bundle.open(path))
    # The checkpoint's own noise has an address of its own, seeded noise that of all calls.
    modes: tuple[Any, ...] = ("const", "seeded")
    own = Generator(Bundle.open(path), session, max_batch=4)
    before = [own.generate(SEEDS, output="img", noise_mode=mode) for mode in modes]
    session.refit(other)
    with (
        Generator(other, session, max_batch=4) as refitted,
        Generator.open(other.path, provider="cpu") as reference,
    ):
        for mode, old in zip(modes, before, strict=True):
            options: dict[str, Any] = {"output": "img", "noise_mode": mode}
            want = reference.generate(SEEDS, **options)
            assert is_close(reference, refitted.generate(SEEDS, **options), want, "fp32")
            assert compare(want, old).psnr_db < 40

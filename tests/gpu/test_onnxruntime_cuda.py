"""ONNX Runtime's CUDA provider on a real GPU, against ONNX Runtime on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.runtime.backends.cuda.device import Device
from stylert.runtime.backends.cuda.launch_timer import LaunchTimer
from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.proof.parity import compare

pytestmark = pytest.mark.gpu("onnxruntime")

GOLDENS = ("sg2-skip-32", "sg2-fp16-64", "sg2-hot-64")
SEEDS = range(6)


@pytest.mark.gpu("cuda", "torch")
@pytest.mark.parametrize("output", ["image", "img"])
def test_onnxruntime_on_device(bundle_of: Callable[[str], Path], output: Any) -> None:
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


@pytest.mark.gpu("cuda")
def test_the_gpus_clock_of_onnxruntime(
    bundle_of: Callable[[str], Path], is_close: Callable[..., bool]
) -> None:
    timer = LaunchTimer(Device())
    bundle = Bundle.open(bundle_of("sg2-skip-32"))
    session = OnnxRuntimeSession(bundle, provider="cuda", timer=timer)
    with Generator(bundle, session) as ours, Generator.open(bundle.path, provider="cpu") as cpu:
        for count in (1, 4, 4):
            start = time.perf_counter()
            got = ours.generate(range(count), output="img")
            assert 0 < timer.seconds() < time.perf_counter() - start
            assert is_close(cpu, got, cpu.generate(range(count), output="img"), "fp32")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", GOLDENS)
def test_onnxruntime_cuda_parity(
    bundle_of: Callable[[str], Path], name: str, precision: str
) -> None:
    bundle = Bundle.open(bundle_of(name))
    session = OnnxRuntimeSession(bundle, provider="cuda", precision=precision)
    with Generator(bundle, session) as ours, Generator.open(bundle.path, provider="cpu") as cpu:
        for noise_mode in ("const", "seeded"):
            options: dict[str, Any] = {"noise_mode": noise_mode, "output": "img"}
            want = cpu.generate(SEEDS, **options)
            got = ours.generate(SEEDS, **options)
            assert compare(want, got).psnr_db >= 60  # with TF32

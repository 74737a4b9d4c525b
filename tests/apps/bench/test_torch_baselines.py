"""What the benchmark compares with draws the same pictures as the runtime."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.apps.bench import torch_baselines
from stylert.apps.bench.bundle_bench import HALF_GEMM, NAMES, is_torch, list_candidates, on_gpu
from stylert.apps.bench.torch_baselines import (
    TRUNCATION_PSI,
    HalfGemm,
    TorchCandidate,
    open_compiled,
    open_eager,
    open_half_gemm,
)
from stylert.apps.bench.worker import _load_factory
from stylert.export.checkpoints import read_checkpoint, write_native
from stylert.export.families import build_model
from stylert.export.weight_rounding import round_weights
from stylert.runtime.errors import EngineError
from stylert.runtime.generator import Generator
from stylert.runtime.proof.parity import TOLERANCES, compare


def test_eager_draws_a_class(goldens: Path, conditional: Generator) -> None:
    checkpoint = str(goldens / "sg2-cond-32.pkl")
    candidate = open_eager(checkpoint=checkpoint, threads=1, class_idx=3)
    candidate.prepare(2)
    got = conditional.generate([0, 1], truncation_psi=TRUNCATION_PSI, output="img", class_idx=3)
    assert compare(candidate.run(), got).within(TOLERANCES["fp32"])


@pytest.mark.parametrize("name", ["sg2-skip-32", "sg2-cond-32"])
def test_eager_draws_what_the_runtime_draws(
    goldens: Path, bundle_of: Callable[[str], Path], name: str
) -> None:
    candidate = open_eager(checkpoint=str(goldens / f"{name}.pkl"), threads=1)
    c_dim = candidate.model.config.c_dim
    with Generator.open(bundle_of(name), threads=1) as generator:
        for batch in (1, 3):
            candidate.prepare(batch)
            expected = candidate.run()
            options: dict[str, Any] = {}
            if c_dim:
                options["class_idx"] = [seed % c_dim for seed in range(batch)]
            got = generator.generate(
                range(batch), truncation_psi=TRUNCATION_PSI, output="img", **options
            )
            assert expected.dtype == np.float32
            assert compare(expected, got).within(TOLERANCES["fp32"])
    facts = candidate.describe()
    assert (facts["device"], facts["precision"], facts["threads"]) == ("cpu", "fp32", 1)
    candidate.close()


def test_weights_are_rounded_as_those_of_the_bundle(goldens: Path) -> None:
    path = goldens / "sg2-skip-32.pkl"
    candidate = open_eager(checkpoint=str(path), threads=1, weights="int16")
    rounded = round_weights(read_checkpoint(path), "int16")
    got = candidate.model.state_dict()
    for name, tensor in rounded.tensors.items():
        assert np.array_equal(got[name], tensor), name


def test_network_is_chosen(goldens: Path) -> None:
    path = str(goldens / "sg2-skip-32.pkl")
    images = []
    for network in (None, "G_ema", "G"):
        candidate = open_eager(checkpoint=path, threads=1, network=network)
        candidate.prepare(1)
        images.append(candidate.run())
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch.compile uses torch.jit
def test_compiled_draws_what_eager_draws(
    make_checkpoint: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import config

    assert config.compile_threads == 1, "see tests/conftest.py"
    # No programs that try which vectors there are.
    monkeypatch.setattr(config.cpp, "vec_isa_ok", False)
    path = str(tmp_path / "tiny.safetensors")
    write_native(make_checkpoint(channels=(4,), mapping_layers=1), Path(path))
    images = []
    for factory in (open_eager, open_compiled):
        candidate = factory(checkpoint=path, threads=1)
        candidate.prepare(2)
        images.append(candidate.run())
    assert candidate.describe()["backend"] == "torch.compile"
    assert compare(*images).within(TOLERANCES["fp32"])


def test_half_precision_is_the_official_path(goldens: Path) -> None:
    path = str(goldens / "sg2-hot-64.pkl")
    images = []
    for precision in ("fp32", "fp16"):
        candidate = open_eager(checkpoint=path, threads=1, precision=precision)
        candidate.prepare(2)
        images.append(candidate.run())
        assert candidate.describe()["precision"] == precision
    assert images[1].dtype == np.float32
    difference = compare(*images)
    assert difference.within(TOLERANCES["fp16"])
    assert difference.psnr_db < 90


class Clock:
    """Stands in for CUDA's events."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def seconds(self) -> float:
        self.calls.append("seconds")
        return 0.25


def test_the_clock_is_around_the_drawing(goldens: Path) -> None:
    clock: Any = Clock()
    model = build_model(read_checkpoint(goldens / "sg2-skip-32.pkl"))
    candidate = TorchCandidate(model, device="cpu", clock=clock)
    candidate.draw = lambda *inputs, **options: (
        clock.calls.append("draw"),
        model(*inputs, **options),
    )[1]
    candidate.prepare(1)
    candidate.run()
    assert candidate.device_seconds() == 0.25
    assert clock.calls == ["start", "draw", "stop", "seconds"]
    assert (
        open_eager(checkpoint=str(goldens / "sg2-skip-32.pkl"), threads=1).device_seconds() is None
    )


def test_the_roofline_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_baselines, "HALF_GEMM_SHAPE", (4, 8, 16))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Fake GPU")
    clock: Any = Clock()
    gemm = HalfGemm(clock, device="cpu")
    gemm.prepare(3)
    assert gemm.run().shape == (3, 1, 1, 1)
    assert clock.calls == ["start", "stop", "seconds"]
    assert gemm.device_seconds() == 0.25
    assert gemm._y.shape == (4, 16)
    assert gemm._y.dtype == torch.float16
    facts = gemm.describe()
    assert (facts["gpu"], facts["precision"]) == ("Fake GPU", "fp16")
    gemm.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_one_line(goldens: Path, refuses: Any) -> None:
    path = str(goldens / "sg2-skip-32.pkl")
    for factory in (open_eager, open_compiled):
        with refuses("PyTorch", "no GPU here", "leave this candidate out", error=EngineError):
            factory(checkpoint=path, threads=1, device="cuda")
    with refuses("PyTorch", "no GPU here", error=EngineError):
        open_half_gemm(threads=1)


def test_on_a_gpu_float32_is_not_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    try:
        torch_baselines.require_cuda()
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before


def test_backends_by_name() -> None:
    everything = list_candidates("b", checkpoint="c.pkl", network=None, max_batch=4)
    assert tuple(everything) == NAMES
    for name, candidate in everything.items():
        assert candidate.name == name
        assert callable(_load_factory(candidate.factory))
        assert on_gpu(name) == (
            name.startswith("tensorrt")
            or "cuda" in (candidate.options.get("device"), candidate.options.get("provider"))
        )
        assert ("checkpoint" in candidate.options) == is_torch(name)
        assert ("max_batch" in candidate.options) != is_torch(name)
        assert candidate.options.get("trust_engines", False) is False
    assert callable(_load_factory(HALF_GEMM.factory))
    without = list_candidates("b", checkpoint=None, network=None, max_batch=4, trust_engines=True)
    assert all(candidate.options["trust_engines"] for candidate in without.values())
    assert tuple(without) == tuple(name for name in NAMES if not is_torch(name))


@pytest.mark.gpu("torch")
@pytest.mark.parametrize("factory", [open_eager, open_compiled])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_gpu_draws_what_the_cpu_draws(
    goldens: Path, factory: Callable[..., TorchCandidate], precision: str
) -> None:
    path = str(goldens / "sg2-fp16-64.pkl")
    reference = open_eager(checkpoint=path, threads=1)
    candidate = factory(checkpoint=path, threads=1, device="cuda", precision=precision)
    for batch in (1, 4):
        reference.prepare(batch)
        candidate.prepare(batch)
        assert compare(reference.run(), candidate.run()).within(TOLERANCES[precision])
        seconds = candidate.device_seconds()
        assert seconds is not None
        assert 0 < seconds < 10


@pytest.mark.gpu("torch")
def test_the_roofline_on_a_gpu() -> None:
    gemm = open_half_gemm(threads=1)
    gemm.prepare(1)
    gemm.run()
    assert 0 < gemm.device_seconds() < 10

"""The compiler of TensorRT against a made-up builder: no GPU was at hand when this was written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import tensorrt_rtx

from stylert.engines import build_engine
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.machine import Gpu

Refuses = Callable[..., AbstractContextManager[None]]
Left = Callable[[Path], list[str]]
GPU = Gpu(0, "NVIDIA L4 (24 GB)", (8, 9))
FLAG = tensorrt_rtx.BuilderFlag
FILTERS = ("b8.conv0/filter", "b16.conv0/filter", "b32.conv0/filter")


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches" / "stylert"


@pytest.fixture
def install(
    caches: Path, monkeypatch: pytest.MonkeyPatch, fake_tensorrt: type[Any]
) -> Callable[..., Any]:
    """Makes `import tensorrt` give a made-up one, on a machine with these GPUs."""

    def install(gpus: tuple[Gpu, ...] = (GPU,), **options: Any) -> Any:
        trt = fake_tensorrt(**options)
        monkeypatch.setitem(sys.modules, "tensorrt", trt)
        monkeypatch.setattr("stylert.engines.tensorrt.visible_gpus", lambda: list(gpus))
        monkeypatch.setattr("stylert.engines.tensorrt.open_device", trt.open_device)
        return trt

    return install


@pytest.fixture
def trt(install: Callable[..., Any]) -> Any:
    return install()


def build(bundle: Path, **options: Any) -> Plan:
    """Build the synthesis."""
    defaults: dict[str, Any] = {"compiler": "tensorrt", "graphs": ("synthesis",), "batch": "1,4"}
    return build_engine(bundle, **(defaults | options))[0]


def test_the_plan_tells_where_it_was_built(own_bundle: Path, trt: Any) -> None:
    plan = build(own_bundle)
    assert plan.name == "tensorrt-11.4.0.106-nvidia_l4_24_gb-fp16-synthesis-b1_4-image"
    assert (plan.compiler, plan.version) == ("tensorrt", "11.4.0.106")
    assert (plan.gpu, plan.compute_capabilities) == ("NVIDIA L4 (24 GB)", ("8.9",))
    assert plan.census["convolutions"]["HALF"] == 12
    assert plan.fp32_islands == ()


@pytest.mark.parametrize("gpu", [None, 0, 1])
def test_the_gpu_that_was_asked_for_builds(
    own_bundle: Path, install: Callable[..., Any], gpu: int | None
) -> None:
    """CUDA takes the first in every new thread."""
    trt = install(gpus=(GPU, Gpu(1, "NVIDIA L40S", (8, 9))))
    plan = build(own_bundle, gpu=gpu)
    assert plan.gpu == ("NVIDIA L40S" if gpu else "NVIDIA L4 (24 GB)")
    assert ("-nvidia_l40s-" in plan.name) == (gpu == 1)
    assert trt.used == {"Builder": gpu or 0, "build_serialized_network": gpu or 0}
    assert trt.devices == {"opened": 2, "closed": 2}
    assert trt.current() is None


def test_a_gpu_that_is_not_there(
    own_bundle: Path, install: Callable[..., Any], refuses: Refuses
) -> None:
    install(gpus=(GPU, Gpu(1, "NVIDIA L40S", (8, 9))))
    with refuses("gpu: got 2, expected one of this machine's: 0 (NVIDIA L4 (24 GB)), 1 (NVIDIA"):
        build(own_bundle, gpu=2)
    for wrong in (-1, True, 0.0):
        with refuses("gpu: got", "expected an integer"):
            build(own_bundle, gpu=wrong)


def test_without_cuda_core_only_the_first_gpu_builds(
    own_bundle: Path, install: Callable[..., Any], refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = install(gpus=(GPU, Gpu(1, "NVIDIA L40S", (8, 9))))

    def missing(index: int) -> Any:
        raise MissingExtra("cuda-core is not installed. Install: ...")

    monkeypatch.setattr("stylert.engines.tensorrt.open_device", missing)
    assert build(own_bundle).gpu == "NVIDIA L4 (24 GB)"
    with refuses("cuda-core is not installed", error=MissingExtra):
        build(own_bundle, gpu=1)
    assert len(trt.configs) == 1


def test_nothing_is_set_that_was_not_asked_for(own_bundle: Path, trt: Any) -> None:
    build(own_bundle)
    (config,) = trt.configs
    assert config.flags == set()
    assert config.pools == {}
    assert config.max_aux_streams == 0
    assert config.profiling_verbosity == tensorrt_rtx.ProfilingVerbosity.DETAILED
    assert not {"builder_optimization_level", "hardware_compatibility_level"} & vars(config).keys()
    shapes = [[tuple(s) for s in profile.get_shape("ws")] for profile in config.profiles]
    num_ws = shapes[0][0][1:]
    assert shapes == [[(1, *num_ws)] * 3, [(4, *num_ws)] * 3]


def test_options_become_settings_and_are_in_the_sidecar(own_bundle: Path, trt: Any) -> None:
    options: dict[str, Any] = {
        "optimization_level": 5,
        "workspace": 1 << 30,
        "version_compatible": True,
        "hardware_compatible": True,
        "refittable": True,
    }
    plan = build(own_bundle, **options)
    (config,) = trt.configs
    assert plan.options == options
    assert config.flags == {FLAG.VERSION_COMPATIBLE, FLAG.REFIT}
    assert config.builder_optimization_level == 5
    assert config.pools == {tensorrt_rtx.MemoryPoolType.WORKSPACE: 1 << 30}
    level = tensorrt_rtx.HardwareCompatibilityLevel.AMPERE_PLUS
    assert config.hardware_compatibility_level == level
    assert "-ampere_plus-" in plan.name


def test_a_convolution_without_kernel_becomes_an_island(
    own_bundle: Path, install: Callable[..., Any]
) -> None:
    trt = install(without_kernel=FILTERS[:2])
    lines: list[str] = []
    plan = build(own_bundle, say=lines.append)
    assert plan.fp32_islands == FILTERS[:2]
    assert plan.census["convolutions"]["HALF"] == 10
    assert len(trt.configs) == 3  # the first names one, the second the other
    first, second = lines[1:]
    assert FILTERS[0] in first
    assert "float32" in first
    assert FILTERS[1] in second
    assert FILTERS[0] not in second
    assert build(own_bundle) == plan
    assert len(trt.configs) == 3


def test_an_engine_without_any_half_convolution_is_refused(
    own_bundle: Path, left: Left, install: Callable[..., Any], refuses: Refuses
) -> None:
    blocks = ("b8", "b16", "b32")
    layers = ("conv0/conv", "conv0/filter", "conv1/conv", "torgb/conv")
    install(without_kernel=tuple(f"{block}.{layer}" for block in blocks for layer in layers))
    with refuses("no half-precision kernel for any", "precision='fp32'", error=EngineError):
        build(own_bundle)
    assert left(own_bundle) == []


@pytest.mark.parametrize(
    "error",
    [
        "Error Code 2: OutOfMemory (Requested size was 1234 bytes) at b8.conv0/conv",
        "Could not find any implementation for node b4.conv1/conv",  # float32 already
    ],
)
def test_other_failures_are_not_tried_again(
    own_bundle: Path, left: Left, trt: Any, refuses: Refuses, error: str
) -> None:
    trt.error = error
    with refuses("TensorRT 11.4.0.106", "synthesis.fp16.onnx", error, error=EngineError):
        build(own_bundle)
    assert len(trt.configs) == 1
    assert left(own_bundle) == []


def test_a_failure_that_islands_do_not_cure_ends(
    own_bundle: Path, trt: Any, refuses: Refuses
) -> None:
    trt.error = "Could not find any implementation for node b8.conv0/conv"
    with refuses("b8.conv0/conv", error=EngineError):
        build(own_bundle)
    assert len(trt.configs) == 2


def test_timings_are_kept_for_the_next_build(own_bundle: Path, caches: Path, trt: Any) -> None:
    build(own_bundle)
    build(own_bundle, force=True)
    (file,) = caches.iterdir()
    assert file.name == "tensorrt-11.4.0.106-nvidia_l4_24_gb.timing"
    assert file.read_bytes() == b"11.4.0.106++"


def test_timings_that_tensorrt_refuses_are_replaced(
    own_bundle: Path, caches: Path, trt: Any
) -> None:
    file = caches / "tensorrt-11.4.0.106-nvidia_l4_24_gb.timing"
    caches.mkdir(parents=True)
    file.write_bytes(b"junk")
    build(own_bundle)
    assert file.read_bytes() == b"11.4.0.106+"


def test_a_cache_folder_that_cannot_be_written_costs_no_engine(
    own_bundle: Path, caches: Path, trt: Any
) -> None:
    caches.parent.write_text("not a folder")
    assert build(own_bundle).size > 0
    assert caches.parent.read_text() == "not a folder"


def test_versions_and_gpus_do_not_share_timings(
    own_bundle: Path, caches: Path, install: Callable[..., Any]
) -> None:
    install()
    build(own_bundle)
    install(version="10.16.1.11")
    build(own_bundle)
    install(gpus=(Gpu(0, "NVIDIA H100", (9, 0)),))
    plan = build(own_bundle)
    assert plan.compute_capabilities == ("9.0",)
    assert sorted(file.name for file in caches.iterdir()) == [
        "tensorrt-10.16.1.11-nvidia_l4_24_gb.timing",
        "tensorrt-11.4.0.106-nvidia_h100.timing",
        "tensorrt-11.4.0.106-nvidia_l4_24_gb.timing",
    ]


def test_sms_are_for_the_other_compiler(own_bundle: Path, trt: Any, refuses: Refuses) -> None:
    with refuses("NVIDIA L4", "sm='86,89'", "compiler='tensorrt-rtx'"):
        build(own_bundle, sm="86,89")


def test_hardware_compatibility_begins_with_ampere(
    own_bundle: Path, install: Callable[..., Any], refuses: Refuses
) -> None:
    install(gpus=(Gpu(0, "Tesla T4", (7, 5)),))
    with refuses("hardware_compatible: got", "7.5", "8.0"):
        build(own_bundle, hardware_compatible=True)


def test_old_versions_are_refused(
    own_bundle: Path, install: Callable[..., Any], refuses: Refuses
) -> None:
    install(version="10.9.0.34")
    with refuses("10.9.0.34", "10.12", "pip install", error=MissingExtra):
        build(own_bundle)


def test_without_a_gpu_it_names_the_compiler_that_needs_none(
    own_bundle: Path, install: Callable[..., Any], refuses: Refuses
) -> None:
    install(gpus=())
    with refuses("NVIDIA GPU", "compiler='tensorrt-rtx', sm='89'", error=EngineError):
        build(own_bundle)


def test_a_builder_that_does_not_start_says_why(
    own_bundle: Path, trt: Any, refuses: Refuses
) -> None:
    trt.starts = "CUDA initialization failure with error: 35. Please check your CUDA installation"
    words = ("TensorRT 11.4.0.106", "with error: 35", "update it to 580 or newer", "tensorrt-cu12")
    with refuses(*words, error=EngineError):
        build(own_bundle)
    trt.starts = "no memory"
    with refuses("does not start: no memory", error=EngineError):
        build(own_bundle)

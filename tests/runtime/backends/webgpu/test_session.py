"""WebGPU: every family on a software adapter with nothing on the CPU, or in a line why not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.runtime.backends import open_session
from stylert.runtime.backends.webgpu import plug_in, session, vulkan
from stylert.runtime.backends.webgpu.vulkan import Adapter
from stylert.runtime.bundle import GPU, Bundle
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra
from stylert.runtime.generator import Generator
from stylert.runtime.proof.parity import TOLERANCES, compare
from stylert.tests.loading import load_file

REQUIRE_WEBGPU = load_file(Path(__file__).parents[3] / "require_webgpu.py")

SOFTWARE: dict[str, Any] = {"provider": "webgpu", "device": "software"}
# One of each family, as small as it may be: larger ones are drawn by
# tests/benchmarks/webgpu_goldens.py, since every network's shaders take seconds to compile.
MADE: dict[str, dict[str, Any]] = {
    "StyleGAN 1": {"family": "stylegan1"},
    "original": {"architecture": "orig"},
    "residual": {"architecture": "resnet"},
}


@pytest.fixture(scope="module", autouse=True)
def shaders(request: pytest.FixtureRequest, plain_bundle: Path) -> Iterator[None]:
    """One session stays open, so that what several networks need is compiled once."""
    if REQUIRE_WEBGPU.why_not():
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VK_DRIVER_FILES", str(REQUIRE_WEBGPU.find_driver(request.config)))
        with Generator.open(plain_bundle, **SOFTWARE):
            yield


@pytest.mark.usefixtures("swiftshader")
def test_draws_what_the_processor_draws(
    plain_bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    real = onnxruntime.InferenceSession

    def watched(path: str, options: Any, **keywords: Any) -> Any:
        asked.append(options.get_session_config_entry("session.disable_cpu_ep_fallback"))
        return real(path, options, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "InferenceSession", watched)
        opened = Generator.open(plain_bundle, **SOFTWARE)
    assert asked == ["1", "1"]
    with opened, Generator.open(plain_bundle, provider="cpu") as generator:
        ws = generator.map(np.random.RandomState(3).randn(2, generator.spec.z_dim))
        ws[:, 1::2] = ws[::-1, 1::2]  # each layer has the w of another image
        drawn = opened.synthesize(ws, output="img")
        found = compare(generator.synthesize(ws, output="img"), drawn)
        assert found.within(TOLERANCES["fp32"])
        assert found.max_abs <= 1e-5
        bytes_of = [g.synthesize(ws[:1]).astype(int) for g in (generator, opened)]
        assert np.abs(np.subtract(*bytes_of)).max() <= 1
        facts = opened.describe()
        assert (facts["provider"], facts["device"], facts["precision"]) == (
            *SOFTWARE.values(),
            "fp32",
        )
        assert "SwiftShader" in facts["device_name"]
        assert opened.choice == f"onnxruntime on webgpu ({facts['device_name']}), fp32: as asked"
        with pytest.raises(EngineError, match="on_device: got True"):
            opened.generate([1], on_device=True)
    assert capfd.readouterr().err == ""


def assert_draws(path: Path) -> None:
    """One picture, which is slow enough: each layer has the w of another seed."""
    with (
        Generator.open(path, provider="cpu", precision="fp32") as cpu,
        Generator.open(path, precision="fp32", **SOFTWARE) as webgpu,
    ):
        classes = {"class_idx": 1} if cpu.spec.c_dim else {}
        ws, drawn = (g.styles(range(cpu.spec.num_ws), **classes) for g in (cpu, webgpu))
        np.testing.assert_allclose(drawn, ws, rtol=0, atol=1e-5)
        layers = np.arange(cpu.spec.num_ws)
        options: dict[str, Any] = {"noise_mode": "seeded", "noise_seed": [7]}
        if not cpu.bundle.noise_inputs:
            options = {"rotate": 30, "translate": (0.2, -0.1)} if GPU in cpu.bundle.graphs else {}
        mixed = ws[layers, layers][None]
        found = compare(*(g.synthesize(mixed, output="img", **options) for g in (cpu, webgpu)))
    assert found.within(TOLERANCES["fp32"]), found
    assert found.max_abs <= 1e-5, found


@pytest.mark.usefixtures("swiftshader")
@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_draws_every_family(
    made: dict[str, Any], make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    export_bundle(make_checkpoint(**made), tmp_path / "bundle", verify_seeds=0, half="none")
    assert_draws(tmp_path / "bundle")


@pytest.mark.usefixtures("swiftshader")
@pytest.mark.parametrize("name", ["human-sg3t.pkl", "sg3r-decoder.pt", "xl-cond.pkl", "luci16.pt"])
def test_draws_files_of_the_field(name: str, goldens: Path, tmp_path: Path) -> None:
    """Of StyleGAN3, StyleGAN-XL and lucidrains; the goldens of 64 pixels would take 20 s."""
    out = tmp_path / "bundle"
    export_bundle(read_checkpoint(str(goldens / "field" / name)), out, verify_seeds=0, half="none")
    assert_draws(out)


@pytest.mark.usefixtures("swiftshader")
def test_never_a_processor_unasked(bundle: Path, refuses: Any) -> None:
    with refuses("no GPU has a driver", "SwiftShader", "device='software'", error=EngineError):
        Generator.open(bundle, provider="webgpu")


@pytest.mark.usefixtures("swiftshader")
def test_half_precision_that_the_adapter_lacks(bundle_of: Any, refuses: Any) -> None:
    half = bundle_of("sg2-fp16-64")
    with refuses("synthesis.fp16.onnx", "f16", "take precision='fp32'", error=EngineError):
        Generator.open(half, precision="fp16", **SOFTWARE)


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize("device", [None, "software"])
def test_no_driver(bundle: Path, refuses: Any, device: str | None) -> None:
    with refuses("mesa-vulkan-drivers", error=EngineError):
        Generator.open(bundle, provider="webgpu", device=device)


def test_no_loader(bundle: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vulkan, "LOADER", "libnonexistent.so.1")
    monkeypatch.setattr(plug_in, "_register", lambda ort: [])
    monkeypatch.setattr("sys.platform", "linux")
    with refuses("libnonexistent.so.1", "apt install libvulkan1", error=EngineError):
        Generator.open(bundle, **SOFTWARE)


def test_no_plug_in(bundle: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime_ep_webgpu", None)
    monkeypatch.setattr("stylert.runtime.packages.installed_version", lambda name: None)
    monkeypatch.setattr(
        "stylert.runtime.backends.webgpu.session.import_onnxruntime", lambda: onnxruntime
    )
    with refuses("onnxruntime-ep-webgpu is not installed", "[webgpu]", error=MissingExtra):
        Generator.open(bundle, **SOFTWARE)


def test_software_where_a_gpu_would_be_taken(monkeypatch: pytest.MonkeyPatch, refuses: Any) -> None:
    monkeypatch.setattr(plug_in, "_register", lambda ort: [])
    monkeypatch.setattr("sys.platform", "linux")
    here = [Adapter("llvmpipe", software=True), Adapter("Radeon", software=False)]
    monkeypatch.setattr(plug_in, "list_adapters", lambda: here)
    assert plug_in.choose_adapter(onnxruntime, None).name == "Radeon"
    with refuses("would take the GPU Radeon", "VK_DRIVER_FILES", error=EngineError):
        plug_in.choose_adapter(onnxruntime, "software")


def test_half_precision_that_is_too_far_off(refuses: Any) -> None:
    whole = np.random.RandomState(0).uniform(-1, 1, (2, 3, 8, 8)).astype(np.float32)
    session._check_half(whole, whole + np.float32(1e-3))
    with refuses("'fp16'", "47.9 dB, expected 60 dB", "Take 'fp32'", error=EngineError):
        session._check_half(whole, whole + np.float32(7.9e-3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "npu"}, "expected 'gpu' or 'software'"),
        ({"gpu": 1}, "gpu: got 1 with provider 'webgpu'"),
        ({"backend": "tensorrt"}, "provider: got 'webgpu' with backend 'tensorrt'"),
        ({"backend": "openvino"}, "provider: got 'webgpu' with OpenVINO's device 'cpu'"),
        ({"provider": "cpu", "device": "software"}, "provider='webgpu'"),
    ],
)
def test_what_does_not_go_together(bundle: Path, options: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        open_session(Bundle.open(bundle), **{"provider": "webgpu", **options})


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("Failed to get a WebGPU adapter: No supported adapters", "version 25"),
        ("Program Transpose requires f16 but the device does not support it", "precision='fp32'"),
        ("CreateComputePipeline failed", "CreateComputePipeline failed"),
    ],
)
def test_one_line_of_what_the_library_says(words: str, remedy: str) -> None:
    told = plug_in.shortened(RuntimeError(f"{words}\n{'at somewhere ' * 99}"))
    assert "\n" not in told
    assert len(told) < 350
    assert remedy in told


LAVAPIPE_22 = (
    "/onnxruntime_src/core/session/plugin_ep/ep_plugin_provider_interfaces.cc:71 virtual "
    "std::unique_ptr<onnxruntime::IExecutionProvider> onnxruntime::PluginExecutionProviderFactory"
    "::CreateProvider(const OrtSessionOptions&, const OrtLogger&) Error creating execution "
    "provider: [ONNXRuntimeError] : 11 : EP_FAIL : /onnxruntime_src/webgpu/webgpu_context.cc:136 "
    "onnxruntime::webgpu::WebGpuContext::Initialize(const onnxruntime::WebGpuContextConfig&)"
    "::<lambda()> adapter_result.status == wgpu::RequestAdapterStatus::Success was false. Failed "
    "to get a WebGPU adapter: No supported adapters\n\n"
)


def test_a_driver_that_dawn_refuses(capfd: pytest.CaptureFixture[str]) -> None:
    with plug_in.quiet(onnxruntime) as heard:
        os.write(2, b"another thread's\nWarning: Vulkan shaders required.\n - While starting\n")
        os.write(2, b"    at InitializeImpl (/build/dawn.cpp:253)\n\nand its end\n")
    assert capfd.readouterr().err == "another thread's\nand its end\n"
    assert plug_in.shortened(RuntimeError(LAVAPIPE_22), heard) == (
        "Failed to get a WebGPU adapter: No supported adapters (Vulkan shaders required). Update "
        "the GPU's driver; of Mesa's, WebGPU takes version 25 and newer."
    )

"""WebGPU: it draws on a software adapter with nothing on the CPU, or says in a line why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from stylert.runtime.backends import open_session
from stylert.runtime.backends.webgpu import plug_in, session, vulkan
from stylert.runtime.backends.webgpu.vulkan import Adapter
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra
from stylert.runtime.generator import Generator
from stylert.runtime.proof.parity import TOLERANCES, compare

SOFTWARE = {"provider": "webgpu", "device": "software"}


@pytest.mark.usefixtures("swiftshader")
def test_draws_what_the_processor_draws(
    bundle: Path, generator: Generator, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    real = onnxruntime.InferenceSession

    def watched(path: str, options: Any, **keywords: Any) -> Any:
        asked.append(options.get_session_config_entry("session.disable_cpu_ep_fallback"))
        return real(path, options, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "InferenceSession", watched)
        opened = Generator.open(bundle, **SOFTWARE)
    assert asked == ["1", "1"]
    with opened:
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

"""WebGPU whose shaders do not compile, whose adapter is lost, that draws nothing: a line, no more.

No GPU fails on demand: a session of the processor stands for one, and raises what ONNX Runtime
raises.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from stylert.runtime.backends.webgpu import session
from stylert.runtime.backends.webgpu.vulkan import Adapter
from stylert.runtime.errors import EngineError
from stylert.runtime.generator import Generator

REAL = onnxruntime.InferenceSession
SHADER = "Status Message: Failed to create a WebGPU compute pipeline: no such instruction"
LOST = "Status Message: Failed to download data from buffer. wgpu::MapAsyncStatus value: 4"


class StubSession:
    """ONNX Runtime's session on a GPU: the processor's, and it says that it is the plug-in's."""

    providers = ("WebGpuExecutionProvider", "CPUExecutionProvider")

    def __init__(self, path: str, options: Any, *, enable_fallback: int) -> None:
        assert enable_fallback == 0
        self.real = REAL(path, providers=["CPUExecutionProvider"])
        self.get_inputs, self.get_outputs = self.real.get_inputs, self.real.get_outputs

    def get_providers(self) -> list[str]:
        return list(self.providers)

    def run(self, outputs: list[str], inputs: dict[str, Any], options: Any = None) -> list[Any]:
        return [self.change(array) for array in self.real.run(outputs, inputs)]

    def change(self, array: np.ndarray) -> np.ndarray:
        return array


def fails(words: str) -> Callable[[Any, np.ndarray], np.ndarray]:
    """What a GPU does that draws no picture: it fails, or its driver writes, too."""

    def fail(_: Any, array: np.ndarray) -> np.ndarray:
        if array.ndim != 4:
            return array  # it is the mapping network's, which is small
        os.write(2, b"Error: Tint could not\n - While calling [Device].CreateShaderModule\n")
        code = "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv"
        raise onnxruntime.capi.onnxruntime_pybind11_state.Fail(f"{code} node.\n{words}\n")

    return fail


def lose_values(_: Any, array: np.ndarray) -> np.ndarray:
    return array * np.nan if array.ndim == 4 else array


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[StubSession]:
    """A GPU called Radeon, drawn on by a class of this test's own."""

    class Stub(StubSession):
        pass

    adapter = Adapter("Radeon", software=False)
    monkeypatch.setattr(session, "choose_adapter", lambda ort, device: adapter)
    monkeypatch.setattr(session, "add_provider", lambda ort, options: None)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(Stub.providers))
    monkeypatch.setattr(onnxruntime, "InferenceSession", Stub)
    return Stub


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (fails(SHADER), ("compute pipeline", "(Tint could not)", "driver", "provider='cpu'")),
        (fails(LOST), ("download data", "Start again, with fewer pictures", "driver")),
        (fails("WebGPU device lost (2): it hung"), ("it hung", "Start again", "driver")),
        (lose_values, ("not finite", "provider='cpu'")),
    ],
    ids=["shader", "download", "lost", "not finite"],
)
def test_a_first_picture_that_fails(
    bundle: Path,
    stub: type[StubSession],
    refuses: Any,
    capfd: pytest.CaptureFixture[str],
    change: Any,
    words: tuple[str, ...],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stub, "change", change)
        with refuses("WebGPU cannot draw on Radeon: ", *words, error=EngineError):
            Generator.open(bundle, provider="webgpu")
    assert capfd.readouterr().err == ""
    with Generator.open(bundle, provider="webgpu") as generator:  # nothing is left locked
        assert generator.generate([1]).any()


def test_an_adapter_that_is_lost_later(
    bundle: Path, stub: type[StubSession], refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Generator.open(bundle, provider="webgpu") as generator:
        monkeypatch.setattr(stub, "change", fails("WebGPU device lost (2): it hung"))
        with refuses("cannot draw on Radeon", "it hung", "Start again", error=EngineError):
            generator.generate([1])


def test_a_processor_in_its_place(
    bundle: Path, stub: type[StubSession], refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StubSession, "get_providers", lambda _: ["CPUExecutionProvider"])
    with refuses("provider 'webgpu'", "fell back to ['CPUExecutionProvider']", error=EngineError):
        Generator.open(bundle, provider="webgpu")

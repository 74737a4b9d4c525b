from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import tensorrt_rtx

from stylert.engines import build_engine, list_compilers
from stylert.engines.choice import choose_compiler
from stylert.engines.tensorrt_rtx import TensorRTRTX
from stylert.runtime.backends.tensorrt.plan_choice import RTX_CAPABILITIES
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.machine import Gpu
from stylert.runtime.packages import install_command

Refuses = Callable[..., AbstractContextManager[None]]
GPU = Gpu(0, "NVIDIA L4", (8, 9))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, fake_tensorrt: type[Any]) -> Callable[..., None]:
    """Makes a machine with these packages and GPUs."""

    def make(*, tensorrt: bool, rtx: bool, gpus: tuple[Gpu, ...] = ()) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt() if tensorrt else None)
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", tensorrt_rtx if rtx else None)
        for module in ("tensorrt", "tensorrt_rtx"):
            monkeypatch.setattr(f"stylert.engines.{module}.visible_gpus", lambda: list(gpus))

    return make


def test_auto_takes_tensorrt_where_it_runs(machine: Callable[..., None]) -> None:
    machine(tensorrt=True, rtx=True, gpus=(GPU,))
    compiler, why = choose_compiler("auto")
    assert (compiler.name, why) == ("tensorrt", "tensorrt: the first choice, and usable")


def test_auto_says_why_it_takes_the_second(machine: Callable[..., None]) -> None:
    machine(tensorrt=True, rtx=True)
    compiler, why = choose_compiler("auto")
    assert compiler.name == "tensorrt_rtx"
    assert why.startswith("tensorrt-rtx: TensorRT builds on an NVIDIA GPU only")
    machine(tensorrt=False, rtx=True, gpus=(GPU,))
    compiler, why = choose_compiler("auto")
    assert compiler.name == "tensorrt_rtx"
    assert install_command("gpu") in why


def test_auto_takes_rtx_for_named_sms(machine: Callable[..., None]) -> None:
    machine(tensorrt=True, rtx=True, gpus=(GPU,))
    compiler, why = choose_compiler("auto", sms=("89",))
    assert compiler.name == "tensorrt_rtx"
    assert "SMs" in why


def test_without_any_compiler_one_line_says_what_is_missing(
    machine: Callable[..., None], own_bundle: Path, refuses: Refuses
) -> None:
    machine(tensorrt=False, rtx=False)
    words = ("No compiler", install_command("gpu"), install_command("rtx"))
    with refuses(*words, error=EngineError):
        build_engine(own_bundle)


def test_a_named_compiler_is_not_replaced(machine: Callable[..., None], refuses: Refuses) -> None:
    machine(tensorrt=False, rtx=True, gpus=(GPU,))
    with refuses("TensorRT cannot be imported", "pip install", error=MissingExtra):
        choose_compiler("tensorrt")
    machine(tensorrt=True, rtx=False, gpus=(GPU,))
    with refuses("TensorRT-RTX cannot be imported", install_command("rtx"), error=MissingExtra):
        choose_compiler("tensorrt-rtx")


def test_compilers_tell_what_they_lack(machine: Callable[..., None]) -> None:
    machine(tensorrt=True, rtx=True)
    tensorrt, rtx = list_compilers()
    assert (tensorrt.name, tensorrt.usable) == ("tensorrt", False)
    assert "NVIDIA GPU" in (tensorrt.problem or "")
    assert (rtx.name, rtx.usable, rtx.problem) == ("tensorrt-rtx", True, None)
    assert rtx.version == tensorrt_rtx.__version__


def test_rtx_builds_for_this_machines_cards(
    machine: Callable[..., None], own_bundle: Path, refuses: Refuses
) -> None:
    machine(tensorrt=False, rtx=True, gpus=(GPU, Gpu(1, "NVIDIA RTX 5090", (12, 0))))
    lines: list[str] = []
    (plan,) = build_engine(own_bundle, batch="1", graphs=("mapping",), say=lines.append)
    assert plan.compute_capabilities == ("8.9", "12.0")
    assert lines[0].startswith("Compiler tensorrt-rtx: TensorRT cannot be imported")
    machine(tensorrt=False, rtx=True, gpus=(Gpu(0, "NVIDIA H100", (9, 0)),))
    with refuses("SM '90'", "compiler='tensorrt'"):
        build_engine(own_bundle, compiler="tensorrt-rtx")


def test_rtx_builds_for_one_of_this_machines_cards(
    machine: Callable[..., None], own_bundle: Path, refuses: Refuses
) -> None:
    machine(tensorrt=False, rtx=True, gpus=(GPU, Gpu(1, "NVIDIA RTX 5090", (12, 0))))
    options: dict[str, Any] = {"batch": "1", "graphs": ("mapping",)}
    for compiler in ("auto", "tensorrt-rtx"):
        (plan,) = build_engine(own_bundle, compiler=compiler, gpu=1, **options)
        assert plan.compute_capabilities == ("12.0",)
    with refuses("gpu: got 1 beside sm='89'"):
        build_engine(own_bundle, gpu=1, sm="89", **options)
    with refuses("gpu: got 2, expected one of this machine's: 0 (NVIDIA L4), 1 (NVIDIA RTX 5090)"):
        build_engine(own_bundle, gpu=2, **options)
    machine(tensorrt=False, rtx=True)
    with refuses("gpu: got 0, expected one of this machine's: none"):
        build_engine(own_bundle, gpu=0, **options)


def test_the_runtime_knows_what_rtx_builds_for(machine: Callable[..., None]) -> None:
    """Else it names a command that cannot work."""
    machine(tensorrt=False, rtx=True)
    known = TensorRTRTX.load()._list_known()
    assert known == ["{}{}".format(*capability) for capability in RTX_CAPABILITIES]


def test_importing_the_engines_loads_no_compiler(tmp_path: Path) -> None:
    code = "import stylert.engines, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    loaded = set(run.stdout.split())
    assert "stylert" in loaded
    assert not loaded & {"tensorrt", "tensorrt_rtx", "polygraphy", "torch", "onnx", "onnxruntime"}

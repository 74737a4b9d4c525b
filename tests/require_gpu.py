"""What the tests marked `gpu` need, and `--require-gpu`, by which none of them may be skipped.

    @pytest.mark.gpu                         a driver that shows a GPU
    @pytest.mark.gpu("cuda", "torch")        and also these, names of `NEEDS`

Whatever is missing skips a test. `--require-gpu` makes each skip of such a test a failure, for
whatever reason; `--require-gpu=cuda,torch` does so for the tests that need nothing else.
"""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from stylert.runtime.machine import visible_gpus

NEEDS = {
    "cuda": "cuda-core and cuda-bindings",
    "torch": "torch with CUDA",
    "engines": "TensorRT, or its stand-in (--stand-in, see tests/gpu/README.md)",
    "tensorrt": "TensorRT with its builder",
    "onnxruntime": "ONNX Runtime with CUDA",
    "cupy": "CuPy",
    "jax": "JAX with CUDA",
}
NO_GPU = "no NVIDIA GPU"


def add_options(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-gpu",
        nargs="?",
        const=",".join(NEEDS),
        metavar="NAMES",
        help="fail where a gpu test would be skipped; with =NAMES, of those that need only these: "
        + ", ".join(NEEDS),
    )
    parser.addoption(
        "--stand-in",
        action="store_true",
        help="without TensorRT, run engines by torch (tests/gpu/README.md)",
    )


class GpuTests:
    """The hooks. One for each run of pytest."""

    def __init__(self, config: pytest.Config) -> None:
        asked = config.getoption("--require-gpu")
        self._required = None if asked is None else frozenset(asked.split(","))
        self._stand_in = bool(config.getoption("--stand-in"))
        for name in sorted(self._required or ()):
            if name not in NEEDS:
                raise pytest.UsageError(
                    f"--require-gpu: got {name!r}, expected some of {','.join(NEEDS)}. Put it "
                    "after the files, or write --require-gpu=NAMES."
                )
        if self._required is not None and not visible_gpus():
            raise pytest.UsageError(f"--require-gpu: got {NO_GPU}. Check that nvidia-smi works.")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """On a borrowed GPU, what nothing else shows comes first."""
        if self._required is not None:
            items.sort(key=lambda item: not item.nodeid.startswith("tests/gpu/"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        needs = needs_of(item)
        if needs is not None:
            missing = "" if visible_gpus() else NO_GPU
            for need in needs:
                missing = missing or why_not(need, stand_in=self._stand_in)
            if missing:
                pytest.skip(f"{missing} (--require-gpu makes it fail)")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: Any
    ) -> Iterator[Any]:  # it gets a report, and gives it
        report = yield
        needs = needs_of(item)
        if needs is not None:
            report.user_properties.append(("gpu", ", ".join(needs) or "a driver"))
            if self._required is not None and self._required >= {*needs}:
                fail_a_skip(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[Any]:
        report = yield
        if self._required is not None and "mark.gpu" in source_of(collector):
            fail_a_skip(report)
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What was tested on the GPU, a line for each test."""
        if self._required is None:
            return
        counts: dict[tuple[str, str], Counter[str]] = {}
        for outcome in ("passed", "failed", "error", "skipped"):
            for report in terminalreporter.getreports(outcome):
                needs = dict(getattr(report, "user_properties", ())).get("gpu")
                if needs is not None and (report.when == "call" or outcome != "passed"):
                    name = report.nodeid.rpartition("::")[2].partition("[")[0]
                    row = (name.removeprefix("test_").replace("_", " "), str(needs))
                    counts.setdefault(row, Counter())[outcome] += 1
        terminalreporter.section("on the GPU")
        for (name, needs), count in counts.items():
            told = ", ".join(f"{number} {outcome}" for outcome, number in count.items())
            terminalreporter.write_line(f"{name:64} {needs:24} {told}")
        for need, what in NEEDS.items():
            missing = why_not(need, stand_in=self._stand_in)
            if missing:
                terminalreporter.write_line(f"not here: {what} ({missing})")


def needs_of(item: pytest.Item) -> list[str] | None:
    """What a test needs beside a GPU, None if it needs none."""
    marks = [*item.iter_markers("gpu")]
    needs = [need for mark in marks for need in mark.args]
    assert not {*needs} - NEEDS.keys(), f"{item.nodeid}: expected some of {', '.join(NEEDS)}"
    return [*dict.fromkeys(needs)] if marks else None


def fail_a_skip(report: Any) -> None:
    """Make a report of a skip one of a failure."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"--require-gpu: {reason}"


def source_of(collector: pytest.Collector) -> str:
    if not isinstance(collector, pytest.Module):
        return ""
    return collector.path.read_text(encoding="utf-8")


@cache
def why_not(need: str, *, stand_in: bool) -> str:
    """Why something is of no use here, '' if it is of use."""
    try:
        if need == "engines":
            return why_not("tensorrt", stand_in=False) and ("" if stand_in else "no TensorRT")
        return LOOKS[need]()
    except Exception as error:  # libraries fail with OSError, RuntimeError, ...
        lines = str(error).splitlines() or [type(error).__name__]
        return f"{need}: {lines[0][:200]}"


def _look_for_cuda() -> str:
    for name in ("cuda.bindings.driver", "cuda.core"):
        importlib.import_module(name)
    return ""


def _look_for_torch() -> str:
    return "" if importlib.import_module("torch").cuda.is_available() else "this torch has no CUDA"


def _look_for_tensorrt() -> str:
    return "" if hasattr(importlib.import_module("tensorrt"), "Builder") else "no builder"


def _look_for_onnxruntime() -> str:
    providers = importlib.import_module("onnxruntime").get_available_providers()
    return "" if "CUDAExecutionProvider" in providers else "this ONNX Runtime has no CUDA"


def _look_for_cupy() -> str:
    count = importlib.import_module("cupy").cuda.runtime.getDeviceCount()
    return "" if count else "CuPy sees no GPU"


def _look_for_jax() -> str:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others need memory, too
    devices = importlib.import_module("jax").devices()
    return "" if any(device.platform == "gpu" for device in devices) else "JAX sees no GPU"


LOOKS = {
    "cuda": _look_for_cuda,
    "torch": _look_for_torch,
    "tensorrt": _look_for_tensorrt,
    "onnxruntime": _look_for_onnxruntime,
    "cupy": _look_for_cupy,
    "jax": _look_for_jax,
}

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorrt_rtx as trt

from stylert.engines.building import Progress, run_builder
from stylert.runtime.errors import EngineError

Refuses = Callable[..., AbstractContextManager[None]]
PATIENCE = 60.0  # seconds after which a test gives up


class Builder:
    """Reports steps until it is cancelled or told to end, as TensorRT's builder does."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.error: Exception | None = None
        self.thread = 0
        self.ended = False

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        self.thread = threading.get_ident()
        monitor, going_on = config.progress_monitor, True
        monitor.phase_start("Building engine", None, 3)
        monitor.phase_start("Timing kernels", "Building engine", 50)
        monitor.phase_start("One step", "Timing kernels", 1)
        deadline = time.monotonic() + PATIENCE
        while going_on and not self.end.is_set() and time.monotonic() < deadline:
            going_on = monitor.step_complete("Timing kernels", 6)
            time.sleep(0.01)
        for phase in ("One step", "Timing kernels", "Building engine"):
            monitor.phase_finish(phase)
        self.ended = True
        if self.error:
            raise self.error
        return b"plan" if going_on else None


def run(builder: Builder, progress: Progress) -> Any:
    return run_builder(trt, builder, None, SimpleNamespace(), progress)


def test_progress_comes_in_the_callers_thread() -> None:
    builder = Builder()
    seen: list[Any] = []

    def progress(*step: Any) -> None:
        seen.append((threading.get_ident(), *step))
        builder.end.set()

    assert run(builder, progress) == b"plan"
    assert seen[0] == (threading.get_ident(), "Timing kernels", 7, 50)
    assert builder.thread != threading.get_ident()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_of_the_caller_cancels_and_waits(error: type[BaseException]) -> None:
    builder = Builder()

    def progress(*_: Any) -> None:
        raise error

    with pytest.raises(error):
        run(builder, progress)
    assert builder.ended
    assert not builder.end.is_set()


# In a process of its own, because a Ctrl-C that comes too late would end all tests.
TWO_CTRL_C = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from test_building import PATIENCE, Builder, run

class Slow(Builder):
    '''Takes its time after it was cancelled, and is interrupted again.'''

    def build_serialized_network(self, network, config):
        super().build_serialized_network(network, config)
        self.ended = False
        time.sleep(0.5)  # the caller waits by now
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        self.ended = True

def progress(*step):
    os.kill(os.getpid(), signal.SIGINT)  # here, where the caller is sure to wait for the builder
    time.sleep(PATIENCE)

signal.signal(signal.SIGINT, signal.default_int_handler)
builder = Slow()
try:
    run(builder, progress)
except KeyboardInterrupt:
    print("ended" if builder.ended else "still at work")
"""


def test_two_ctrl_c_end_the_builder_before_they_are_raised() -> None:
    command = [sys.executable, "-c", TWO_CTRL_C, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_ctrl_c_before_the_builder_began(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    builder = Builder()
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt):
        run(builder, lambda *_: None)
    assert builder.thread == 0


def test_what_the_bindings_raise_is_one_of_our_errors(refuses: Refuses) -> None:
    builder = Builder()
    builder.error = RuntimeError("two\nlines")
    builder.end.set()
    with refuses("builder failed", "RuntimeError: two lines", error=EngineError):
        run(builder, lambda *_: None)

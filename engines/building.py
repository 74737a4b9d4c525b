"""Running a builder: its progress, and Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from stylert.runtime.errors import EngineError

__all__ = ["Progress", "run_builder"]

Progress = Callable[[str, int, int], None]  # what is going on, steps done, steps in all
_PERIOD = 0.1  # seconds between two reports


def run_builder(
    trt: Any,
    builder: Any,
    network: Any,
    config: Any,
    progress: Progress,
    active: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Any:
    """Build the engine of a network: its plan as a buffer, None if the builder failed.

    The builder works in a thread of its own and lets the interpreter run, so that a
    KeyboardInterrupt (or an error of `progress`) cancels it at its next step, and is raised when it
    has ended.

    Args:
        trt: the module of the compiler.
        builder: its Builder.
        network: its INetworkDefinition.
        config: its IBuilderConfig.
        progress: called in the caller's thread with the builder's innermost phase of several steps.
        active: makes the GPU that builds the current one of a thread.
    """
    config.progress_monitor = monitor = _make_monitor(trt)
    result: list[Any] = []
    # Thread.join is no help: once interrupted, it takes a thread for dead.
    ended = threading.Event()

    def work() -> None:
        try:
            with active():
                if not monitor.cancelled:
                    result.append(builder.build_serialized_network(network, config))
        except EngineError as error:
            result.append(error)
        except Exception as error:  # whatever the bindings raise
            reason = " ".join(str(error).split())
            result.append(EngineError(f"The builder failed: {type(error).__name__}: {reason:.250}"))
        finally:
            ended.set()

    thread = threading.Thread(target=work, name="stylert-build", daemon=True)
    try:
        thread.start()
        while not ended.wait(_PERIOD):
            for name, done, total in monitor.find_current():
                progress(name, done, total)
    except BaseException:
        monitor.cancelled = True
        # It uses what would be freed; another Ctrl-C changes nothing. Without a number the thread
        # has not begun, and will see that it is cancelled.
        while thread.ident is not None and not ended.is_set():
            with suppress(KeyboardInterrupt):
                ended.wait()
        raise
    if isinstance(result[0], EngineError):
        raise result[0]
    return result[0]


def _make_monitor(trt: Any) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Where a builder is: phases within phases, each with a number of steps."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind11 wants this form
            self.cancelled = False
            self._phases: dict[str, tuple[int, int]] = {}  # steps done and in all, innermost last
            self._lock = threading.Lock()  # builders may report from several threads

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._phases[phase_name] = (0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._lock:
                if phase_name in self._phases:
                    self._phases[phase_name] = (step + 1, self._phases[phase_name][1])
            return not self.cancelled

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._phases.pop(phase_name, None)

        def find_current(self) -> list[tuple[str, int, int]]:
            """The innermost phase of more than one step: name, steps done, steps in all."""
            with self._lock:
                long = [(name, *steps) for name, steps in self._phases.items() if steps[1] > 1]
            return long[-1:]

    return Monitor()

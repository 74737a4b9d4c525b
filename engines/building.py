"""Running a builder: its progress, its messages, and Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

__all__ = ["Messages", "Progress", "builder_logger", "run_builder"]

Progress = Callable[[str, int, int], None]  # what is going on, steps done, steps in all
_PERIOD = 0.1  # seconds between two reports


def run_builder(
    trt: Any, builder: Any, network: Any, config: Any, report: Callable[[int], None]
) -> Any:
    """The plan of a network as a buffer, None if the builder failed.

    The builder works in a thread of its own and lets the interpreter run, so that a KeyboardInterrupt
    (or an error of `report`) cancels it at its next step and is raised when it has ended.

    Args:
        trt: the module of the compiler.
        builder: its Builder.
        network: its INetworkDefinition.
        config: its IBuilderConfig.
        report: called with the percentage done, in the thread of the caller.
    """
    steps = _Steps()
    monitor = _monitor(trt, steps)
    config.progress_monitor = monitor
    result: list[Any] = []

    def work() -> None:
        try:
            result.append(builder.build_serialized_network(network, config))
        except Exception as error:  # what the bindings raise, for instance a MemoryError
            result.append(error)

    worker = threading.Thread(target=work, name="stylert-build", daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(_PERIOD)
            report(steps.percent)
    except BaseException:
        steps.cancelled = True
        while worker.is_alive():  # it uses what would be freed; another Ctrl-C changes nothing
            with suppress(KeyboardInterrupt):
                worker.join()
        raise
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]


class _Steps:
    """How far a builder is: phases within phases, each with a number of steps."""

    def __init__(self) -> None:
        self.cancelled = False
        self.percent = 0
        self._phases: dict[str, list[Any]] = {}  # by name: parent, steps done, steps in all
        self._lock = threading.Lock()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._phases[name] = [parent, 0, max(steps, 1)]

    def step(self, name: str, step: int) -> None:
        with self._lock:
            if name in self._phases:
                self._phases[name][1] = step + 1
            done = sum(self._share(phase) for phase in self._roots())
            self.percent = max(self.percent, min(round(100 * done), 100))

    def finish(self, name: str) -> None:
        with self._lock:
            self._phases.pop(name, None)

    def _roots(self) -> list[str]:
        return [name for name, (parent, _, _) in self._phases.items() if parent is None]

    def _share(self, name: str) -> float:
        """The part of a phase that is done, the steps within its current step included."""
        _, done, steps = self._phases[name]
        within = [self._share(n) for n, phase in self._phases.items() if phase[0] == name]
        return float(min((done + max(within, default=0.0)) / steps, 1.0))


def _monitor(trt: Any, steps: _Steps) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind11 wants this form

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            steps.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            steps.step(phase_name, step)
            return not steps.cancelled

        def phase_finish(self, phase_name: str) -> None:
            steps.finish(phase_name)

    return Monitor()


class Messages:
    """What a compiler has logged since the last `clear`: warnings and errors, in order."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def clear(self) -> None:
        """Forget everything."""
        self.errors.clear()
        self.warnings.clear()

    @property
    def error(self) -> str:
        """All errors in one line."""
        return " ".join(" ".join(self.errors).split()) or "it gives no reason"


@cache
def builder_logger(trt: Any) -> tuple[Any, Messages]:
    """The one logger of a compiler in this process, and what it collects.

    TensorRT goes on to use the first logger that it was given, so there must be no second.
    """
    messages = Messages()

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 wants this form

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                messages.errors.append(msg)
            elif severity == trt.ILogger.Severity.WARNING:
                messages.warnings.append(msg)

    return Logger(), messages

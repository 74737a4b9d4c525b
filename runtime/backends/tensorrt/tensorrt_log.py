"""What TensorRT has to say: it returns False or None, and writes the reason to its logger."""

from __future__ import annotations

import logging
from collections import deque
from functools import cache
from typing import Any

__all__ = ["tensorrt_logger"]

_log = logging.getLogger("stylert.tensorrt")
_LEVELS = {
    "INTERNAL_ERROR": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARNING": logging.INFO,  # TensorRT warns of what is no concern of the user's
    "INFO": logging.DEBUG,
    "VERBOSE": logging.DEBUG // 2,  # a build has thousands: only for those who ask for this level
}
_LAYERS = "Layers:"  # begins the message that lists an engine's kernels
_KEPT = 100  # errors; a builder that fails writes a few


@cache
def tensorrt_logger(trt: Any) -> Any:
    """The one logger of a TensorRT package (`trt` is its module) in this process.

    TensorRT goes on to use the first logger that it is given, in builders and runtimes alike, so
    there must be no second. It passes everything on to Python's logger 'stylert.tensorrt' (what
    TensorRT calls verbose at level 5, below DEBUG), and keeps the errors: `clear()` before a call,
    then `reason` is what they say in one line, and `take()` the last of them, once. It also keeps
    the lists of kernels that a build logs where it is asked to: `layers`.
    """
    # To ask a severity for its name takes longer than all the rest.
    severities = trt.ILogger.Severity
    levels = {getattr(severities, name): level for name, level in _LEVELS.items()}

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 wants this form
            self.errors: deque[str] = deque(maxlen=_KEPT)
            self.layers: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            level = levels[severity]
            if level >= logging.ERROR:
                self.errors.append(" ".join(msg.split()))
                level = logging.INFO  # an error is raised, not printed
            elif msg.startswith(_LAYERS):
                self.layers.append(msg)
            if _log.isEnabledFor(level):
                _log.log(level, "%s", msg)

        def clear(self) -> None:
            self.errors.clear()
            self.layers.clear()

        @property
        def reason(self) -> str:
            return " ".join(self.errors) or "it gives no reason"

        def take(self) -> str:
            return self.errors.pop() if self.errors else ""

    return Logger()

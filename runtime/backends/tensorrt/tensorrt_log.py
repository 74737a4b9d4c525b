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
}
_KEPT = 100  # errors; a builder that fails writes a few


@cache
def tensorrt_logger(trt: Any) -> Any:
    """The one logger of a TensorRT package (`trt` is its module) in this process.

    TensorRT goes on to use the first logger that it is given, in builders and runtimes alike, so
    there must be no second. It passes everything on to Python's logger 'stylert.tensorrt', and
    keeps the errors: `clear()` before a call, then `reason` is what they say in one line, and
    `take()` the last of them, once.
    """

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 wants this form
            self.errors: deque[str] = deque(maxlen=_KEPT)

        def log(self, severity: Any, msg: str) -> None:
            level = _LEVELS.get(severity.name, logging.DEBUG)
            if level >= logging.ERROR:
                self.errors.append(" ".join(msg.split()))
            _log.log(min(level, logging.INFO), "%s", msg)  # an error is raised, not printed

        def clear(self) -> None:
            self.errors.clear()

        @property
        def reason(self) -> str:
            return " ".join(self.errors) or "it gives no reason"

        def take(self) -> str:
            return self.errors.pop() if self.errors else ""

    return Logger()

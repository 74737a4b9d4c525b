"""One of the packages `tensorrt`, `tensorrt_lean` and `tensorrt_rtx`, which share their API."""

from __future__ import annotations

import importlib
import threading
from typing import Any

from stylert.runtime.backends.tensorrt.driver_remedy import tell_driver
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.tensorrt_log import tensorrt_logger
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.packages import install_command

__all__ = ["IN_TURN", "Package", "one_line"]

# Some of TensorRT's calls keep Python's lock and may wait for one of TensorRT's own, others log
# with TensorRT's held and wait for Python's: two threads that set up engines at once can deadlock.
IN_TURN = threading.RLock()
_EXTRAS = {"tensorrt": "gpu", "tensorrt_rtx": "rtx"}


def _install(package: str) -> str:
    extra = _EXTRAS.get(package)
    return install_command(extra) if extra else f"pip install {package.replace('_', '-')}"


class Package:
    """One of the TensorRT packages, with the runtime that opens plans.

    Args:
        name: 'tensorrt', 'tensorrt_lean' or 'tensorrt_rtx'.

    Raises:
        MissingExtra: it is not installed, or does not load.
    """

    def __init__(self, name: str) -> None:
        try:
            self.trt: Any = importlib.import_module(name)
        except Exception as error:  # its libraries fail with OSError, RuntimeError, ...
            raise MissingExtra(
                f"{name} does not load here: {one_line(error)[:200]}. Install it: {_install(name)}"
            ) from None
        self.name = name
        self.version = str(self.trt.__version__)
        self.logger = tensorrt_logger(self.trt)
        self._runtime: Any = None

    def load(self, data: bytes, plan: Plan, remedy: str = "") -> Any:
        """Deserialise a plan whose checksum was checked. The device must be active.

        Args:
            data: the plan.
            plan: its sidecar.
            remedy: what to do if it is refused.

        Raises:
            EngineError: TensorRT refuses it.
        """
        trt = self.trt
        try:
            with IN_TURN:
                if self._runtime is None:
                    self._runtime = trt.Runtime(self.logger)
                # A version-compatible plan carries code of the host; no other plan may.
                self._runtime.engine_host_code_allowed = bool(
                    plan.options.get("version_compatible")
                )
                engine = self._runtime.deserialize_cuda_engine(data)
        except Exception as error:
            what = f"deserialize_cuda_engine of {plan.name} failed"
            raise self.error(what, error, remedy=remedy) from error
        if engine is None:
            what = f"deserialize_cuda_engine of {plan.name} returned None"
            raise self.error(what, remedy=remedy)
        return engine

    def release(self) -> None:
        """Let go of TensorRT's runtime, after all engines."""
        self._runtime = None

    def error(self, what: str, cause: Exception | None = None, *, remedy: str = "") -> EngineError:
        """An error that also tells what the logger said last.

        Args:
            what: failed.
            cause: what it raised.
            remedy: what to do, unless the reason asks for something else.
        """
        said = self.logger.take()
        self.logger.clear()
        reasons = [one_line(cause)] if cause else []
        reasons += [said] if said and said not in reasons else []
        reason = "; ".join(reasons) or "it gave no reason"
        remedy = tell_driver(self.name, reason) or remedy
        reason = reason[: 150 if remedy else 300]
        return EngineError(f"{self.name} {self.version}: {what} ({reason}). {remedy}".rstrip())


def one_line(text: Any) -> str:
    """What a library says, in one line."""
    return " ".join(str(text).split())

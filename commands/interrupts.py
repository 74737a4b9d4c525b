"""Signals that end a command: each raises KeyboardInterrupt, so that what is half written goes."""

from __future__ import annotations

import signal
import sys
from types import CodeType, FrameType

__all__ = ["hear_signals"]

_AGAIN = 0.02  # seconds until a signal that came while a module loads is looked at again
_IMPORTS = "<frozen importlib"  # how the files are named of the code that loads modules


def hear_signals() -> None:
    """Have Ctrl-C, SIGTERM and SIGHUP interrupt what the function that calls this one does.

    While a module loads they wait until it is loaded. A module in C may swallow what falls into its
    start, and the command goes on; or it tells it as a failure of its own: 'initialization failed'.
    What whoever started the process has it ignore stays ignored, as SIGHUP under `nohup`.
    """
    caller = sys._getframe(1).f_code

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _loads_module(frame, caller) and hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)
            return
        raise KeyboardInterrupt

    def hang_up(*_: object) -> None:
        signal.raise_signal(signal.SIGTERM)  # which a service hears in its own way

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, hang_up if name == "SIGHUP" else interrupt)


def _loads_module(frame: FrameType | None, caller: CodeType) -> bool:
    """Whether a module is loaded by what the caller does now."""
    while frame is not None and frame.f_code is not caller:
        if frame.f_code.co_filename.startswith(_IMPORTS):
            return True
        frame = frame.f_back
    return False

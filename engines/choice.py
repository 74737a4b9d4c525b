"""Which compiler to use, and what keeps the others from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stylert.engines.compiler import Compiler
from stylert.engines.tensorrt import TensorRT
from stylert.engines.tensorrt_rtx import TensorRTRTX
from stylert.runtime.errors import EngineError, InvalidInput, StylertError
from stylert.runtime.packages import installed_version

__all__ = ["COMPILERS", "CompilerStatus", "choose_compiler", "list_compilers"]

COMPILERS: dict[str, Callable[[int | None], Compiler]] = {  # the best first
    "tensorrt": TensorRT.load,
    "tensorrt-rtx": TensorRTRTX.load,
}
_DISTRIBUTIONS = {
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt-rtx": ("tensorrt-rtx",),
}


@dataclass(frozen=True)
class CompilerStatus:
    """Whether a compiler can be used here."""

    name: str  # a key of COMPILERS
    version: str | None  # of the package that is installed
    problem: str | None  # what is missing and the command to run, None = it can be used

    @property
    def usable(self) -> bool:
        """It can be used."""
        return self.problem is None


def list_compilers() -> list[CompilerStatus]:
    """All compilers, the best first, and what each of them lacks here. This imports them."""
    return [
        CompilerStatus(name, installed_version(*_DISTRIBUTIONS[name]), _find_problem(name))
        for name in COMPILERS
    ]


def choose_compiler(
    name: str, *, sms: tuple[str, ...] = (), gpu: int | None = None
) -> tuple[Compiler, str]:
    """The compiler of this name, and why it was chosen.

    Args:
        name: a key of COMPILERS, or 'auto': TensorRT where there is a GPU for it and no SMs are
            named, else TensorRT-RTX.
        sms: the SMs to build for.
        gpu: index of the GPU to build on, or for; None = the first, or all.

    Raises:
        InvalidInput: there is no such compiler, or no such GPU.
        StylertError: it cannot be used here; the message says what is missing.
    """
    if name in COMPILERS:
        return COMPILERS[name](gpu), f"{name}: as asked for"
    if name != "auto":
        raise InvalidInput(
            f"compiler: got {name!r:.40}, expected auto or one of {', '.join(COMPILERS)}."
        )
    if sms:
        return TensorRTRTX.load(gpu), "tensorrt-rtx: it builds for the SMs that are named"
    problems = []
    for candidate, load in COMPILERS.items():
        try:
            compiler = load(gpu)
        except InvalidInput:
            raise
        except StylertError as error:
            problems.append(str(error))
            continue
        why = f"{candidate}: " + (problems[0] if problems else "the first choice, and usable")
        return compiler, why
    raise EngineError(f"No compiler can be used here. {' '.join(problems)}")


def _find_problem(name: str) -> str | None:
    try:
        COMPILERS[name](None)
    except StylertError as error:
        return str(error)
    return None

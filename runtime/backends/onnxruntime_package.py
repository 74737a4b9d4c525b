"""ONNX Runtime as it is installed: the module, and its providers by our names."""

from __future__ import annotations

import ctypes
import re
import sys
from typing import Any

from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.packages import import_extra, install_command, onnxruntime_distribution

__all__ = [
    "PROVIDERS",
    "available_providers",
    "check_provider",
    "give_back_memory",
    "import_onnxruntime",
    "list_tensors",
    "make_options",
    "tell_line",
]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",  # of a plug-in, see `backends.webgpu`
}

_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}

# What ONNX Runtime puts before its words: codes of its own, the place in its sources with the
# function that it is in, and the condition that did not hold there.
_CODE = r"\[ONNXRuntimeError\] : \d+ : \w+ : "
_PLACE = r"\S+\.(?:cc|cpp|h|cu|cuh):\d+ (?:[^()]*?::\w+ ?\([^()]*\)\S*(?: const)? |\w+ )?"
_CONDITION = r"[^.]\S*(?: \S+)*? was false\. (?=\S)"
_PREAMBLE = re.compile(rf"{_CODE}|{_PLACE}(?:{_CONDITION})?")


def available_providers() -> list[str]:
    """The providers of this ONNX Runtime itself that StyleRT knows: 'cpu', 'cuda'.

    Raises:
        MissingExtra: ONNX Runtime is not installed or does not load, or both of its distributions
            are installed.
    """
    listed = import_onnxruntime().get_available_providers()
    return [name for name in ("cpu", "cuda") if PROVIDERS[name] in listed]


def make_options(ort: Any, *, threads: int) -> Any:
    """The `SessionOptions` of a graph on so many CPU threads.

    Idle threads go on spinning for a while: to wake them for each picture of a small network would
    cost it a sixth of its speed.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def import_onnxruntime() -> Any:
    """The module.

    Raises:
        MissingExtra: it is not installed or does not load, or both distributions are installed.
    """
    distribution = onnxruntime_distribution()
    if distribution is None:
        raise MissingExtra(
            f"ONNX Runtime is not installed. Install it: {install_command('cpu')} "
            "('gpu' for 'cpu' with an NVIDIA GPU)"
        )
    return import_extra("onnxruntime", distribution, extra="cpu")


def give_back_memory() -> None:
    """Give the system back what was freed, where the C library has a word for it (glibc).

    Opening a graph takes its weights twice and more. What is free then is kept for what comes,
    which asks for other sizes: it is a half of what a process with a bundle takes.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def tell_line(error: Exception) -> str:
    """What ONNX Runtime says went wrong, in one line, without where in its sources that was."""
    words = " ".join(str(error).split())
    return _PREAMBLE.sub("", words) or words or type(error).__name__


def check_provider(session: Any, provider: str) -> None:
    """Refuse an `InferenceSession` that runs elsewhere than on this provider, 'cpu' for instance.

    Raises:
        EngineError: ONNX Runtime fell back to another one.
    """
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise EngineError(
            f"provider {provider!r}: ONNX Runtime fell back to {session.get_providers()}. "
            "Run 'stylert doctor' to see what is missing."
        )


def list_tensors(session: Any) -> dict[str, tuple[str, list[int | str]]]:
    """The dtype and shape of each input and output by name; a text may be any size."""
    tensors = (*session.get_inputs(), *session.get_outputs())
    return {t.name: (_DTYPES.get(t.type, t.type), t.shape) for t in tensors}

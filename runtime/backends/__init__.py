"""Backends: the ways to run a bundle's graphs. `open_session` chooses one and says why."""

from __future__ import annotations

from stylert.runtime.backends.base import Session
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra
from stylert.runtime.plans import ENGINES

__all__ = ["BACKENDS", "PRECISIONS", "Session", "open_session"]

BACKENDS = ("onnxruntime", "tensorrt")
PRECISIONS = ("fp32", "fp16")


def open_session(
    bundle: Bundle,
    *,
    backend: str = "auto",
    provider: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> tuple[Session, str]:
    """Open a bundle with a backend.

    Returns:
        The session, and a sentence that says what was chosen and why.

    Raises:
        InvalidInput: an unknown backend or provider.
        MissingExtra, EngineError: what was asked for is not installed, or does not run here.
    """
    if backend not in ("auto", *BACKENDS):
        raise InvalidInput(f"backend: got {backend!r}, expected 'auto' or one of {BACKENDS}.")
    if precision not in ("auto", *PRECISIONS):
        raise InvalidInput(f"precision: got {precision!r}, expected 'auto', 'fp32' or 'fp16'.")
    if precision not in ("auto", *bundle.precisions):
        raise InvalidInput(
            f"precision: got {precision!r}, but the bundle {bundle.path} has only "
            f"{', '.join(bundle.precisions)}. Export the checkpoint again with --half native."
        )
    if backend == "tensorrt":
        if provider == "cpu":
            raise InvalidInput("provider: got 'cpu' with backend 'tensorrt', expected 'cuda'.")
        return _open_tensorrt(bundle, precision, "as asked")
    without = ""
    if (backend, provider) == ("auto", "auto") and any((bundle.path / ENGINES).glob("*.json")):
        try:
            return _open_tensorrt(bundle, precision, "auto, the bundle has an engine for it")
        except (EngineError, MissingExtra) as error:
            without = f"; its engines do not run here ({error})"
    session, choice = _open_onnxruntime(bundle, provider, precision, threads)
    return session, choice + without


def _open_tensorrt(bundle: Bundle, precision: str, reason: str) -> tuple[Session, str]:
    from stylert.runtime.backends.tensorrt import TensorRTSession

    session = TensorRTSession(bundle, precision=precision)
    where = session.describe()
    return session, (
        f"{where['package']} {where['version']} on {where['gpu']}, {session.precision}: {reason}"
    )


def _open_onnxruntime(
    bundle: Bundle, provider: str, precision: str, threads: int | None
) -> tuple[Session, str]:
    from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession, available_providers

    def opened(name: str) -> OnnxRuntimeSession:
        # Half precision pays on a GPU only: a CPU converts every value back and forth.
        best = bundle.precisions[-1] if name == "cuda" else "fp32"
        chosen = best if precision == "auto" else precision
        return OnnxRuntimeSession(bundle, provider=name, precision=chosen, threads=threads)

    reason = "as asked"
    if provider == "auto":
        provider, reason = "cpu", "auto, this ONNX Runtime has no CUDA provider"
        if "cuda" in available_providers():
            try:
                session = opened("cuda")
                return session, f"onnxruntime on cuda, {session.precision}: auto, CUDA is there"
            except EngineError as error:
                reason = f"auto, CUDA does not run here ({error})"
    session = opened(provider)
    where = f"{provider}, {session.precision}"
    if provider == "cpu":
        where += f", {session.threads} thread{'s' if session.threads > 1 else ''}"
    return session, f"onnxruntime on {where}: {reason}"

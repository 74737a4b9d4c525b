"""Backends: the ways to run a bundle's graphs. `open_session` chooses one and says why."""

from __future__ import annotations

from stylert.runtime.backends.base import Session
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, InvalidInput

__all__ = ["BACKENDS", "Session", "open_session"]

BACKENDS = ("onnxruntime",)


def open_session(
    bundle: Bundle,
    *,
    backend: str = "auto",
    provider: str = "auto",
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
    from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession, available_providers

    if provider != "auto":
        session = OnnxRuntimeSession(bundle, provider=provider, threads=threads)
        return session, f"onnxruntime on {provider}, {session.threads} threads: as asked"
    reason = "this ONNX Runtime has no CUDA provider"
    if "cuda" in available_providers():
        try:
            session = OnnxRuntimeSession(bundle, provider="cuda", threads=threads)
            return session, "onnxruntime on cuda: auto, a CUDA device is there"
        except EngineError as error:
            reason = f"CUDA does not run here ({error})"
    session = OnnxRuntimeSession(bundle, provider="cpu", threads=threads)
    return session, f"onnxruntime on cpu, {session.threads} threads: auto, {reason}"

"""A bundle's encoder in ONNX Runtime on the processor, where no engine of it runs."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stylert.runtime.bundle import ENCODER, Bundle
from stylert.runtime.errors import MissingExtra, StylertWarning
from stylert.runtime.feeds import Feeds
from stylert.runtime.session import DLPackArray

if TYPE_CHECKING:
    from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession

__all__ = ["OtherEncoder"]


class OtherEncoder:
    """Runs a bundle's encoder beside engines; opened, and told of, when it is first asked for.

    Args:
        bundle: with the encoder.
        build: the command that builds an engine of it.
    """

    def __init__(self, bundle: Bundle, build: str) -> None:
        self._bundle = bundle
        self._build = build
        self._lock = threading.Lock()
        self._session: OnnxRuntimeSession | None = None

    def run(self, feeds: Feeds, outputs: Sequence[str]) -> list[DLPackArray]:
        """Run it; see `Session.run`.

        Raises:
            MissingExtra: ONNX Runtime is not installed.
        """
        with self._lock:
            if self._session is None:
                self._session = self._open()
        return list(self._session.run((ENCODER,), feeds, outputs))

    def take(self, bundle: Bundle) -> None:
        """From here on, run another bundle's."""
        self.close()
        self._bundle = bundle

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    def _open(self) -> OnnxRuntimeSession:
        from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession

        told = f"No engine of the encoder fits here, or is trusted. Build it: {self._build}"
        try:
            session = OnnxRuntimeSession(self._bundle, provider="cpu", draws=False)
        except MissingExtra as error:
            raise MissingExtra(f"{told}. Or: {error}") from None
        warnings.warn(
            f"{told}. Until then it runs in ONNX Runtime on the CPU.",
            StylertWarning,
            stacklevel=2,
        )
        return session

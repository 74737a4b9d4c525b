"""The ONNX Runtime backend: CPU and CUDA execution providers, never one in place of the other."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.backends.distributions import onnxruntime_distribution
from stylert.runtime.bundle import Bundle, graph_key
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra

__all__ = ["OnnxRuntimeSession", "available_providers", "usable_cpus"]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeSession:
    """A bundle's graphs in ONNX Runtime.

    Args:
        bundle: an opened bundle.
        provider: 'cpu' or 'cuda'.
        precision: 'fp32', or 'fp16' for the bundle's half-precision graph.
        threads: threads of one call on the CPU, None = all CPUs that this process may use.

    Raises:
        InvalidInput: an unknown provider, or the bundle has no half-precision graph.
        MissingExtra: ONNX Runtime is not installed, or both of its distributions are.
        EngineError: the provider is not there, or ONNX Runtime would have used another one.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        provider: str,
        precision: str = "fp32",
        threads: int | None = None,
    ) -> None:
        ort = _import()
        if provider not in PROVIDERS:
            raise InvalidInput(f"provider: got {provider!r}, expected 'auto', 'cpu' or 'cuda'.")
        if PROVIDERS[provider] not in ort.get_available_providers():
            raise EngineError(
                f"provider {provider!r}: this ONNX Runtime has only {available_providers()}. "
                f"Run 'stylert doctor' to see what to install."
            )
        if provider == "cuda" and hasattr(ort, "preload_dlls"):
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
                ort.preload_dlls()
        self.threads = usable_cpus() if threads is None else threads
        self.provider = provider
        self.precision = precision
        self._version = ort.__version__
        # The mapping network is too small to gain from threads, and a pool of its own would spin.
        self._mapping = self._open(ort, bundle.file("mapping"), threads=1)
        self._synthesis = self._open(
            ort, bundle.file(graph_key("synthesis", precision)), threads=self.threads
        )

    def _open(self, ort: Any, path: Path, *, threads: int) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # With patterns the second batch takes a quarter more memory than the first, for no speed.
        options.enable_mem_pattern = False
        name = PROVIDERS[self.provider]
        asked: Any = name
        if self.provider == "cuda":
            # By default it would compute float32 with the 10 bits of TF32.
            asked = (name, {"use_tf32": "0"})
            # A node that CUDA cannot run must be an error, not a slow detour.
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            # Without the last argument it changes to the CPU by itself, also in a later run.
            session = ort.InferenceSession(str(path), options, providers=[asked], enable_fallback=0)
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            raise EngineError(f"ONNX Runtime cannot open {path.name}: {_line(error)}") from error
        if session.get_providers()[0] != name:
            raise EngineError(
                f"provider {self.provider!r}: ONNX Runtime fell back to {session.get_providers()}. "
                "Run 'stylert doctor' to see what is missing."
            )
        return session

    def map(self, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Run the mapping graph: ws [N, num_ws, w_dim] float32."""
        return self._run(self._mapping, feeds, ["ws"])[0]

    def synthesize(
        self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray]:
        """Run the synthesis graph; give the outputs 'img' or 'image' that are named."""
        return self._run(self._synthesis, feeds, outputs)

    def describe(self) -> dict[str, Any]:
        """What runs where."""
        return {
            "backend": "onnxruntime",
            "version": self._version,
            "provider": self.provider,
            "threads": self.threads,
            "precision": self.precision,
        }

    def close(self) -> None:
        """Let go of the sessions; a call that still runs keeps its own until it is done."""
        del self._mapping, self._synthesis

    @staticmethod
    def _run(
        session: Any, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray]:
        try:
            arrays: list[np.ndarray] = session.run(list(outputs), dict(feeds))
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {_line(error)}") from error
        return arrays


def available_providers() -> list[str]:
    """The providers of this ONNX Runtime that StyleRT knows: 'cpu', 'cuda'.

    Raises:
        MissingExtra: ONNX Runtime is not installed, or both of its distributions are.
    """
    listed = _import().get_available_providers()
    return [name for name, provider in PROVIDERS.items() if provider in listed]


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, and the quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(count or 1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup, or its quota is 'max'
        return count or 1


def _import() -> Any:
    if onnxruntime_distribution() is None:
        raise MissingExtra(
            "ONNX Runtime is not installed. Install it: pip install 'stylert[cpu]' "
            "(or 'stylert[gpu]' for an NVIDIA GPU)"
        )
    import onnxruntime

    return onnxruntime


def _line(error: Exception) -> str:
    return " ".join(str(error).split())

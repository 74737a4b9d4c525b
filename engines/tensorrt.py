"""TensorRT: plans for the GPU that builds them; it times every kernel on it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylert.engines.compiler import Target
from stylert.engines.request import BuildRequest
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra
from stylert.runtime.machine import Gpu, visible_gpus

__all__ = ["OLDEST", "TensorRT"]

OLDEST = (10, 12)  # the first whose strongly typed networks have all that we use


@dataclass(frozen=True)
class TensorRT:
    """The compiler of TensorRT, with the GPU that it builds on."""

    trt: Any  # the module tensorrt
    gpu: Gpu
    name: str = "tensorrt"
    title: str = "TensorRT"

    @classmethod
    def load(cls) -> TensorRT:
        """Import the package and find the GPU.

        Raises:
            MissingExtra: the package is not installed, not whole, or too old.
            EngineError: there is no GPU.
        """
        try:
            import tensorrt
        except (ImportError, OSError) as error:
            raise MissingExtra(
                f"TensorRT cannot be imported ({' '.join(str(error).split()):.120}). "
                "Run: pip install 'tensorrt>=10.12'"
            ) from None
        if tuple(int(n) for n in tensorrt.__version__.split(".")[:2]) < OLDEST:
            raise MissingExtra(
                f"TensorRT: got {tensorrt.__version__}, expected 10.12 or newer. "
                "Run: pip install 'tensorrt>=10.12'"
            )
        gpus = visible_gpus()
        if not gpus:
            raise EngineError(
                "TensorRT builds on an NVIDIA GPU only, and there is none. Plans for RTX cards "
                "are built without: compiler='tensorrt-rtx', sm='89'."
            )
        return cls(tensorrt, gpus[0])  # the device that is current in a new thread

    def target(self, request: BuildRequest) -> Target:
        """This machine's GPU.

        Raises:
            InvalidInput: the request names SMs, or wants hardware compatibility before Ampere.
        """
        if request.sms:
            raise InvalidInput(
                f"TensorRT builds for this machine's GPU ({self.gpu.name}): got "
                f"sm='{','.join(request.sms):.40}'. Leave it out, or pass compiler='tensorrt-rtx'."
            )
        if request.hardware_compatible and self.gpu.compute_capability < (8, 0):
            raise InvalidInput(
                f"hardware_compatible: got a GPU of compute capability {self._capability}, "
                "expected 8.0 (Ampere) or newer. Leave it out."
            )
        name = "ampere_plus" if request.hardware_compatible else _slug(self.gpu.name)
        return Target(name, (self._capability,), self.gpu.name)

    def configure(self, config: Any, request: BuildRequest) -> None:
        """Set the compatibility and what earlier builds have found out."""
        trt = self.trt
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if request.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if request.hardware_compatible:
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        try:
            timings = self._timing_cache.read_bytes()
        except OSError:
            timings = b""
        for data in (timings, b""):  # a new one where TensorRT refuses the old one
            timing_cache = config.create_timing_cache(data)
            if timing_cache and config.set_timing_cache(timing_cache, ignore_mismatch=False):
                break

    def learn(self, config: Any) -> None:
        """Keep the kernels' times for the next build."""
        timing_cache = config.get_timing_cache()
        if timing_cache is None:
            return
        path = self._timing_cache
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with suppress(OSError):  # a home that cannot be written costs time, not the engine
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(timing_cache.serialize())
            os.replace(partial, path)

    @property
    def _capability(self) -> str:
        return "{}.{}".format(*self.gpu.compute_capability)

    @property
    def _timing_cache(self) -> Path:
        caches = os.environ.get("XDG_CACHE_HOME")
        folder = Path(caches) if caches else Path.home() / ".cache"
        name = f"tensorrt-{self.trt.__version__}-{_slug(self.gpu.name)}.timing"
        return folder / "stylert" / name


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "gpu"

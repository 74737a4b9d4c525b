"""TensorRT: engines for the GPU that builds them; it times every kernel on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from stylert.engines.compiler import Compiler, Target
from stylert.engines.gpus import find_gpu
from stylert.engines.packages import import_package
from stylert.engines.request import BuildRequest
from stylert.runtime.backends.cuda.device import open_device
from stylert.runtime.backends.tensorrt.plans import make_slug
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra
from stylert.runtime.files.publishing import publish_bytes
from stylert.runtime.files.user_folders import find_cache_folder
from stylert.runtime.machine import Gpu, visible_gpus

__all__ = ["OLDEST", "TensorRT"]

OLDEST = (10, 12)  # the first whose strongly typed networks have all that we use


@dataclass(frozen=True)
class TensorRT(Compiler):
    """The compiler of TensorRT, with the GPU that it builds on."""

    name = "tensorrt"
    title = "TensorRT"

    gpu: Gpu

    @classmethod
    def load(cls, gpu: int | None = None) -> TensorRT:
        """Import the package and find the GPU.

        Args:
            gpu: its index, None = the first.

        Raises:
            InvalidInput: there is no GPU of this index.
            MissingExtra: the package is not installed, not whole, or too old.
            EngineError: there is no GPU.
        """
        tensorrt = import_package("tensorrt", cls.title, "gpu")
        if tuple(int(n) for n in tensorrt.__version__.split(".")[:2]) < OLDEST:
            raise MissingExtra(
                f"TensorRT: got {tensorrt.__version__}, expected 10.12 or newer. "
                "Run: pip install 'tensorrt>=10.12'"
            )
        gpus = visible_gpus()
        if not gpus:
            raise EngineError(
                "TensorRT builds on an NVIDIA GPU only, and there is none. Engines for RTX cards "
                "are built without: compiler='tensorrt-rtx', sm='89'."
            )
        return cls(tensorrt, find_gpu(gpus, 0 if gpu is None else gpu))

    @override
    @contextmanager
    def active(self) -> Iterator[None]:
        try:
            device = open_device(self.gpu.index)
        except MissingExtra:
            if self.gpu.index:
                raise
            yield  # the first GPU is what CUDA takes by itself
            return
        try:
            with device.active():
                yield
        finally:
            device.close()

    @override
    def find_target(self, request: BuildRequest) -> Target:
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
        name = "ampere_plus" if request.hardware_compatible else make_slug(self.gpu.name)
        return Target(name, (self._capability,), self.gpu.name)

    @override
    def configure(self, config: Any, request: BuildRequest) -> None:
        trt = self.trt
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if request.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if request.hardware_compatible:
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        try:
            timings = self._find_timings().read_bytes()
        except OSError:
            timings = b""
        for data in (timings, b""):  # a new one where TensorRT refuses the old one
            timing_cache = config.create_timing_cache(data)
            if timing_cache and config.set_timing_cache(timing_cache, ignore_mismatch=False):
                break

    @override
    def learn(self, config: Any) -> None:
        timing_cache = config.get_timing_cache()
        if timing_cache is None:
            return
        with suppress(OSError):  # a home that cannot be written costs time, not the engine
            publish_bytes(self._find_timings(), timing_cache.serialize())

    @property
    def _capability(self) -> str:
        return "{}.{}".format(*self.gpu.compute_capability)

    def _find_timings(self) -> Path:
        name = f"tensorrt-{self.trt.__version__}-{make_slug(self.gpu.name)}.timing"
        return find_cache_folder() / name

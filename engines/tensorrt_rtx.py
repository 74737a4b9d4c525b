"""TensorRT-RTX: engines for the RTX cards that applications ship to, built without any GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from stylert.engines.compiler import Compiler, Target
from stylert.engines.gpus import find_gpu
from stylert.engines.packages import import_package
from stylert.engines.request import BuildRequest
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.machine import visible_gpus

__all__ = ["TensorRTRTX"]

_CARDS = "86 (RTX 30), 89 (RTX 40) or 120 (RTX 50)"
_TURING = "75"  # "FP32 GEMM is not supported", which the mapping and the styles need


@dataclass(frozen=True)
class TensorRTRTX(Compiler):
    """The compiler of TensorRT-RTX. An engine runs on all SMs that were asked for."""

    name = "tensorrt_rtx"
    title = "TensorRT-RTX"

    gpu: int | None = None  # index of the GPU to build for where no SMs are named, None = all

    @classmethod
    def load(cls, gpu: int | None = None) -> TensorRTRTX:
        """Import the package.

        Args:
            gpu: index of the GPU to build for, None = all that are here.

        Raises:
            MissingExtra: it is not installed, or not whole.
        """
        return cls(import_package("tensorrt_rtx", cls.title, "rtx"), gpu)

    @override
    def find_target(self, request: BuildRequest) -> Target:
        self._check_options(request)
        if request.sms and self.gpu is not None:
            raise InvalidInput(
                f"gpu: got {self.gpu} beside sm='{','.join(request.sms):.40}', expected one of the "
                "two: what to build for is a GPU of this machine, or SMs."
            )
        sms = request.sms or self._list_own()
        if not sms:
            raise InvalidInput(
                "sm: got none and found no NVIDIA GPU, expected the SMs of the cards to build for "
                f"with TensorRT-RTX: {_CARDS}, or several: sm='86,89,120'."
            )
        known = self._list_known()
        unknown = [sm for sm in sms if sm not in known]
        if unknown:
            raise InvalidInput(
                f"TensorRT-RTX does not build these graphs for SM {unknown[0]!r:.20}, expected "
                f"some of {', '.join(known)}. Other GPUs: compiler='tensorrt', on that GPU."
            )
        sms = tuple(sorted(set(sms), key=int))
        return Target(
            name=f"sm{'_'.join(sms)}",
            compute_capabilities=tuple(f"{sm[:-1]}.{sm[-1]}" for sm in sms),
            gpu=None,
        )

    @override
    def configure(self, config: Any, request: BuildRequest) -> None:
        # Else a wide profile may allocate while it runs, which no CUDA graph can capture.
        config.set_flag(self.trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
        capabilities = self.find_target(request).compute_capabilities
        config.num_compute_capabilities = len(capabilities)
        for i, capability in enumerate(capabilities):
            sm = getattr(self.trt.ComputeCapability, f"SM{capability.replace('.', '')}")
            if not config.set_compute_capability(sm, i):
                raise EngineError(
                    f"TensorRT-RTX {self.trt.__version__} refuses compute capability {capability}. "
                    "Leave its SM out, or use another version."
                )

    @override
    def learn(self, config: Any) -> None:
        pass  # it does not time kernels when it builds, but where the engine runs

    def _list_own(self) -> tuple[str, ...]:
        gpus = visible_gpus()
        if self.gpu is not None:
            gpus = [find_gpu(gpus, self.gpu)]
        return tuple("{}{}".format(*gpu.compute_capability) for gpu in gpus)

    def _list_known(self) -> list[str]:
        names = self.trt.ComputeCapability.__members__
        sms = {name[2:] for name in names if name.startswith("SM")} - {_TURING}
        return sorted(sms, key=int)

    def _check_options(self, request: BuildRequest) -> None:
        for option, instead in (
            ("version_compatible", "its engines run on the version that built them"),
            ("hardware_compatible", "name the SMs, as in sm='86,89'"),
            ("refittable", "build one engine for each checkpoint"),
        ):
            if getattr(request, option):
                raise InvalidInput(
                    f"TensorRT-RTX: {option}=True needs compiler='tensorrt'; {instead}."
                )

"""TensorRT-RTX: plans for the RTX cards that applications ship to, built without any GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stylert.engines.compiler import Target
from stylert.engines.request import BuildRequest
from stylert.runtime.errors import InvalidInput, MissingExtra
from stylert.runtime.machine import visible_gpus

__all__ = ["TensorRTRTX"]

_CARDS = "86 (RTX 30), 89 (RTX 40) or 120 (RTX 50)"


_TURING = "75"  # "FP32 GEMM is not supported", which the mapping and the styles need


@dataclass(frozen=True)
class TensorRTRTX:
    """The compiler of TensorRT-RTX. A plan holds for all SMs that it was asked for."""

    trt: Any  # the module tensorrt_rtx
    name: str = "tensorrt_rtx"
    title: str = "TensorRT-RTX"

    @classmethod
    def load(cls) -> TensorRTRTX:
        """Import the package.

        Raises:
            MissingExtra: it is not installed, or not whole.
        """
        try:
            import tensorrt_rtx
        except (ImportError, OSError) as error:
            raise MissingExtra(
                f"TensorRT-RTX cannot be imported ({' '.join(str(error).split()):.120}). "
                "Run: pip install 'stylert[rtx]'"
            ) from None
        return cls(tensorrt_rtx)

    def target(self, request: BuildRequest) -> Target:
        """The SMs of the request, or those of this machine's GPUs.

        Raises:
            InvalidInput: none are given and there is no GPU, TensorRT-RTX does not build for one,
                or the request has an option that only TensorRT knows.
        """
        self._check_options(request)
        sms = request.sms or tuple("{}{}".format(*gpu.compute_capability) for gpu in visible_gpus())
        if not sms:
            raise InvalidInput(
                "sm: got none and found no NVIDIA GPU, expected the SMs of the cards to build for "
                f"with TensorRT-RTX: {_CARDS}, or several: sm='86,89,120'."
            )
        known = self._known()
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

    def configure(self, config: Any, request: BuildRequest) -> None:
        """Name the SMs."""
        capabilities = self.target(request).compute_capabilities
        config.num_compute_capabilities = len(capabilities)
        for i, capability in enumerate(capabilities):
            sm = getattr(self.trt.ComputeCapability, f"SM{capability.replace('.', '')}")
            config.set_compute_capability(sm, i)

    def learn(self, config: Any) -> None:
        """Nothing: it does not time kernels when it builds, but where the plan runs."""

    def _known(self) -> list[str]:
        names = self.trt.ComputeCapability.__members__
        sms = {name[2:] for name in names if name.startswith("SM")} - {_TURING}
        return sorted(sms, key=int)

    def _check_options(self, request: BuildRequest) -> None:
        for option, instead in (
            ("version_compatible", "its plans run on the version that built them"),
            ("hardware_compatible", "name the SMs, as in sm='86,89'"),
            ("refittable", "build one plan for each checkpoint"),
        ):
            if getattr(request, option):
                raise InvalidInput(
                    f"TensorRT-RTX: {option}=True needs compiler='tensorrt'; {instead}."
                )

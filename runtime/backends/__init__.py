"""Backends: the ways to run a bundle's graphs. `open_session` chooses one and says why."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

from stylert.runtime.arguments import shown
from stylert.runtime.bundle import ENGINES, Bundle
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra, StylertWarning
from stylert.runtime.packages import onnxruntime_distribution, openvino_distribution
from stylert.runtime.session import DLPackArray, Session

if TYPE_CHECKING:
    from stylert.runtime.backends.cuda.launch_timer import LaunchTimer

__all__ = ["BACKENDS", "PRECISIONS", "DLPackArray", "Session", "open_session"]

BACKENDS = ("onnxruntime", "openvino", "tensorrt")
PRECISIONS = ("fp32", "fp16", "int8")
_HOW = {"fp16": "export CHECKPOINT --out BUNDLE --half native", "int8": "quantize BUNDLE"}


def open_session(
    bundle: Bundle,
    *,
    backend: str = "auto",
    provider: str = "auto",
    device: str | None = None,
    precision: str = "auto",
    threads: int | None = None,
    gpu: int | None = None,
    lanes: int = 1,
    trust_engines: bool = False,
    timer: LaunchTimer | None = None,
) -> tuple[Session, str]:
    """Open a bundle with a backend.

    The arguments are those of `Generator.open`. A `timer`, which must be of the same GPU, takes the
    time of what runs there.

    Returns:
        The session, and a sentence that says what was chosen and why.

    Raises:
        InvalidInput: an unknown backend, provider or device, or some that do not go together.
        MissingExtra, EngineError: what was asked for is not installed, or does not run here.
    """
    names = {"backend": backend, "provider": provider, "precision": precision}
    for argument, name in names.items():
        if not isinstance(name, str):
            raise InvalidInput(f"{argument}: got {shown(name)}, expected its name.")
    _check_precision(bundle, backend, provider, precision)
    if provider == "webgpu" and backend in ("auto", "onnxruntime"):
        if gpu is not None:
            raise InvalidInput(
                f"gpu: got {gpu} with provider 'webgpu', which takes the fastest, expected None."
            )
        return _open_webgpu(bundle, device, precision)
    if device is not None and backend != "openvino":
        raise InvalidInput(
            f"device: got {shown(device)} with backend {backend!r} and provider {provider!r}, "
            "expected backend='openvino' or provider='webgpu'."
        )
    if backend == "openvino":
        if gpu is not None:
            raise InvalidInput(
                f"gpu: got {gpu} with backend 'openvino', whose devices go by name: device='gpu'."
            )
        return _open_openvino(bundle, provider, device, precision, threads, "as asked")
    if gpu is not None and provider == "cpu":
        raise InvalidInput(f"gpu: got {gpu} with provider 'cpu', expected None or 'cuda'.")
    open_engines = partial(_open_tensorrt, bundle, precision, gpu or 0, lanes, timer, trust_engines)
    if backend == "tensorrt":
        if provider not in ("auto", "cuda"):
            raise InvalidInput(
                f"provider: got {provider!r} with backend 'tensorrt', expected 'cuda'."
            )
        return open_engines("as asked")
    without = ""
    if (backend, provider) == ("auto", "auto") and any((bundle.path / ENGINES).glob("*.json")):
        from stylert.runtime.backends.tensorrt.trust import UntrustedEngine

        try:
            return open_engines("auto, the bundle has an engine for it")
        except UntrustedEngine as error:
            warnings.warn(error.note, StylertWarning, stacklevel=3)  # of who opens a generator
            without = "; its engines are not trusted"
        except (EngineError, MissingExtra) as error:
            without = f"; its engines do not run here ({error})"
    if precision == "int8":  # ONNX Runtime has no convolutions for it
        if gpu is not None:  # then the CPU is not wanted instead
            raise InvalidInput(
                f"gpu: got {gpu} with precision 'int8', which needs an engine{without}. Build "
                f"one: stylert build-engine {bundle.path} --precision int8"
            )
        reason = f"auto, the backend for int8{without}"
        return _open_openvino(bundle, provider, device, precision, threads, reason)
    tuned = (backend, provider, gpu) == ("auto", "auto", None) and precision != "fp16"
    if tuned and not onnxruntime_distribution() and openvino_distribution():
        reason = f"auto, ONNX Runtime is not installed{without}"
        return _open_openvino(bundle, provider, device, precision, threads, reason)
    if gpu is not None and provider == "auto":  # then the CPU is not wanted instead
        provider = "cuda"
    session, choice = _open_onnxruntime(
        bundle, provider, precision, threads, gpu or 0, timer, tuned=tuned
    )
    return session, choice + without


def _check_precision(bundle: Bundle, backend: str, provider: str, precision: str) -> None:
    """Refuse a backend that is none, and a precision that the bundle has not, or nobody wants."""
    if backend not in ("auto", *BACKENDS):
        raise InvalidInput(f"backend: got {backend!r}, expected 'auto' or one of {BACKENDS}.")
    if precision not in ("auto", *PRECISIONS):
        raise InvalidInput(f"precision: got {precision!r}, expected 'auto' or one of {PRECISIONS}.")
    if precision not in ("auto", *bundle.precisions):
        raise InvalidInput(
            f"precision: got {precision!r}, but the bundle {bundle.path} has only "
            f"{', '.join(bundle.precisions)}. Make it: stylert {_HOW[precision]}"
        )
    if precision == "int8" and (backend == "onnxruntime" or provider == "webgpu"):
        raise InvalidInput(
            "precision: got 'int8' with ONNX Runtime, which draws it slower than 'fp32'; expected "
            "backend='openvino', or an engine of TensorRT."
        )


def _open_tensorrt(
    bundle: Bundle,
    precision: str,
    gpu: int,
    lanes: int,
    timer: LaunchTimer | None,
    trust_engines: bool,
    reason: str,
) -> tuple[Session, str]:
    from stylert.runtime.backends.tensorrt.session import TensorRTSession

    device = None if timer is None else timer.device
    session = TensorRTSession(
        bundle,
        precision=precision,
        gpu=gpu,
        lanes=lanes,
        device=device,
        timer=timer,
        trust_engines=trust_engines,
    )
    where = session.describe()
    return session, (
        f"{where['package']} {where['version']} on {where['gpu']}, {session.precision}: {reason}"
    )


def _open_openvino(
    bundle: Bundle,
    provider: str,
    device: str | None,
    precision: str,
    threads: int | None,
    reason: str,
) -> tuple[Session, str]:
    from stylert.runtime.backends.openvino.session import OpenVINOSession

    device = "cpu" if device is None else device
    if provider not in ("auto", device):
        raise InvalidInput(
            f"provider: got {provider!r} with OpenVINO's device {device!r}, expected 'auto'."
        )
    chosen = "fp32" if precision == "auto" else precision
    session = OpenVINOSession(bundle, device=device, precision=chosen, threads=threads)
    where = f"{device}, {chosen}{' graph computed in fp32' if chosen == 'fp16' else ''}"
    if device == "cpu":
        where += f", {_tell_threads(session.threads)}"
    return session, f"openvino {session.describe()['version']} on {where}: {reason}"


def _open_webgpu(bundle: Bundle, device: str | None, precision: str) -> tuple[Session, str]:
    from stylert.runtime.backends.webgpu.session import WebGpuSession

    # Its shaders may add up in half precision: that is for those who ask for it.
    chosen = "fp32" if precision == "auto" else precision
    session = WebGpuSession(bundle, device=device, precision=chosen)
    where = session.describe()["device_name"]
    return session, f"onnxruntime on webgpu ({where}), {chosen}: as asked"


def _tell_threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _open_onnxruntime(
    bundle: Bundle,
    provider: str,
    precision: str,
    threads: int | None,
    gpu: int,
    timer: LaunchTimer | None,
    *,
    tuned: bool,  # on the CPU, the fastest backend will do
) -> tuple[Session, str]:
    from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession
    from stylert.runtime.backends.onnxruntime_package import available_providers
    from stylert.runtime.backends.tuned_choice import choose_on_cpu

    def opened(name: str) -> OnnxRuntimeSession:
        # Half precision pays on a GPU only: a CPU converts every value back and forth.
        best = "fp16" if name == "cuda" and "fp16" in bundle.precisions else "fp32"
        chosen = best if precision == "auto" else precision
        return OnnxRuntimeSession(
            bundle, provider=name, precision=chosen, threads=threads, gpu=gpu, timer=timer
        )

    reason = "as asked"
    if provider == "auto":
        provider, reason = "cpu", "auto, this ONNX Runtime has no CUDA provider"
        if "cuda" in available_providers():
            try:
                session = opened("cuda")
                return session, f"onnxruntime on cuda, {session.precision}: auto, CUDA is there"
            except EngineError as error:
                reason = f"auto, CUDA does not run here ({error})"
    if tuned:
        chosen, why = choose_on_cpu(bundle)
        if chosen == "openvino":
            try:
                return _open_openvino(bundle, provider, None, precision, threads, f"auto, {why}")
            except (EngineError, MissingExtra) as error:
                why = f"OpenVINO is {why}, but does not run ({error})"
        reason += f"; {why}" if why else ""
    session = opened(provider)
    where = f"{provider}{f':{gpu}' if gpu else ''}, {session.precision}"
    if provider == "cpu":
        where += f", {_tell_threads(session.threads)}"
    return session, f"onnxruntime on {where}: {reason}"

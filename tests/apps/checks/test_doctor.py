"""The doctor's findings, on this machine and on made-up ones."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import pytest

from stylert.apps.checks import doctor, loaded_libraries, openvino_probe, provider_probe
from stylert.apps.checks.doctor import JOBS, Finding, diagnose
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.machine import Gpu
from stylert.runtime.packages import (
    install_command,
    installed_version,
    onnxruntime_distribution,
    openvino_distribution,
)

Machine = Callable[..., dict[str, Finding]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Gives the findings, by name, on a machine with these packages, GPUs and providers."""

    def examine(
        *,
        packages: dict[str, str],
        modules: tuple[str, ...] = (),
        gpus: tuple[Gpu, ...] = (),
        providers: tuple[str, ...] = ("CPUExecutionProvider",),
        broken: tuple[str, ...] = (),
        devices: tuple[str, ...] = ("cpu",),
    ) -> dict[str, Finding]:
        def version(name: str) -> str:
            if name not in packages:
                raise importlib.metadata.PackageNotFoundError(name)
            return packages[name]

        def probe(provider: str) -> None:
            if provider in broken:
                raise EngineError(f"{provider}: libcudnn.so.9 is not there")

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: object() if name in modules else None
        )
        monkeypatch.setattr(doctor, "visible_gpus", lambda: list(gpus))
        monkeypatch.setattr(doctor, "driver_version", lambda: "580.65.06")

        def probe_device(name: str) -> str:
            if name in broken:
                raise EngineError(f"{name}: no OpenCL here")
            return "Some Device; plug_in 1.2; libplug_in.so in /there"

        monkeypatch.setattr(doctor, "probe_provider", probe)
        monkeypatch.setattr(doctor, "probe_device", probe_device)
        monkeypatch.setattr(doctor, "list_devices", lambda: list(devices))
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: list(providers))
        installed_version.cache_clear()
        return {finding.name: finding for finding in diagnose()}

    yield examine
    installed_version.cache_clear()


def test_this_machine() -> None:
    found = {finding.name: finding for finding in diagnose()}
    assert found["torch"] == Finding("torch", "ok", importlib.metadata.version("torch"))
    assert found["CPUExecutionProvider"].status == "ok"
    assert found["export"].status == "ok"
    assert found["run on CPU"].status == "ok"
    assert list(found)[-len(JOBS) :] == list(JOBS)


def test_the_names_are_unique_and_only_what_fails_has_a_remedy() -> None:
    findings = diagnose()
    assert len({finding.name for finding in findings}) == len(findings)
    for finding in findings:
        assert bool(finding.remedy) == (finding.status != "ok"), finding
        assert "\n" not in finding.detail + finding.remedy


def test_it_imports_none_of_what_it_looks_for(tmp_path: Path) -> None:
    code = (
        "import sys; from stylert.apps.checks.doctor import diagnose as d; d(); print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    loaded = set(run.stdout.split())
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "onnx", "onnxscript", "tensorrt", "tensorrt_rtx", "polygraphy"}


def test_a_bare_machine_is_told_what_to_install(machine: Machine) -> None:
    found = machine(packages={})
    remedies = {job: found[job].remedy for job in JOBS}
    assert all(found[job].status == "missing" for job in JOBS)
    assert remedies["export"] == install_command("export")
    assert remedies["run on CPU"] == f"pip install numpy; {install_command('cpu')}"
    assert "NVIDIA GPU" in remedies["run on CUDA"]
    assert remedies["run on CUDA"].endswith(install_command("gpu"))
    assert remedies["build TensorRT-RTX"] == install_command("rtx")


@pytest.mark.parametrize(
    ("driver", "told"),
    [
        ("535.104.05", "driver 535.104.05 (CUDA 13 needs 580 or newer)"),
        ("580.65.06", "driver 580.65.06"),
        (None, "driver unknown"),
    ],
)
def test_a_driver_that_is_too_old_for_cuda_13(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, driver: str | None, told: str
) -> None:
    gpus = (Gpu(0, "NVIDIA L4", (8, 9)),)
    machine(packages={}, gpus=gpus)  # which sets all others
    monkeypatch.setattr(doctor, "driver_version", lambda: driver)
    (gpu,) = [finding for finding in diagnose() if finding.name == "GPU"]
    assert gpu.status == "ok"  # packages of CUDA 12 run
    assert gpu.detail.endswith(told)


def test_a_gpu_machine_with_everything(machine: Machine) -> None:
    found = machine(
        packages={"numpy": "2.4.6", "onnxruntime-gpu": "1.31.1", "tensorrt-cu13": "11.4.0"},
        modules=("numpy", "tensorrt"),
        gpus=(Gpu(0, "NVIDIA L4", (8, 9)),),
        providers=("CUDAExecutionProvider", "CPUExecutionProvider"),
    )
    assert found["GPU"].detail == "1: NVIDIA L4 (compute capability 8.9); driver 580.65.06"
    assert found["onnxruntime"].detail == "onnxruntime-gpu 1.31.1"
    assert found["tensorrt"].detail == "11.4.0"
    assert found["run on CUDA"].status == "ok"
    assert found["build TensorRT"].status == "ok"


def test_a_provider_that_is_listed_but_does_not_run_is_broken(machine: Machine) -> None:
    found = machine(
        packages={"numpy": "2.4.6", "onnxruntime-gpu": "1.31.1"},
        modules=("numpy",),
        gpus=(Gpu(0, "NVIDIA L4", (8, 9)),),
        providers=("CUDAExecutionProvider", "CPUExecutionProvider"),
        broken=("CUDAExecutionProvider",),
    )
    assert found["CUDAExecutionProvider"].status == "broken"
    assert "libcudnn.so.9" in found["CUDAExecutionProvider"].detail
    assert found["run on CUDA"].status == "broken"
    assert found["run on CUDA"].remedy == "pip install 'onnxruntime-gpu[cuda,cudnn]'"
    assert found["run on CPU"].status == "ok"


def test_a_package_that_is_too_old_is_broken(machine: Machine) -> None:
    found = machine(
        packages={"cuda-core": "1.1.1", "cuda-bindings": "12.9.3"},
        modules=("cuda.core", "cuda.bindings"),
    )
    old = found["cuda-core"]
    assert (old.status, old.detail) == ("broken", "too old: got 1.1.1, expected >= 1.2")
    assert old.remedy == install_command("gpu")
    assert found["cuda-bindings"] == Finding("cuda-bindings", "ok", "12.9.3")


def test_two_onnxruntimes_are_a_conflict(machine: Machine) -> None:
    found = machine(
        packages={"numpy": "2.4.6", "onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"},
        modules=("numpy",),
    )
    uninstall = (
        "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]'"
    )
    for name in ("onnxruntime", "run on CPU", "run on CUDA"):
        assert found[name].status == "conflict"
        assert uninstall in found[name].remedy
    with pytest.raises(MissingExtra, match="overwrite each other"):
        onnxruntime_distribution()


def test_two_openvinos_are_a_conflict(machine: Machine) -> None:
    found = machine(packages={"numpy": "2.4.6", "openvino": "2026.4.1", "openvino-nightly": "2027"})
    remedy = (
        "pip uninstall -y openvino openvino-nightly && pip install openvino-nightly  # or openvino"
    )
    for name in ("openvino", "OpenVINO on cpu"):
        assert found[name].status == "conflict"
        assert found[name].detail.startswith("OpenVINO: got openvino and openvino-nightly, which")
        assert found[name].remedy == remedy
    assert found["run on OpenVINO"].status == "conflict"
    with pytest.raises(MissingExtra, match="overwrite each other"):
        openvino_distribution()


def test_every_device_of_openvino(machine: Machine) -> None:
    found = machine(
        packages={"numpy": "2.4.6", "openvino": "2026.4.1"},
        modules=("numpy", "openvino"),
        devices=("cpu", "gpu.0", "npu"),
        broken=("npu",),
    )
    assert found["openvino"] == Finding("openvino", "ok", "openvino 2026.4.1")
    ran = "ran a convolution: Some Device; plug_in 1.2; libplug_in.so in /there"
    assert found["OpenVINO on cpu"] == Finding("OpenVINO on cpu", "ok", ran)
    assert found["OpenVINO on gpu.0"].status == "ok"
    assert found["OpenVINO on npu"].status == "broken"
    assert found["OpenVINO on npu"].remedy == "pip install --force-reinstall openvino"
    assert found["run on OpenVINO"].status == "ok"


def test_plug_ins_are_told(machine: Machine) -> None:
    found = machine(packages={"onnxruntime-ep-openvino": "1.8.1"})
    assert found["onnxruntime-ep-openvino"].detail.startswith("1.8.1: a plug-in that StyleRT does")
    assert found["onnxruntime-ep-webgpu"].status == "missing"
    assert found["run on WebGPU"].status == "missing"


def test_webgpu_is_told_with_its_adapter(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {"onnxruntime": "1.31.1", "onnxruntime-ep-webgpu": "0.4.0"}
    monkeypatch.setattr(doctor, "probe_webgpu", lambda: "Radeon")
    found = machine(packages=packages, modules=("numpy",))["onnxruntime-ep-webgpu"]
    assert (found.status, found.detail) == ("ok", "0.4.0: drew on Radeon")

    def fail() -> str:
        raise EngineError("provider 'webgpu': no GPU has a driver here")

    monkeypatch.setattr(doctor, "probe_webgpu", fail)
    found = machine(packages=packages)["onnxruntime-ep-webgpu"]
    assert found.status == "broken"
    assert found.detail == "0.4.0: provider 'webgpu': no GPU has a driver here"


def test_the_library_that_ran_is_told() -> None:
    found = {finding.name: finding.detail for finding in diagnose()}
    assert "libopenvino_intel_cpu_plugin.so in /" in found["OpenVINO on cpu"]
    assert "openvino_intel_cpu_plugin 20" in found["OpenVINO on cpu"]
    assert "onnxruntime_pybind11_state" in found["CPUExecutionProvider"]
    assert "site-packages/onnxruntime/capi" in found["CPUExecutionProvider"]


def test_where_the_system_does_not_tell_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_libraries, "_MAPS", tmp_path / "none")
    assert "does not tell" in loaded_libraries.tell_libraries("onnxruntime")


def test_the_probe_refuses_a_device_that_is_not_there() -> None:
    with pytest.raises(EngineError, match=r"^xyz: Device with \"XYZ\" name is not registered"):
        openvino_probe.probe_device("xyz")


def test_metadata_without_a_module_is_broken(machine: Machine) -> None:
    found = machine(packages={"torch": "2.13.0"})
    assert found["torch"].status == "broken"
    assert found["torch"].remedy == "pip install --force-reinstall torch==2.13.0"
    assert found["export"].status == "broken"


def test_a_module_that_pip_does_not_know_is_ok(machine: Machine) -> None:
    found = machine(packages={}, modules=("tensorrt",))
    assert found["tensorrt"].status == "ok"


def test_a_driver_that_does_not_start_is_broken(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> list[Gpu]:
        raise EngineError("NVIDIA driver: cuInit returned 803")

    machine(packages={})
    monkeypatch.setattr(doctor, "visible_gpus", fail)
    gpu = next(finding for finding in diagnose() if finding.name == "GPU")
    assert (gpu.status, gpu.detail) == ("broken", "NVIDIA driver: cuInit returned 803")


def test_onnxruntime_that_does_not_import_is_broken(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(packages={"onnxruntime": "1.31.1"})
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # makes the import raise
    found = {finding.name: finding for finding in diagnose()}
    assert found["onnxruntime"].status == "broken"
    assert found["run on CPU"].status == "broken"


def test_the_probe_is_a_valid_model_of_one_convolution() -> None:
    model = onnx.load_from_string(provider_probe.probe_model())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    x, w = np.full((2, 1, 1, 1, 1), 3, np.float32)
    y = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x, "w": w})[0]
    assert float(y.item()) == 9.0


def test_the_probe_refuses_a_provider_that_is_not_there() -> None:
    provider_probe.probe_provider("CPUExecutionProvider")
    with pytest.raises(EngineError, match="NoSuchProvider: this ONNX Runtime has only"):
        provider_probe.probe_provider("NoSuchProvider")


@pytest.mark.gpu("onnxruntime")
def test_the_probe_runs_on_the_gpu() -> None:
    provider_probe.probe_provider("CUDAExecutionProvider")


def test_every_package_of_an_extra_is_looked_at() -> None:
    found = {finding.name for finding in diagnose()}
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    section = project.split("[project.optional-dependencies]\n")[1].split("\n[")[0]
    extras = dict(re.findall(r"^(\w+) = \[(.*?)\](?=\s)", section, re.MULTILINE | re.DOTALL))
    assert {"cpu", "gpu", "rtx", "export", "plot", "serve", "video", "dev"} <= extras.keys()
    for extra in extras.keys() - {"dev", "docs"}:
        named = set(re.findall(r'"([A-Za-z0-9._-]+)[^"]*"', extras[extra]))
        assert named, extra
        assert named - {"onnxruntime-gpu"} <= found  # that one is found as onnxruntime


def test_video_and_the_service_are_jobs(machine: Machine) -> None:
    found = machine(packages={"av": "17.0.0", "fastapi": "0.139"}, modules=("av", "fastapi"))
    assert found["av"] == Finding("av", "ok", "17.0.0")
    assert found["write .mp4"].status == "ok"
    service = found["serve over HTTP"]
    assert (service.status, service.detail) == ("missing", "needs prometheus-client, uvicorn")
    assert service.remedy == install_command("serve")
    assert service.row()["what to do"] == service.remedy

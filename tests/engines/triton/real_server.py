"""A real Triton server: the one inside the nvidia-pytriton wheel, which runs on a CPU.

It has the python backend alone. Its Python is the system's, of the version that runs here, with
NumPy 1 as its stub was built for; what it needs lies beside the backend, where its stub looks.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

__all__ = ["Client", "Unavailable", "installed", "serving"]

ROOT = Path(__file__).parents[3]
PACKAGES = ("nvidia-pytriton==0.7.0", "numpy==1.26.4")
SHARED = ("flatbuffers", "onnxruntime", "packaging")  # in the versions that the tests run with
ONNXRUNTIME = Path(__file__).with_name("onnxruntime_backend.py")
PYTHON = ".".join(platform.python_version_tuple()[:2])
TYPES = {"float32": "FP32", "int64": "INT64"}
PATIENCE = 120.0  # seconds until the server is ready, or has ended


class Unavailable(Exception):
    """The server cannot be had on this machine."""


class Client:
    """Calls a server: NumPy in, NumPy out."""

    def __init__(self, address: str) -> None:
        self.raw = tritonclient.grpc.InferenceServerClient(address)

    def __call__(self, model: str, output: str = "image", **inputs: Any) -> np.ndarray:
        tensors = []
        for name, value in inputs.items():
            array = np.asarray(value)
            tensor = tritonclient.grpc.InferInput(name, array.shape, TYPES[str(array.dtype)])
            tensors.append(tensor.set_data_from_numpy(array))
        answer: np.ndarray = self.raw.infer(model, tensors).as_numpy(output)
        return answer

    def batches(self, model: str) -> dict[int, int]:
        """How many launches of each batch size a model has had."""
        (statistics,) = self.raw.get_inference_statistics(model).model_stats
        return {one.batch_size: one.compute_infer.count for one in statistics.batch_stats}


def installed(folder: Path) -> Path:
    """The server with its backends, downloaded into a folder if it is not there.

    Raises:
        Unavailable: the registry cannot be reached or has nothing for this machine, or the system
            has no Python of this version.
    """
    pins = [*PACKAGES, *(f"{name}=={version(name)}" for name in SHARED)]
    home = folder / "-".join([PYTHON, *(pin.partition("==")[2] for pin in pins)])
    if not home.exists():
        _install(pins, home)
    stub = home / "backends" / "python" / "triton_python_backend_stub"
    linked = subprocess.run(["ldd", stub], env=_environment(home), capture_output=True, text=True)
    lacking = [line.split()[0] for line in linked.stdout.splitlines() if "not found" in line]
    if lacking:
        raise Unavailable(f"Triton's python backend needs {lacking[0]} of the system")
    return home


@contextmanager
def serving(home: Path, *repositories: Path) -> Iterator[Client]:
    """Runs a server on loopback for as long as the block, and gives a client of it."""
    backend = home / "backends" / "onnxruntime"
    backend.mkdir(exist_ok=True)
    shutil.copy(ONNXRUNTIME, backend / "model.py")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--grpc-address=127.0.0.1", f"--grpc-port={port}", "--allow-http=false"]
    options += ["--allow-metrics=false", "--disable-auto-complete-config"]
    options += [f"--backend-directory={home / 'backends'}"]
    options += [f"--model-repository={path}" for path in repositories]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [home / "bin" / "tritonserver", *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(home),
        ) as process,
    ):
        client = Client(f"127.0.0.1:{port}")
        try:
            if not _is_ready(client, process):
                log.seek(0)
                lines = [line for line in log if line.startswith(("E", "error"))]
                raise AssertionError("The server did not become ready:\n" + "".join(lines[-20:]))
            yield client
        finally:
            client.raw.close()
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


def _install(pins: Sequence[str], home: Path) -> None:
    """Download the server, and lay it out as it wants to be."""
    partial = home.with_name(f".{home.name}.{os.getpid()}.partial")
    site = partial / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile"]
    pip += ["--only-binary", ":all:"]
    try:
        done = subprocess.run([*pip, "--target", site, *pins], capture_output=True, text=True)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise Unavailable(f"Triton's server: {(errors or [done.stderr[-300:]])[-1]}")
        server = site / "pytriton" / "tritonserver"
        python = server / "backends" / "python"
        shutil.copy(server / "python_backend_stubs" / PYTHON / "triton_python_backend_stub", python)
        for program in (server / "bin" / "tritonserver", python / "triton_python_backend_stub"):
            program.chmod(0o755)
        (server / "backends").rename(partial / "backends")
        (server / "bin").rename(partial / "bin")
        (site / "nvidia_pytriton.libs").rename(partial / "libs")
        shutil.rmtree(site / "pytriton")
        for path in site.iterdir():
            path.rename(partial / "backends" / "python" / path.name)
        (partial / "backends" / "python" / "stylert").symlink_to(ROOT)
        partial.rename(home)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_ready(client: Client, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            if client.raw.is_server_ready():
                return True
        except InferenceServerException:  # nobody listens yet
            pass
        time.sleep(0.05)
    return False


def _environment(home: Path) -> Mapping[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": str(home / "libs")}

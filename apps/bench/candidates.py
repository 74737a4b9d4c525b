"""What the benchmark can time: the contract of a candidate, the bundle's own backends, and a GEMM.

A candidate is described in the parent process (`Candidate`) and opened in a worker process, by its
factory: a function `factory(*, threads, **options) -> OpenCandidate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stylert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from stylert.runtime import Generator
    from stylert.runtime.backends.cuda.launch_timer import LaunchTimer

__all__ = [
    "GEMM",
    "GEMM_SHAPE",
    "HALF_GEMM_SHAPE",
    "TRUNCATION_PSI",
    "Candidate",
    "OpenCandidate",
    "open_gemm",
    "open_generator",
    "open_on",
]

TRUNCATION_PSI = 0.7  # of every candidate, so that all of them make the same pictures
GEMM_SHAPE = (1024, 2048, 2048)  # M, K, N of the CPU roofline's matrix product
HALF_GEMM_SHAPE = (8192, 8192, 8192)  # and of the GPU roofline's, large enough to fill any GPU


@dataclass(frozen=True)
class Candidate:
    """What to time: a name, and how a worker process opens it.

    The options cross a process boundary: they must be JSON values (a path arrives as text).
    """

    name: str  # 'onnxruntime', 'torch-eager', ...
    factory: str  # 'package.module:function' or 'path/to/file.py:function'; only workers import it
    options: Mapping[str, Any] = field(default_factory=dict)  # keyword arguments of the factory


class OpenCandidate(Protocol):
    """A candidate in its worker process, ready to be timed."""

    def prepare(self, batch: int) -> None:
        """Make the inputs for seeds 0 .. batch-1 at psi 0.7; compile if need be. Not timed.

        Of a conditional network the class is one for all, or seed mod c_dim.
        """

    def run(self) -> NDArray[np.float32]:
        """Make the prepared images: from z, through both networks, into host memory. Timed.

        Returns:
            The images, [N, C, H, W] float32 on the [-1, 1] scale.
        """

    def device_seconds(self) -> float | None:
        """What the last run took by the GPU's own clock; None on the CPU, or where nothing tells.

        From its first kernel to its last, gaps included: not the host's work before and after, nor
        the copy of the images to the host (but see a candidate that cannot leave that out).
        """
        return None

    def describe(self) -> Mapping[str, Any]:
        """Say what really runs: 'device' ('cpu' or 'cuda'), 'precision' ('fp32'), versions, ..."""

    def close(self) -> None:
        """Free what the candidate holds."""
        return


class _GeneratorCandidate(OpenCandidate):
    """A `Generator` on one backend: from seeds to images, as an application would."""

    def __init__(
        self,
        generator: Generator,
        timer: LaunchTimer | None = None,
        class_idx: int | None = None,
    ):
        self._generator = generator
        self._timer = timer
        self._class = class_idx
        self._seeds = range(0)
        self._classes: int | list[int] | None = None

    def prepare(self, batch: int) -> None:
        if batch > self._generator.max_batch:
            raise InvalidInput(
                f"Batch {batch} is above max_batch {self._generator.max_batch}, so it would be "
                f"drawn in pieces. Open the candidate with max_batch={batch}."
            )
        classes = self._generator.spec.c_dim
        self._seeds = range(batch)
        self._classes = self._class
        if classes and self._class is None:
            self._classes = [seed % classes for seed in self._seeds]

    def run(self) -> NDArray[np.float32]:
        return self._generator.generate(
            self._seeds, truncation_psi=TRUNCATION_PSI, class_idx=self._classes, output="img"
        )

    def device_seconds(self) -> float | None:
        return None if self._timer is None else self._timer.seconds()

    def describe(self) -> dict[str, Any]:
        description = self._generator.describe()
        if description.get("device") == "software":  # its speed says nothing of a GPU
            description["device"] = "cpu"
            description["software_adapter"] = description["device_name"]
        return {"device": description.get("provider"), **description}

    def close(self) -> None:
        self._generator.close()


def open_generator(
    *,
    bundle: str | Path,  # the bundle's directory
    max_batch: int,  # the largest batch that will be timed
    backend: str = "onnxruntime",
    provider: str = "cpu",
    class_idx: int | None = None,  # of all images; None = seed mod c_dim
    **opening: Any,  # the other arguments of `Generator.open`
) -> OpenCandidate:
    """Open a bundle as `Generator.open` does, on a GPU with its clock, and make it a candidate.

    Raises:
        StylertError: it does not open here.
    """
    generator, timer = open_on(
        bundle, max_batch=max_batch, backend=backend, provider=provider, **opening
    )
    return _GeneratorCandidate(generator, timer, class_idx)


def open_on(
    bundle: str | Path,
    *,
    max_batch: int,
    backend: str = "onnxruntime",
    provider: str = "cpu",
    **opening: Any,
) -> tuple[Generator, LaunchTimer | None]:
    """A generator on a backend, and the clock of its GPU; the arguments are as above.

    Raises:
        StylertError: it does not open here.
    """
    from stylert.runtime import Generator
    from stylert.runtime.backends import open_session
    from stylert.runtime.backends.cuda.launch_timer import LaunchTimer
    from stylert.runtime.bundle import Bundle

    timer = None
    if provider not in ("cpu", "webgpu"):
        from stylert.runtime.backends.cuda.device import open_device

        timer = LaunchTimer(open_device())
    opened = Bundle.open(bundle)
    session, choice = open_session(
        opened, backend=backend, provider=provider, timer=timer, **opening
    )
    return Generator(opened, session, max_batch=max_batch, choice=choice), timer


class _Gemm(OpenCandidate):
    """A float32 matrix product in NumPy, the same for every batch size."""

    def __init__(self, threads: int):
        M, K, N = GEMM_SHAPE
        random = np.random.RandomState(0)
        self._threads = threads
        self._a = random.standard_normal((M, K)).astype(np.float32)  # [M, K]
        self._b = random.standard_normal((K, N)).astype(np.float32)  # [K, N]
        self._y = np.empty((M, N), np.float32)  # [M, N]
        self._batch = 0

    def prepare(self, batch: int) -> None:
        self._batch = batch

    def run(self) -> NDArray[np.float32]:
        np.matmul(self._a, self._b, out=self._y)
        return np.broadcast_to(self._y, (self._batch, 1, *self._y.shape))  # [N, 1, M, N], a view

    def describe(self) -> dict[str, Any]:
        blas = np.show_config(mode="dicts") or {}
        library = blas.get("Build Dependencies", {}).get("blas", {})
        return {
            "backend": "numpy",
            "device": "cpu",
            "precision": "fp32",
            "threads": self._threads,
            "blas": f"{library.get('name', '?')} {library.get('version', '?')}",
            "version": np.__version__,
        }


def open_gemm(*, threads: int) -> OpenCandidate:
    """Open the roofline: what this machine's float32 GEMM reaches with as many threads."""
    return _Gemm(threads)


GEMM = Candidate("gemm", f"{__name__}:open_gemm")

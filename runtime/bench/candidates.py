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
    from stylert.runtime.generator import Generator

__all__ = [
    "GEMM",
    "GEMM_SHAPE",
    "TRUNCATION_PSI",
    "Candidate",
    "OpenCandidate",
    "open_gemm",
    "open_generator",
]

TRUNCATION_PSI = 0.7  # of every candidate, so that all of them make the same pictures
GEMM_SHAPE = (1024, 2048, 2048)  # M, K, N of the roofline's matrix product


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
        """Make the inputs for seeds 0 .. batch-1 at psi 0.7; compile if need be. Not timed."""

    def run(self) -> NDArray[np.float32]:
        """Make the prepared images: from z, through both networks, into host memory. Timed.

        Returns:
            The images, [N, C, H, W] float32 on the [-1, 1] scale.
        """

    def describe(self) -> Mapping[str, Any]:
        """Say what really runs: 'device' ('cpu' or another), 'precision' ('fp32'), versions, ..."""

    def close(self) -> None:
        """Free what the candidate holds."""


class _GeneratorCandidate:
    """A `Generator` on one backend: mapping and synthesis, both timed."""

    def __init__(self, generator: Generator):
        self._generator = generator
        self._z: NDArray[np.float32]
        self._c: NDArray[np.float32] | None

    def prepare(self, batch: int) -> None:
        from stylert.runtime.latents import labels_of, z_from_seeds

        if batch > self._generator.max_batch:
            raise InvalidInput(
                f"Batch {batch} is above max_batch {self._generator.max_batch}, so it would be "
                f"drawn in pieces. Open the candidate with max_batch={batch}."
            )
        spec, seeds = self._generator.spec, range(batch)
        classes = [seed % spec.c_dim for seed in seeds] if spec.c_dim else None
        self._z = z_from_seeds(seeds, spec.z_dim)  # [N, z_dim]
        self._c = labels_of(classes, None, batch=batch, c_dim=spec.c_dim)  # [N, c_dim]

    def run(self) -> NDArray[np.float32]:
        ws = self._generator.map(self._z, self._c, truncation_psi=TRUNCATION_PSI)
        return self._generator.synthesize(ws, noise_mode="const", output="img")  # [N, C, H, W]

    def describe(self) -> dict[str, Any]:
        description = self._generator.describe()
        return {"device": description["provider"], **description}

    def close(self) -> None:
        self._generator.close()


def open_generator(
    *,
    bundle: str | Path,  # the bundle's directory
    threads: int,  # of one call on the CPU
    max_batch: int,  # the largest batch that will be timed
    backend: str = "onnxruntime",
    provider: str = "cpu",
) -> OpenCandidate:
    """Open a bundle as an application would, and make it a candidate.

    Raises:
        StylertError: `Generator.open` refused.
    """
    from stylert.runtime.generator import Generator

    generator = Generator.open(
        bundle, backend=backend, provider=provider, threads=threads, max_batch=max_batch
    )
    return _GeneratorCandidate(generator)


class _Gemm:
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

    def close(self) -> None:
        pass


def open_gemm(*, threads: int) -> OpenCandidate:
    """Open the roofline: what this machine's float32 GEMM reaches with as many threads."""
    return _Gemm(threads)


GEMM = Candidate("gemm", f"{__name__}:open_gemm")

"""Threads that draw and see at the same time, each with one thread of ONNX Runtime.

A generator and a feature network that both use all CPUs take turns, and the idle threads of the one
spin while the other works: a quarter of the throughput. Calls of one thread have nobody that spins.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylert.runtime.machine import usable_cpus

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["open_for_workers"]


def open_for_workers(
    path: str | Path, *, threads: int | None = None, max_batch: int = 8, **opening: Any
) -> tuple[Generator, int]:
    """Open a bundle so that several threads draw at the same time, where that is faster.

    That is with ONNX Runtime on a CPU of several. Elsewhere the bundle is opened as asked for.

    Args:
        path: of the bundle.
        threads: CPU threads, None = all CPUs that this process may use.
        max_batch: pictures that are drawn at the same time, by all threads together.
        opening: other arguments of `Generator.open`.

    Returns:
        The generator, and for how many threads it is.

    Raises:
        BundleError, InvalidInput, MissingExtra, EngineError: see `Generator.open`.
    """
    import stylert

    whole = {**opening, "threads": threads, "max_batch": max_batch}
    cpus = usable_cpus() if threads is None else threads
    workers = min(cpus, max_batch)
    if workers < 2:
        return stylert.open(path, **whole), 1
    # All calls share one pool: with those who call, it has as many threads as there are CPUs.
    parts = {"threads": cpus - workers + 1, "max_batch": max_batch // workers}
    generator = stylert.open(path, **{**opening, **parts})
    facts = generator.describe()
    if (facts.get("backend"), facts.get("provider")) == ("onnxruntime", "cpu"):
        return generator, workers
    generator.close()
    return stylert.open(path, **whole), 1

"""Threads that draw at the same time, each with one thread of ONNX Runtime.

The threads of one call wait for each other at every node of the graph, and spin meanwhile: of small
pictures that is up to half of their time. Calls of one thread have nobody to wait for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stylert.runtime.arguments import check_integer
from stylert.runtime.errors import EngineError
from stylert.runtime.machine import MAX_THREADS, usable_cpus, visible_gpus

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["Call", "count_workers", "open_for_workers"]


class Call(NamedTuple):
    """What a call takes: it decides how the backend rounds."""

    threads: int
    batch: int  # pictures, at most


def open_for_workers(
    path: str | Path,
    *,
    threads: int | None = None,
    max_batch: int = 8,
    call: Call | None = None,
    **opening: Any,
) -> tuple[Generator, int]:
    """Open a bundle so that several threads draw at the same time, where that is faster.

    That is with ONNX Runtime on a CPU of several. Elsewhere the bundle is opened as asked for.
    There is one session for all: the weights are in memory once.

    Args:
        path: of the bundle.
        threads: CPU threads, None = all CPUs that this process may use.
        max_batch: pictures that are drawn at the same time, by all threads together.
        call: what each call takes, None = as few threads as there can be.
        opening: other arguments of `Generator.open`.

    Returns:
        The generator, and for how many threads it is.

    Raises:
        BundleError, InvalidInput, MissingExtra, EngineError: see `Generator.open`.
    """
    import stylert

    whole = {**opening, "threads": threads, "max_batch": max_batch}
    if threads is not None:
        check_integer("threads", threads, 1, MAX_THREADS)
    cpus = threads or usable_cpus()
    if call is None:
        if (most := min(cpus, max_batch)) < 2:
            return stylert.open(path, **whole), 1
        # All calls share one pool: with those who call, it has as many threads as there are CPUs.
        call = Call(cpus - most + 1, max_batch // most)
    parts = {**opening, "threads": call.threads, "max_batch": call.batch}
    expected = _expects_cpu(opening)
    generator = stylert.open(path, **(parts if expected else whole))
    if (found := _is_on_cpu(generator)) != expected:
        generator.close()
        generator = stylert.open(path, **(parts if found else whole))
    return generator, count_workers(generator, cpus, max_batch) if found else 1


def count_workers(generator: Generator, cpus: int | None = None, max_batch: int = 8) -> int:
    """How many threads may draw at the same time, at least 1.

    Args:
        generator: what draws.
        cpus: for all of them, None = all CPUs that this process may use.
        max_batch: pictures that all of them draw at the same time.
    """
    cpus = usable_cpus() if cpus is None else cpus
    if not _is_on_cpu(generator):
        return 1
    free = cpus - int(generator.describe()["threads"]) + 1
    return max(1, min(free, max_batch // generator.max_batch))


def _expects_cpu(opening: Mapping[str, Any]) -> bool:
    """Whether ONNX Runtime will draw on the CPU: a guess, as a session is slow to open twice."""
    backend, provider = opening.get("backend", "auto"), opening.get("provider", "auto")
    if backend not in ("auto", "onnxruntime") or opening.get("gpu") is not None:
        return False
    # In 8 bits 'auto' takes OpenVINO, if it is there.
    if backend == "auto" and opening.get("precision") == "int8":
        return False
    if provider != "auto":
        return bool(provider == "cpu")
    try:
        return not visible_gpus()
    except EngineError:  # of a driver that does not start
        return True


def _is_on_cpu(generator: Generator) -> bool:
    facts = generator.describe()
    return (facts.get("backend"), facts.get("provider")) == ("onnxruntime", "cpu")

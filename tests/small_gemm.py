"""The roofline of the benchmark, small: what tests of the benchmark time beside the candidates."""

from __future__ import annotations

from stylert.apps.bench import candidates


def open_small_gemm(*, threads: int) -> candidates.OpenCandidate:
    """The real one takes a second of a worker's time. It is tried in apps/bench/."""
    candidates.GEMM_SHAPE = (64, 64, 64)
    return candidates.open_gemm(threads=threads)

"""The benchmark: times candidates in turn, each in its own process, and checks what it timed.

Every round gives each candidate one turn: A B C, A B C, ... so that a machine which slows down
slows all of them. The first turn of a round is a float32 GEMM, the roofline of that very minute;
with GPUs, the second is a half GEMM there. On a GPU, calls are timed by its own clock too.
Only one worker computes at a time; the others wait on their pipes.

    result = run_bench(
        [
            Candidate("onnxruntime", "stylert.apps.bench.candidates:open_generator",
                      {"bundle": "ffhq", "max_batch": 8}),
            Candidate("torch-eager", "stylert.apps.bench.torch_baselines:open_eager",
                      {"checkpoint": ...}),
        ],
        batches=(1, 4, 8),
        macs_per_image=27_000_000_000,
    )
    Path("bench.json").write_text(result.to_json())
"""

from __future__ import annotations

from stylert.apps.bench.candidates import Candidate, OpenCandidate
from stylert.apps.bench.plot import plot
from stylert.apps.bench.report import BenchResult, CandidateReport, Measurement, Row
from stylert.apps.bench.run import run_bench

__all__ = [
    "BenchResult",
    "Candidate",
    "CandidateReport",
    "Measurement",
    "OpenCandidate",
    "Row",
    "plot",
    "run_bench",
]

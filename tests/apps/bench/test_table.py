"""The table of a benchmark, of samples that are known."""

from __future__ import annotations

from stylert.apps.bench import BenchResult, CandidateReport, Measurement
from stylert.apps.bench.report import make_table
from stylert.runtime.proof.parity import Difference


def test_the_table() -> None:
    turns, half = ((2e-3,), (2e-3,)), ((1e-3,), (1e-3,))
    on_gpu = Measurement(
        *("tensorrt", 4, half, half),
        peak_mb=99.6,
        difference=Difference(2e-5, 2e-4, 80.0, True),
        device_rounds=((5e-4,), (5e-4,)),
    )
    result = BenchResult(
        subject="known",
        macs_per_image=10**9,
        settings={},
        machine={},
        reference="torch-eager",
        baseline="torch-eager",
        gemm_shape=(1000, 1000, 1000),
        gemm=CandidateReport("gemm", "m:f"),
        candidates=(
            CandidateReport("torch-eager", "m:f"),
            CandidateReport("tensorrt", "m:f", description={"device": "cuda"}, startup_seconds=1),
        ),
        measurements=(Measurement("torch-eager", 4, turns, turns), on_gpu),
        roofline=(Measurement("gemm", 4, half, half),),
    )
    cpu, gpu = make_table(result)
    assert cpu == {
        "candidate": "torch-eager",
        "batch": "4",
        "median": "2.0 ms",
        "p95": "2.0 ms",
        "on the GPU": "-",
        "images/s": "2000.00",
        "speed": "1.00x",
        "GFLOP/s": "4000",
        "of GEMM": "200 %",
        "peak MB": "-",
        "start-up": "-",
        "max |d|": "-",
    }
    assert (
        gpu
        | {
            "candidate": "tensorrt",
            "median": "1.0 ms",
            "on the GPU": "0.50 ms",
            "speed": "2.00x",
            "of GEMM": "-",
            "peak MB": "100",
            "start-up": "1.0 s",
            "max |d|": "0.0002",
        }
        == gpu
    )
    assert cpu.keys() == gpu.keys()

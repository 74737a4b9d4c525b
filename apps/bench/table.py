"""A benchmark's result as a table for people."""

from __future__ import annotations

from stylert.apps.bench.report import BenchResult

__all__ = ["make_table"]


def make_table(result: BenchResult) -> list[dict[str, str]]:
    """The rows of a result as texts, by heading; '-' is what was not measured."""
    return [
        {
            "candidate": row.candidate,
            "batch": str(row.batch),
            "median": f"{row.median * 1e3:.1f} ms",
            "p95": f"{row.p95 * 1e3:.1f} ms",
            "on the GPU": _or_dash(row.device_median, "{:.2f} ms", 1e3),
            "images/s": f"{row.images_per_second:.2f}",
            "speed": _or_dash(row.speedup, "{:.2f}x"),
            "GFLOP/s": f"{row.gflops:.0f}",
            "of GEMM": _or_dash(row.roofline_percent, "{:.0f} %"),
            "peak MB": _or_dash(row.peak_mb, "{:.0f}"),
            "start-up": _or_dash(row.startup_seconds, "{:.1f} s"),
            "max |d|": _or_dash(row.difference.max_abs if row.difference else None, "{:.1g}"),
        }
        for row in result.rows()
    ]


def _or_dash(value: float | None, form: str, factor: float = 1) -> str:
    return "-" if value is None else form.format(value * factor)

"""The picture of a benchmark: images per second of each candidate, one panel per batch size."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylert.apps.bench.report import BenchResult, Row
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import publish_file
from stylert.runtime.packages import import_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot"]

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#9c6b4e", "#a463f2", "#97bbf5")
INK, FAINT = "#1f2328", "#6e7781"


def plot(result: BenchResult, path: str | Path) -> None:
    """Draw a benchmark into a file; its suffix says the format (.png, .svg, .pdf).

    A bar is the rate of the median call; the dots are all calls.

    Raises:
        MissingExtra: matplotlib is not installed, or does not load.
        InvalidInput: matplotlib does not know the format, or the file cannot be written.
    """
    mpl = import_extra("matplotlib", "matplotlib", extra="plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = result.rows()
    batches = list(dict.fromkeys(row.batch for row in rows))
    panels = [[row for row in rows if row.batch == batch] for batch in batches]
    footer = _footer(result)
    # All in inches.
    head, bar, gap, foot = 0.95, 0.42, 0.34, 0.42 + 0.14 * len(footer)
    height = head + foot + bar * len(rows) + gap * (len(panels) - 1)
    with mpl.rc_context({"font.family": "sans-serif", "font.size": 10, "text.color": INK}):
        figure = Figure(figsize=(9, height), dpi=160, facecolor="white")
        FigureCanvasAgg(figure)
        colours = {c.name: COLOURS[i % len(COLOURS)] for i, c in enumerate(result.candidates)}
        fastest = max(max(row.batch / s for s in _samples(result, row)) for row in rows)
        bottom = height - head + gap
        for panel in panels:
            bottom -= gap + bar * len(panel)
            axes = figure.add_axes((0.19, bottom / height, 0.78, bar * len(panel) / height))
            axes.set_xlim(0, fastest * 1.62)  # the rest is for the labels
            axes.set_xticks([tick for tick in axes.get_xticks() if tick <= fastest])
            _draw_panel(axes, result, panel, colours, is_last=panel is panels[-1])
        title = "Images per second" + (f": {result.subject}" if result.subject else "")
        figure.text(0.02, 1 - 0.32 / height, title, size=14, weight="bold", va="center")
        figure.text(0.02, 1 - 0.60 / height, _subtitle(result), size=9, color=FAINT, va="center")
        figure.text(0.02, 0.12 / height, "\n".join(footer), size=8, color=FAINT, va="bottom")
        try:
            with publish_file(path) as partial:
                figure.savefig(partial, format=Path(path).suffix[1:] or None)
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"Plot: cannot write '{path}' ({error}). Choose a .png, .svg or .pdf file in a "
                "directory that can be written."
            ) from None


def _draw_panel(
    axes: Axes,
    result: BenchResult,
    rows: list[Row],
    colours: dict[str, str],
    *,
    is_last: bool,
) -> None:
    """Draw a batch size: a bar, its calls and its label for each candidate."""
    places = range(len(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first on top
    rates = [row.images_per_second for row in rows]
    bar_colours = [colours[row.candidate] for row in rows]
    dots: dict[str, Any] = {"s": 7, "color": INK, "alpha": 0.35, "linewidths": 0, "zorder": 3}
    beside: dict[str, Any] = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
    beside["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # hides the lines
    axes.barh(places, rates, height=0.68, color=bar_colours, zorder=2)
    for place, row in zip(places, rows, strict=True):
        calls = [row.batch / seconds for seconds in _samples(result, row)]
        axes.scatter(calls, [place] * len(calls), **dots)
        end = max(*calls, row.images_per_second)
        rate, details = _number(row.images_per_second), _details(row, result.baseline)
        label = axes.annotate(rate, (end, place), weight="bold", **beside)
        axes.annotate(details, (1, 0.5), xycoords=label, size=8.5, color=FAINT, **beside)
    axes.set_yticks(places, [row.candidate for row in rows])
    axes.set_title(f"batch {rows[0].batch}", loc="left", size=10, weight="bold", pad=4)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.tick_params(axis="x", length=0, labelcolor=FAINT, labelsize=8, labelbottom=is_last)
    axes.grid(axis="x", color="#e6e8eb", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _details(row: Row, baseline: str | None) -> str:
    if row.passed is False:
        return "WRONG IMAGES"
    parts = []
    if row.device_median is not None:
        parts.append(f"{row.device_median * 1e3:.2f} ms on the GPU")
    if row.roofline_percent is not None:
        parts.append(f"{row.roofline_percent:.0f} % of GEMM")
    if row.speedup is not None and row.candidate != baseline:
        parts.append(f"{row.speedup:.2f}x")
    return "  ·  ".join(parts)


def _subtitle(result: BenchResult) -> str:
    rounds = _span([row.rounds for row in result.rows()])
    threads = result.settings["threads"]
    cpu = f"{result.machine.get('cpu', 'unknown CPU')}, {threads} thread{'s'[: threads != 1]}"
    return (
        f"{'; '.join([cpu, *dict.fromkeys(result.machine.get('gpus', ()))])}; "
        f"from z, mapping and synthesis; bar: median call, dots: all calls, {rounds} rounds"
    )


def _footer(result: BenchResult) -> list[str]:
    """Say what the percentages and the factors mean, and who is missing."""
    lines = []
    gflops = [result.roofline_gflops(gemm.batch) for gemm in result.roofline]
    known = [value for value in gflops if value is not None]
    if known:
        M, K, N = result.gemm_shape
        lines.append(
            f"100 % = the median float32 GEMM ({M} x {K} x {N}, NumPy) of the same rounds: "
            f"{_span(known)} GFLOP/s; {2e-9 * result.macs_per_image:.3g} GFLOP per image"
        )
    half = [result.device_roofline_gflops(gemm.batch) for gemm in result.device_roofline]
    if result.device_gemm_shape and (found := [value for value in half if value is not None]):
        M, K, N = result.device_gemm_shape
        lines.append(
            f"On the GPU: 100 % = the median half GEMM ({M} x {K} x {N}) of the same rounds, "
            f"{_span([value / 1e3 for value in found])} TFLOP/s, both by the GPU's own clock"
        )
    if any(row.candidate != result.baseline and row.speedup is not None for row in result.rows()):
        lines.append(f"1.00x = {result.baseline}")
    for name, reason in result.failures().items():
        lines.append(f"{name} failed: {reason}")
    disturbed, measured = len(result.disturbances()), len(result.measurements + result.roofline)
    if disturbed:
        lines.append(
            f"Other processes took CPU time from {disturbed} of {measured} measurements: "
            "repeat this on a quiet machine."
        )
    return [part for line in lines for part in textwrap.wrap(line, 140)]


def _span(values: Sequence[float]) -> str:
    """Write from the least to the greatest, or once what is the same."""
    return " to ".join(dict.fromkeys(f"{value:.0f}" for value in (min(values), max(values))))


def _samples(result: BenchResult, row: Row) -> tuple[float, ...]:
    measurement = result.measurement(row.candidate, row.batch)
    assert measurement is not None
    return measurement.samples


def _number(value: float) -> str:
    """Write a rate with three digits: 0.123, 1.23, 12.3, 123, 1234."""
    digits = next((d for limit, d in ((1, 3), (10, 2), (100, 1)) if value < limit), 0)
    return f"{value:.{digits}f}"

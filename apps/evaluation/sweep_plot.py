"""The chart of a truncation sweep: every figure by psi, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stylert.apps.evaluation.evaluation import Evaluation
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import publish_file
from stylert.runtime.packages import import_extra

__all__ = ["check_plot", "plot_sweep"]

SUFFIXES = (".png", ".svg", ".pdf")
COLOUR = "#4269d0"


def check_plot(path: Path) -> None:
    """Refuse a chart that cannot be drawn, before any work is done.

    Raises:
        MissingExtra: matplotlib is not installed.
        InvalidInput: another suffix.
    """
    import_extra("matplotlib", "matplotlib", extra="plot")
    if path.suffix not in SUFFIXES:
        raise InvalidInput(f"plot: got {path.name!r}, expected {', '.join(SUFFIXES)}.")


def plot_sweep(sweep: Mapping[float, Evaluation], path: Path) -> None:
    """Draw a chart into a file; its suffix says the format.

    Args:
        sweep: what was found, by psi.
        path: the file; it appears whole or not at all.
    """
    import_extra("matplotlib", "matplotlib", extra="plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = next(iter(sweep.values()))
    names = list(first.figures)
    figure = Figure(figsize=(7, 2.2 * len(names) + 0.8), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"By truncation psi, in features of {first.network['name']}")
    for number, name in enumerate(names, 1):
        axes = figure.add_subplot(len(names), 1, number)
        values = [found.figures[name] for found in sweep.values()]
        around = [value.interval or (value.value, value.value) for value in values]
        errors = np.abs(np.array(around).T - [value.value for value in values])  # [2, psis]
        axes.errorbar(list(sweep), [v.value for v in values], errors, color=COLOUR, marker="o")
        axes.set_ylabel(name)
    axes.set_xlabel("truncation psi")
    with publish_file(path) as partial:
        figure.savefig(partial, format=path.suffix[1:])

"""What `stylert evaluate` tells: the figures in tables, or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stylert.commands import console

if TYPE_CHECKING:
    from stylert.apps.evaluation import Estimate, Evaluation, FeatureNetwork

__all__ = ["tell", "tell_all"]


def tell_all(
    found: Mapping[float | None, Evaluation], network: FeatureNetwork, *, as_json: bool
) -> None:
    """Tell the figures by psi, None = of one evaluation."""
    if None in found:
        result = found[None]
        about = _count(result)
        tell(result.to_json(), result.figures, network, "Figures", about, as_json=as_json)
        if not as_json:
            _tell_classes(result, "By class")
        return None
    if as_json:
        told = [{"psi": psi, **result.to_json()} for psi, result in found.items()]
        return console.print_json({"sweep": told})
    rows = [_make_row("psi", f"{psi:g}", result.figures) for psi, result in found.items()]
    console.print_table(rows, title="By truncation", numbers=True)
    for psi, result in found.items():
        _tell_classes(result, f"At psi {psi:g}")
    console.say(f"{_count(next(iter(found.values())))} at each psi, {_name(network)}")
    return None


def _count(result: Evaluation) -> str:
    data = "" if result.data is None else f" against {result.data} of the data"
    return f"{result.drawn} drawn pictures{data}"


def _tell_classes(result: Evaluation, title: str) -> None:
    if result.by_class:
        rows = [_make_row("class", str(c), row) for c, row in result.by_class.items()]
        console.print_table(rows, title=title, numbers=True)


def tell(
    told: Any,
    figures: Mapping[str, Estimate],
    network: FeatureNetwork,
    title: str,
    about: str,
    *,
    as_json: bool,
) -> None:
    """Tell the figures of one evaluation, and what they are of."""
    if as_json:
        return console.print_json(told)
    rows = []
    for name, figure in figures.items():
        interval = figure.interval
        spread = "" if figure.spread is None else f"spread {figure.spread:.4g}"
        around = spread if interval is None else f"{interval[0]:.5g} to {interval[1]:.5g}"
        rows.append({"figure": name, "value": f"{figure.value:.5g}", "95 %": around})
    console.print_table(rows, title=title, numbers=True)
    console.say(f"{about}, {_name(network)}")
    return None


def _make_row(what: str, value: str, figures: Mapping[str, Estimate]) -> dict[str, str]:
    return {what: value, **{name: f"{figure.value:.5g}" for name, figure in figures.items()}}


def _name(network: FeatureNetwork) -> str:
    licence = f" ({network.licence})" if network.licence else ""
    return f"in features of {network.name}{licence}"

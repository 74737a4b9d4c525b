"""Which convolutions stay in float32: as few multiply-adds as hold the floor, for this checkpoint.

The errors of the layers are independent of each other, nearly: their mean squares add up. So each
layer is left out once, and what its absence saves tells which of them have to go. That is a guess,
which is measured, and made again with a stricter goal where it was not enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from stylert.export.int8.quality import Quality

__all__ = ["Found", "find_float32_layers"]

MOST_FLOAT32 = 0.6  # of the multiply-adds: with more of them in float32, INT8 gains nothing
_SWITCH = 0.02  # of the multiply-adds: the price of a layer in float32 among others, whatever it is
_FEW = 4  # up to so many layers, every choice is looked at
_STRICTER = 0.93  # of the error that is aimed at, after a guess that was not enough

Measure = Callable[[frozenset[str]], Quality]  # of the graph with these layers in float32


@dataclass(frozen=True)
class Found:
    """Where the search ended.

    Attributes:
        float32: the layers that stay in float32.
        quality: of the graph with them.
        costs: mean square error that each layer adds; empty where nothing was searched.
    """

    float32: frozenset[str]
    quality: Quality
    costs: Mapping[str, float]


def find_float32_layers(
    work: Mapping[str, int], measure: Measure, floor_db: float, all_int8: Quality
) -> Found:
    """Leave layers in float32 until the pictures reach a floor, or too few are left.

    Args:
        work: multiply-adds of each layer.
        measure: draws pictures, and compares them.
        floor_db: of the PSNR of all pictures.
        all_int8: with all layers in 8 bits.

    Returns:
        The cheapest choice that holds; where none does, the best there is.
    """
    if all_int8.psnr_db >= floor_db or len(work) < 2:
        return Found(frozenset(), all_int8, {})
    costs = {name: all_int8.error - measure(frozenset([name])).error for name in work}
    best = Found(frozenset(), all_int8, costs)
    most = MOST_FLOAT32 * sum(work.values())
    prices = {name: count + _SWITCH * sum(work.values()) for name, count in work.items()}
    goal = all_int8.error * 10 ** ((all_int8.psnr_db - floor_db) / 10)
    tried = {frozenset[str]()}
    while True:
        chosen = _choose(prices, costs, all_int8.error - goal)
        if _add(work, chosen) > most:
            return max(
                best, _fill(work, prices, costs, most, measure), key=lambda f: f.quality.psnr_db
            )
        if chosen not in tried:
            tried.add(chosen)
            quality = measure(chosen)
            if quality.psnr_db > best.quality.psnr_db:
                best = Found(chosen, quality, costs)
            if quality.psnr_db >= floor_db:
                return best
        if len(chosen) == len(work):
            return best
        goal *= _STRICTER


def _choose(
    prices: Mapping[str, float], costs: Mapping[str, float], saved: float
) -> frozenset[str]:
    """The layers of the lowest price that save so much error; all, if none do."""
    choices = [
        chosen
        for size in range(1, _FEW + 1)
        for chosen in itertools.combinations(costs, size)
        if _add(costs, chosen) >= saved
    ]
    many = _rank(prices, costs)
    if _add(costs, many) >= saved:
        for name in sorted(many, key=lambda name: -prices[name]):
            if _add(costs, [one for one in many if one != name]) >= saved:
                many.remove(name)
        choices.append(tuple(many))
    if not choices:
        return frozenset(costs)
    return frozenset(min(choices, key=lambda chosen: _add(prices, chosen)))


def _rank(prices: Mapping[str, float], costs: Mapping[str, float]) -> list[str]:
    """The layers that cost any quality, those first that cost most for their price."""
    some = [name for name in costs if costs[name] > 0]
    return sorted(some, key=lambda name: -costs[name] / prices[name])


def _fill(
    work: Mapping[str, int],
    prices: Mapping[str, float],
    costs: Mapping[str, float],
    most: float,
    measure: Measure,
) -> Found:
    """How far it gets with as much in float32 as may be."""
    chosen: list[str] = []
    for name in _rank(prices, costs):
        if _add(work, [*chosen, name]) <= most:
            chosen.append(name)
    return Found(frozenset(chosen), measure(frozenset(chosen)), costs)


def _add(values: Mapping[str, float], names: Iterable[str]) -> float:
    return sum(values[name] for name in names)

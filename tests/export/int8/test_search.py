"""The search: the fewest multiply-adds that hold the floor, or how far it gets."""

from __future__ import annotations

import math

import pytest

from stylert.export.int8.quality import Quality
from stylert.export.int8.search import MOST_FLOAT32, find_float32_layers

WORK = {"a": 10, "b": 30, "c": 20, "d": 40}
ERRORS = {"a": 1e-4, "b": 5e-4, "c": 4e-4, "d": 2e-4}  # of each layer; they add up


def make_quality(error: float) -> Quality:
    return Quality(10 * math.log10(4 / error), 0.0, 0.0, 1)


class Network:
    """Layers whose errors add up, and what was measured of them."""

    def __init__(self, more: float = 0.0) -> None:
        self.measured: list[frozenset[str]] = []
        self.more = more  # error that no layer takes away

    def measure(self, float32: frozenset[str]) -> Quality:
        self.measured.append(float32)
        return make_quality(sum(e for n, e in ERRORS.items() if n not in float32) + self.more)

    def find(self, floor_db: float) -> tuple[set[str], float]:
        all_int8 = self.measure(frozenset())
        found = find_float32_layers(WORK, self.measure, floor_db, all_int8)
        return set(found.float32), found.quality.psnr_db


@pytest.mark.parametrize(
    ("error", "float32"),
    [
        (12e-4, set()),  # it holds as it is
        (11.5e-4, {"a"}),
        (10e-4, {"c"}),  # b would save enough, too, and costs more
        (6.9e-4, {"a", "b"}),
        (3.1e-4, {"b", "c"}),
        (2.1e-4, {"a", "b", "c"}),
    ],
)
def test_the_cheapest_that_holds(error: float, float32: set[str]) -> None:
    floor = make_quality(error).psnr_db - 1e-6
    network = Network()
    found, psnr = network.find(floor)
    assert found == float32
    assert psnr >= floor
    assert len(network.measured) <= 1 + len(WORK) + 2


def test_a_guess_that_was_not_enough_is_made_again() -> None:
    floor = make_quality(8e-4).psnr_db
    found, psnr = Network(more=1e-4).find(floor)
    assert psnr >= floor
    assert sum(WORK[name] for name in found) <= MOST_FLOAT32 * 100


def test_how_far_it_gets() -> None:
    found, psnr = Network(more=1e-2).find(40)
    assert found == {"a", "b", "c"}  # 60 of 100
    assert psnr == pytest.approx(make_quality(1e-2 + 2e-4).psnr_db)

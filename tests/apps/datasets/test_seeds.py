"""Seeds: ranges stay ranges, in their order, each seed once."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from stylert.apps.datasets import Seeds


def listed(seeds: Seeds) -> list[int]:
    return [seed for part in seeds.ranges for seed in part]


@pytest.mark.parametrize(
    ("text", "expected", "canonical"),
    [
        ("7", [7], "7"),
        ("0-3,7,2", [0, 1, 2, 3, 7], "0-3,7"),
        (" 5 - 6 ,1", [5, 6, 1], "5-6,1"),
        ("2-3,0-6", [2, 3, 0, 1, 4, 5, 6], "2-3,0-1,4-6"),
        ("1,3,5,0-6", [1, 3, 5, 0, 2, 4, 6], "1,3,5,0,2,4,6"),
        ("4-5,2-3,3-4", [4, 5, 2, 3], "4-5,2-3"),
        ("4294967295", [4294967295], "4294967295"),
    ],
)
def test_a_list_is_read(text: str, expected: list[int], canonical: str) -> None:
    seeds = Seeds.parse(text)
    assert listed(seeds) == expected
    assert len(seeds) == len(expected)
    assert str(seeds) == canonical
    assert listed(Seeds.parse(canonical)) == expected
    assert all(seed in seeds for seed in expected)
    assert max(expected) + 1 not in seeds


def test_what_comes_again_is_left_out_however_ranges_meet() -> None:
    spans = [range(a, b) for a, b in itertools.combinations(range(6), 2)]
    for three in itertools.product(spans, repeat=3):
        expected = list(dict.fromkeys(itertools.chain(*three)))
        assert listed(Seeds(three)) == expected


def test_any_part_is_found() -> None:
    seeds = Seeds.parse("3-5,10,0-1,20-22")
    expected = listed(seeds)
    for start, stop in itertools.combinations_with_replacement(range(len(expected) + 1), 2):
        assert seeds.between(start, stop) == expected[start:stop]


def test_all_seeds_that_there_are() -> None:
    seeds = Seeds.parse("5,0-4294967295")
    assert len(seeds) == 2**32
    assert seeds.between(2**32 - 2, 2**32) == [2**32 - 2, 2**32 - 1]
    assert seeds.between(2**31, 2**31 + 2) == [2**31, 2**31 + 1]
    assert str(seeds) == "5,0-4,6-4294967295"


def test_integers_become_ranges() -> None:
    assert Seeds.of(7) == Seeds.parse("7")
    assert Seeds.of(range(50_000)).ranges == (range(50_000),)
    assert Seeds.of([4, 5, 6, 1, 2, 9]).ranges == (range(4, 7), range(1, 3), range(9, 10))
    assert Seeds.of(range(6, 0, -2)) == Seeds.parse("6,4,2")
    assert Seeds.of(np.array([1, 2])) == Seeds.of([1, 2, 1])
    assert hash(Seeds.of([1, 2])) == hash(Seeds.parse("1-2"))
    assert Seeds.of([1, 2]) != Seeds.of([2, 1])


@pytest.mark.parametrize("text", ["", "a", "1,", "1-", "-1", "5-3", "1-2-3", "4294967296", "1.5"])
def test_what_is_no_list(refuses: Any, text: str) -> None:
    with refuses("seeds: got "):
        Seeds.parse(text)


@pytest.mark.parametrize("seeds", [[], [-1], [2**32], ["1"], [True], 1.5, range(0), range(-1, 2)])
def test_what_are_no_seeds(refuses: Any, seeds: Any) -> None:
    with refuses("seeds: got "):
        Seeds.of(seeds)

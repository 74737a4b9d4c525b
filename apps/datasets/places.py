"""Places of images among all images of a data set: neighbours take no more memory than one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import chain

__all__ = ["Places"]


class Places:
    """Places, rising."""

    def __init__(self) -> None:
        self._ranges: list[range] = []

    def add(self, places: range) -> None:
        """Add some that follow those that are there."""
        if self._ranges and self._ranges[-1].stop == places.start:
            places = range(self._ranges.pop().start, places.stop)
        if places:
            self._ranges.append(places)

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._ranges)

    def __len__(self) -> int:
        return sum(map(len, self._ranges))

    def meets(self, places: range) -> bool:
        """Whether one of some neighbours is among them."""
        following = bisect_left(self._ranges, places.stop, key=lambda part: part.start)
        return following > 0 and self._ranges[following - 1].stop > places.start

"""Seeds of a data set: ranges in their order, each seed once. Billions take no memory."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import MAX_SEED, check_seeds

__all__ = ["Seeds"]


class Seeds:
    """Seeds in the order in which they are drawn. What comes again is left out.

        Seeds.parse("0-49999,70000")
        Seeds.of(range(50_000))

    Attributes:
        ranges: what was given, without repetitions; disjoint, each of step 1.
    """

    def __init__(self, ranges: Iterable[range]) -> None:
        self._covered = _Covered()
        self.ranges = tuple(gap for part in ranges for gap in self._covered.add(_checked(part)))
        if not self.ranges:
            raise InvalidInput("seeds: got none, expected at least one.")
        self._ends = list(itertools.accumulate(map(len, self.ranges)))

    @classmethod
    def parse(cls, text: str) -> Seeds:
        """Read a list such as '0-31,40'.

        Raises:
            InvalidInput: another form, a range that goes down, or a seed above 2^32 - 1.
        """
        if not isinstance(text, str):
            raise InvalidInput(f"seeds: got {shown(text)}, expected a list such as '0-31,40'")
        return cls(map(_parse_range, text.split(",")))

    @classmethod
    def of(cls, seeds: int | Iterable[int]) -> Seeds:
        """Take one integer, a range, or any integers.

        Raises:
            InvalidInput: not an integer, out of range, or none at all.
        """
        if isinstance(seeds, range) and seeds.step == 1:
            return cls([seeds])
        return cls(_runs(check_seeds(seeds)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __contains__(self, seed: int) -> bool:
        return self._covered.holds(seed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seeds) and self.ranges == other.ranges

    def __hash__(self) -> int:
        return hash(self.ranges)

    def __str__(self) -> str:
        """The list that `parse` reads."""
        return ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in self.ranges)

    def __repr__(self) -> str:
        return f"Seeds.parse({shown(str(self))})"

    def find(self, seed: int) -> int:
        """The place of a seed.

        Raises:
            ValueError: it is not among them.
        """
        for part, end in zip(self.ranges, self._ends, strict=True):
            if seed in part:
                return end - len(part) + part.index(seed)
        raise ValueError(f"got {seed}, expected one of {self}")

    def between(self, start: int, stop: int) -> list[int]:
        """The seeds at the places [start, stop)."""
        first = bisect_right(self._ends, start)
        skipped = self._ends[first - 1] if first else 0
        parts = list(self.ranges[first : bisect_left(self._ends, stop) + 1])
        parts[:1] = [part[start - skipped :] for part in parts[:1]]
        return list(itertools.islice(itertools.chain.from_iterable(parts), stop - start))


class _Covered:
    """Which numbers were there already: disjoint intervals, rising."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def holds(self, number: int) -> bool:
        place = bisect_right(self._starts, number) - 1
        return place >= 0 and number < self._stops[place]

    def add(self, new: range) -> list[range]:
        """Cover a range, and give the parts of it that were not covered before."""
        first = bisect_left(self._stops, new.start)  # the intervals that it meets or touches
        last = bisect_right(self._starts, new.stop)
        met = list(zip(self._starts[first:last], self._stops[first:last], strict=True))
        edges = [new.start, *itertools.chain.from_iterable(met), new.stop]
        gaps = [range(*pair) for pair in zip(edges[::2], edges[1::2], strict=True)]
        self._starts[first:last] = [min(edges)]
        self._stops[first:last] = [max(edges)]
        return [gap for gap in gaps if gap]


def _parse_range(part: str) -> range:
    first, dash, last = part.strip().partition("-")
    try:
        start, end = int(first), int(last) if dash else int(first)
    except ValueError:
        raise InvalidInput(f"seeds: got {shown(part)}, expected a list such as 0-31,40") from None
    if end < start or not 0 <= end <= MAX_SEED:
        raise InvalidInput(
            f"seeds: got {shown(part)}, expected a range of 0 to {MAX_SEED}, going up"
        )
    return range(start, end + 1)


def _runs(seeds: Iterable[int]) -> Iterator[range]:
    """Neighbours that follow each other as one range."""
    iterator = iter(seeds)
    for first in iterator:
        run = range(first, first + 1)
        for seed in iterator:
            if seed == run.stop:
                run = range(run.start, seed + 1)
            else:
                yield run
                run = range(seed, seed + 1)
        yield run


def _checked(part: range) -> range:
    if part.step != 1 or (part and not 0 <= part[0] <= part[-1] <= MAX_SEED):
        raise InvalidInput(f"seeds: got {shown(part)}, expected 0 to {MAX_SEED}, going up by 1.")
    return part

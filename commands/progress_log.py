"""Progress for a log, where no bar can be shown: a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

__all__ = ["ProgressLog"]


class ProgressLog:
    """A `progress` callback that tells how many images there are, the rate, and the time left.

        write_dataset(generator, job, "out", progress=ProgressLog(print))

    Args:
        say: called with a line: '2048 of 50000 images, 68.3 images/s, 0:11:42 left'.
        seconds: between two lines, at least.
        clock: seconds that pass.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._seconds = seconds
        self._clock = clock
        self._started = self._told = clock()
        self._there: int | None = None  # when it started: they say nothing of the rate

    def __call__(self, done: int, total: int) -> None:
        """Take how many images there are, and how many there will be."""
        there = self._there = done if self._there is None else self._there
        now = self._clock()
        if done <= there or now <= self._started or now - self._told < self._seconds:
            return
        self._told = now
        rate = (done - there) / (now - self._started)
        left = timedelta(seconds=round((total - done) / rate))
        self._say(f"{done} of {total} images, {rate:.1f} images/s, {left} left")

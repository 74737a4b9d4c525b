"""Progress for a log, where no bar can be shown: a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

__all__ = ["log_progress"]


def log_progress(
    say: Callable[[str], None], *, seconds: float, clock: Callable[[], float] = time.monotonic
) -> Callable[[int, int], None]:
    """What takes the images that are there and will be, and says so every so many seconds.

    A line is such as '2048 of 50000 images, 68.3 images/s, 0:11:42 left'.
    """
    started = told = clock()
    there: int | None = None  # when it started: they say nothing of the rate

    def update(done: int, total: int) -> None:
        nonlocal told, there
        there = done if there is None else there
        now = clock()
        if done <= there or now <= started or now - told < seconds:
            return
        told = now
        rate = (done - there) / (now - started)
        left = timedelta(seconds=round((total - done) / rate))
        say(f"{done} of {total} images, {rate:.1f} images/s, {left} left")

    return update

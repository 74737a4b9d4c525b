"""Gives each busy thread of this process a CPU of its own, where the system can (Linux).

Without it chance decides: some kernels leave two spinning threads of a pool on one CPU for a whole
run, and the candidate looks up to ten times slower than it is. All candidates are pinned alike.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Pinning"]

TASKS = Path("/proc/self/task")
BUSY_SHARE = 0.1  # of the busiest thread's CPU time; less is housekeeping


class Pinning:
    """The CPUs of this process's threads: free at first, and each its own after `pin`."""

    def __init__(self) -> None:
        self._cpus = _physical_cores_first()
        self._before: dict[int, int] = {}

    def release(self) -> None:
        """Let all threads run anywhere; those that they start inherit it."""
        for thread in _thread_times():
            _allow(thread, self._cpus)

    def watch(self) -> None:
        """Begin to note which threads are busy."""
        self._before = _thread_times()

    def pin(self) -> int:
        """Give each thread that was busy since `watch` its own CPU.

        Returns:
            How many threads are pinned now: none, if they are more than the CPUs.
        """
        spent = {
            thread: nanoseconds - self._before.get(thread, 0)
            for thread, nanoseconds in _thread_times().items()
        }
        least = BUSY_SHARE * max(spent.values(), default=0)
        busy = [thread for thread, nanoseconds in sorted(spent.items()) if nanoseconds > least]
        if len(busy) > len(self._cpus):
            return 0
        for thread, cpu in zip(busy, self._cpus, strict=False):
            _allow(thread, [cpu])
        return len(busy)


def _thread_times() -> dict[int, int]:
    """Return the nanoseconds on a CPU of each thread; nothing where the system does not tell."""
    times = {}
    with contextlib.suppress(OSError):
        for task in TASKS.iterdir():
            with contextlib.suppress(OSError, ValueError):  # it has just ended
                times[int(task.name)] = int((task / "schedstat").read_text().split()[0])
    return times


def _allow(thread: int, cpus: Iterable[int]) -> None:
    with contextlib.suppress(OSError):  # it has just ended
        os.sched_setaffinity(thread, cpus)


def _physical_cores_first() -> list[int]:
    """Return the CPUs that this process may use, the second threads of their cores last."""
    if not hasattr(os, "sched_getaffinity"):  # then there is no schedstat either
        return []
    ranks = {cpu: _rank_in_core(cpu) for cpu in os.sched_getaffinity(0)}
    return sorted(ranks, key=lambda cpu: (ranks[cpu], cpu))


def _rank_in_core(cpu: int) -> int:
    """Return 0 for the first hardware thread of a core, 1 for the second, ..."""
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    with contextlib.suppress(OSError, ValueError):
        numbers: list[int] = []
        for part in siblings.read_text().strip().split(","):  # '0,4' or '0-1'
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
        return numbers.index(cpu)
    return 0

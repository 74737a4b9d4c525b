"""Features by several processes of this machine, which share the parts out among themselves.

A process that is told nothing more ends: when this one has ended, too, in whatever way.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from stylert.apps.evaluation.parts import PartTask, PartWorker
from stylert.runtime.arguments import check_integer
from stylert.runtime.errors import EngineError, StylertError
from stylert.runtime.machine import usable_cpus

__all__ = ["share_out"]

END_SECONDS = 10.0


def share_out(
    task: PartTask,
    processes: int,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **opening: Any,
) -> None:
    """Have the parts of a task written by processes: what `extract_parts` runs.

    Args:
        task: what is to be drawn.
        processes: how many, each with a session; the CPUs are shared out among them.
        progress: called with the pictures that are there, and all.
        opening: arguments of `Generator.open`.

    Raises:
        InvalidInput, EngineError, OSError: what a process raised; or one died.
    """
    check_integer("processes", processes, 1)
    count = min(processes, len(task.parts))
    threads = opening.get("threads") or max(1, usable_cpus() // count)
    task = replace(task, opening={**opening, "threads": threads})
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, SpawnProcess] = {}
    try:
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, task), daemon=True)
            process.start()
            there.close()  # so that its end is heard of
            running[here] = process
        _hand_out(task, list(running), progress)
        for here in running:
            here.send(None)
        for process in running.values():
            process.join(END_SECONDS)
    finally:
        for here, process in running.items():
            process.kill()
            process.join()
            here.close()


def _hand_out(
    task: PartTask, workers: list[Connection], progress: Callable[[int, int], None]
) -> None:
    """Give parts to whoever is free, until all are written."""
    first, stop = task.parts[0].start, task.parts[-1].stop
    waiting = deque(range(len(task.parts)))
    there = [0] * len(task.parts)
    written, busy = 0, set(workers)
    progress(first, stop)
    while written < len(task.parts):
        for worker in wait(list(busy)):
            assert isinstance(worker, Connection)
            try:
                said = worker.recv()
            except EOFError:
                raise EngineError(
                    "A process that drew ended by itself, or was killed; too little memory may be "
                    "why. To go on, run the same again, with fewer processes."
                ) from None
            if isinstance(said, Exception):
                raise said
            if isinstance(said, tuple):
                number, there[number] = said
                progress(first + sum(there), stop)
                continue
            written += bool(said)  # None: it is open; True: it has written a part
            busy.discard(worker)
            if waiting:
                worker.send(waiting.popleft())
                busy.add(worker)


def _work(told: Connection, task: PartTask) -> None:
    """A process: it opens its session, and then writes the parts that it is told."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it says what ends
    with suppress(EOFError, BrokenPipeError):  # that one has ended
        try:
            worker = PartWorker(task)
            with worker.start():
                told.send(None)
                while (number := told.recv()) is not None:
                    worker.write(number, partial(_tell, told, number))
                    told.send(True)
        except (StylertError, MemoryError) as error:
            told.send(error)
        except BrokenPipeError:
            raise
        except OSError as error:
            told.send(error)


def _tell(told: Connection, number: int, done: int, total: int) -> None:
    told.send((number, done))

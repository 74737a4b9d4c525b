"""Dynamic batching: one thread owns the backend and draws what many requests ask for, together."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from stylert.runtime.errors import StylertError

__all__ = ["Batcher", "Key", "Rows", "ShuttingDown", "Ticket"]

Key = tuple[Hashable, ...]  # the name of a call, and what else must be equal
Rows = Mapping[str, np.ndarray]  # arguments of a call: a row for every image

_log = logging.getLogger("stylert.serving")


class ShuttingDown(StylertError):
    """The batcher is closed, or about to be."""


@dataclass
class Ticket:
    """Of one request: whether somebody still waits for its images."""

    cancelled: bool = False


@dataclass(eq=False)
class _Task:
    """Rows that one request wants drawn, and what is drawn of them so far."""

    key: Key
    call: Callable[[Rows], np.ndarray]
    rows: Rows
    ticket: Ticket
    arrived: float = field(default_factory=time.monotonic)
    future: Future[np.ndarray] = field(default_factory=Future)
    taken: int = 0
    drawn: list[np.ndarray] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Rows that no batch has taken yet."""
        return len(next(iter(self.rows.values()))) - self.taken


class Batcher:
    """Merges the rows of many calls into few.

    Tasks with equal keys are merged: one call gets the rows of them all, in the order in which they
    came. A task with more rows than a batch holds takes several. An error of a call is an error of
    the tasks in it, and of no others.

    Args:
        max_batch: rows of one call at most.
        wait: seconds that the first task waits for others; a full batch does not wait.
        observe: told the name and the number of rows of every call.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        wait: float,
        observe: Callable[[str, int], object] = lambda call, rows: None,
    ) -> None:
        self.max_batch = max_batch
        self._wait = wait
        self._observe = observe
        self._tasks: deque[_Task] = deque()
        self._changed = threading.Condition()  # guards the two around it
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="stylert-batcher", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Rows that wait."""
        with self._changed:
            return sum(task.left for task in self._tasks)

    def submit(
        self, key: Key, call: Callable[[Rows], np.ndarray], rows: Rows, ticket: Ticket
    ) -> Future[np.ndarray]:
        """Ask for rows to be drawn.

        Args:
            key: the name of the call, and more; tasks with equal keys have calls that do the same,
                and rows of the same names.
            call: takes rows [n, ...] by name, gives [n, ...].
            rows: [N, ...] by name.
            ticket: once it is cancelled, the task is dropped, and so is its future.

        Returns:
            the future [N, ...]; its error is that of the call.

        Raises:
            ShuttingDown: the batcher is closed.
        """
        task = _Task(key, call, rows, ticket)
        with self._changed:
            if self._closing:
                raise ShuttingDown("The service is shutting down.")
            self._tasks.append(task)
            self._changed.notify()
        return task.future

    def close(self) -> None:
        """Draw what still waits, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            self._draw(batch)
            del batch  # not kept until the next one comes

    def _next_batch(self) -> list[tuple[_Task, slice]]:
        """Wait for tasks; give the parts of the next call. Nothing after the last one."""
        with self._changed:
            while True:
                self._drop_cancelled()
                if self._tasks:
                    patience = self._tasks[0].arrived + self._wait - time.monotonic()
                    if patience <= 0 or self._closing or self._is_full():
                        return self._take()
                    self._changed.wait(patience)
                elif self._closing:
                    return []
                else:
                    self._changed.wait()

    def _is_full(self) -> bool:
        key = self._tasks[0].key
        return sum(task.left for task in self._tasks if task.key == key) >= self.max_batch

    def _take(self) -> list[tuple[_Task, slice]]:
        """The oldest task, and what can be drawn with it."""
        key, room = self._tasks[0].key, self.max_batch
        batch = []
        for task in [task for task in self._tasks if task.key == key]:
            count = min(room, task.left)
            batch.append((task, slice(task.taken, task.taken + count)))
            task.taken += count
            room -= count
            if not task.left:
                self._tasks.remove(task)
            if not room:
                break
        return batch

    def _drop_cancelled(self) -> None:
        for task in [task for task in self._tasks if task.ticket.cancelled]:
            self._tasks.remove(task)
            task.future.cancel()

    def _draw(self, batch: list[tuple[_Task, slice]]) -> None:
        first = batch[0][0]
        rows = {
            name: np.concatenate([task.rows[name][part] for task, part in batch])
            for name in first.rows
        }
        count = sum(_size(part) for _, part in batch)
        try:
            drawn = first.call(rows)
            assert len(drawn) == count, "a call gives as many rows as it got"
        except Exception as error:  # whatever a backend raises must not end the thread
            _log.error("a batch of %d failed: %s", count, error)
            for task, _ in batch:
                self._fail(task, error)
            return
        self._observe(str(first.key[0]), count)
        start = 0
        for task, part in batch:
            task.drawn.append(drawn[start : start + _size(part)])
            start += _size(part)
            if not task.left:
                whole = task.drawn[0] if len(task.drawn) == 1 else np.concatenate(task.drawn)
                task.future.set_result(whole)

    def _fail(self, task: _Task, error: Exception) -> None:
        with self._changed:
            if task in self._tasks:  # the rest of it
                self._tasks.remove(task)
        task.future.set_exception(error)


def _size(part: slice) -> int:
    return int(part.stop - part.start)

"""Dynamic batching: one thread owns the backend and draws what many requests ask for, together."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from stylert.runtime.errors import StylertError
from stylert.runtime.feeds import Feeds
from stylert.runtime.lifetime import Lifetime
from stylert.runtime.session import Graphs

__all__ = ["Batcher", "ShuttingDown", "Ticket"]

_log = logging.getLogger("stylert.serving")


class ShuttingDown(StylertError):
    """The batcher is closed, or about to be."""

    def __init__(self) -> None:
        super().__init__("The service is shutting down. Ask again when it runs again.")


@dataclass
class Ticket:
    """Of one request: whether somebody still waits for its images."""

    cancelled: bool = False


@dataclass(eq=False)
class _Task:
    """Images that one request wants drawn, and what is drawn of them so far."""

    graphs: Graphs
    feeds: Feeds
    output: str
    ticket: Ticket
    alone: bool
    arrived: float = field(default_factory=time.monotonic)
    future: Future[np.ndarray] = field(default_factory=Future)
    taken: int = 0
    drawn: list[np.ndarray] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Images that no batch has taken yet."""
        return self.feeds.count - self.taken

    @property
    def key(self) -> Hashable:
        """Tasks with equal keys can be drawn in one call."""
        if self.alone:
            return id(self)
        feeds = self.feeds
        drawn = feeds.noise is not None
        return self.graphs, self.output, frozenset(feeds.rows), id(feeds.constants), drawn


class Batcher:
    """Merges the images of many calls into few.

    What runs the same graphs for the same output with the same constants is merged, in the order in
    which it came. A task with more images than a batch holds takes several. An error of a call is
    an error of the tasks in it, and of no others.

    Args:
        lifetime: lends the session that draws.
        max_batch: images of one call at most.
        wait: seconds that the first task waits for others; a full batch does not wait.
        observe: told the graphs, the number of images and the seconds of every call.
        clock: what the seconds are taken from.
    """

    def __init__(
        self,
        lifetime: Lifetime,
        *,
        max_batch: int,
        wait: float,
        observe: Callable[[Graphs, int, float], object] = lambda graphs, images, seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lifetime = lifetime
        self._max_batch = max_batch
        self._wait = wait
        self._observe = observe
        self._clock = clock
        self._tasks: deque[_Task] = deque()
        self._changed = threading.Condition()  # guards the two around it
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="stylert-batcher", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Images that wait."""
        with self._changed:
            return sum(task.left for task in self._tasks)

    def submit(
        self, graphs: Graphs, feeds: Feeds, output: str, ticket: Ticket, *, alone: bool = False
    ) -> Future[np.ndarray]:
        """Ask for images to be drawn.

        Args:
            graphs: to run.
            feeds: of any number of images.
            output: that is wanted.
            ticket: once it is cancelled, the task is dropped, and so is its future.
            alone: share no call with other tasks, so that the same feeds give the same bits.

        Returns:
            the future [N, ...]; its error is that of the call.

        Raises:
            ShuttingDown: the batcher is closed.
        """
        task = _Task(graphs, feeds, output, ticket, alone)
        with self._changed:
            if self._closing:
                raise ShuttingDown
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
        return sum(task.left for task in self._tasks if task.key == key) >= self._max_batch

    def _take(self) -> list[tuple[_Task, slice]]:
        """The oldest task, and what can be drawn with it."""
        key, room = self._tasks[0].key, self._max_batch
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
        count = sum(_size(part) for _, part in batch)
        started = self._clock()
        try:
            feeds = Feeds.merge([task.feeds.take(part) for task, part in batch])
            with self._lifetime.in_use() as session:
                drawn = np.asarray(session.run(first.graphs, feeds, [first.output])[0])
        except Exception as error:  # whatever a backend raises must not end the thread
            _log.error("a batch of %d failed: %s", count, error)
            for task, _ in batch:
                self._fail(task, error)
            return
        self._observe(first.graphs, count, self._clock() - started)
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

"""What takes seconds, one at a time in one thread, so that pictures are drawn meanwhile.

The thread has the lowest priority where the system knows one of threads (Linux), and waits between
the steps of a job while pictures are asked for. Between the steps it does what is quick, such as an
inversion, so that this does not wait for a whole job.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from stylert.apps.serving.batcher import ShuttingDown
from stylert.apps.serving.service import Overloaded

__all__ = ["HeavyWork"]

_LOWEST = 19  # priority of a thread
_GLANCE = 0.005  # seconds between two looks whether pictures are still drawn
_MOST_QUICK = 16  # that wait

Result = TypeVar("Result")


class HeavyWork:
    """One thread for all heavy work of a service.

    Args:
        is_drawing: whether pictures are asked for at this moment.
    """

    def __init__(self, is_drawing: Callable[[], bool] = lambda: False) -> None:
        self._is_drawing = is_drawing
        self._quick: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._long: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = threading.Condition()  # guards those around it
        self._closing = False
        self._thread: threading.Thread | None = None
        self._stepped = time.monotonic()

    def do_soon(self, work: Callable[[], Result]) -> Future[Result]:
        """Have something done that takes a second at most: between the steps of what runs.

        Raises:
            Overloaded: too much of that waits already.
            ShuttingDown: the service ends.
        """
        with self._changed:
            if len(self._quick) >= _MOST_QUICK:
                raise Overloaded(f"{_MOST_QUICK} photos are looked at already. Try again.", 2)
        return self._add(self._quick, work)

    def do_later(self, work: Callable[[], Result]) -> Future[Result]:
        """Have something done that takes long, and calls `take_breath` between its steps.

        Raises:
            ShuttingDown: the service ends.
        """
        return self._add(self._long, work)

    def take_breath(self) -> None:
        """Between two steps: do what is quick, and let pictures be drawn.

        Under load, half of the time is the job's: it waits no longer than its last step took.

        Raises:
            ShuttingDown: the service ends.
        """
        took = time.monotonic() - self._stepped
        until = time.monotonic() + took
        while not self._closing and self._is_drawing() and time.monotonic() < until:
            time.sleep(min(_GLANCE, took))
        while quick := self._next(long=False, wait=False):
            _run(*quick)
        if self._closing:
            raise ShuttingDown
        self._stepped = time.monotonic()

    def close(self) -> None:
        """End what runs at its next step, and drop what waits."""
        with self._changed:
            self._closing = True
            for future, _ in (*self._quick, *self._long):
                future.cancel()
            self._quick.clear()
            self._long.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _add(self, queue: deque[Any], work: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        with self._changed:
            if self._closing:
                raise ShuttingDown
            queue.append((future, work))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="stylert-heavy", daemon=True
                )
                self._thread.start()
            self._changed.notify()
        return future

    def _work(self) -> None:
        if sys.platform == "linux":  # and those that it starts have the same
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
        while found := self._next(long=True, wait=True):
            self._stepped = time.monotonic()
            _run(*found)
            del found  # a picture is not kept until the next one comes

    def _next(self, *, long: bool, wait: bool) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._changed:
            while True:
                if self._quick:
                    return self._quick.popleft()
                if long and self._long:
                    return self._long.popleft()
                if not wait or self._closing:
                    return None
                self._changed.wait()


def _run(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:  # whatever it is must not end the thread
        future.set_exception(error)

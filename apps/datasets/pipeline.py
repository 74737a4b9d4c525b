"""Three stages at the same time: draw, encode, write. What waits between them is bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

from stylert.runtime.arguments import check_integer
from stylert.runtime.machine import usable_cpus

__all__ = ["choose_threads", "open_pipeline"]

MOST_THREADS = 16  # by default; they wait where the drawing, or the disk, is slower

Drawn = TypeVar("Drawn")
Encoded = TypeVar("Encoded")


def choose_threads(name: str, threads: int | None) -> int:
    """How many threads to use, None = one per usable CPU, up to 16.

    Raises:
        InvalidInput: no such number; it has this name.
    """
    threads = min(usable_cpus(), MOST_THREADS) if threads is None else threads
    check_integer(name, threads, 1)
    return threads


@contextmanager
def open_pipeline(
    encode: Callable[[Drawn], Encoded],
    write: Callable[[Encoded], None],
    *,
    encoders: int,
    waiting: int,
) -> Iterator[Callable[[Drawn], bool]]:
    """Encode in several threads and write in one more, in order, while this one goes on drawing.

    Whatever ends it early, an interrupt too: what was drawn before it is still written.

    Args:
        encode: called in the encoders' threads.
        write: called in one thread, with what the encoders return.
        encoders: threads.
        waiting: drawn and not yet written, at most.

    Returns:
        what takes the next thing to be encoded; it waits for room. False: something has failed, and
        nothing more is taken.

    Raises:
        BaseException: at the end, what encoding or writing raised, the first of them.
    """
    with ThreadPoolExecutor(encoders, thread_name_prefix="encode") as pool:
        writer = _Writer(write, waiting)

        def put(item: Drawn) -> bool:
            has_room = writer.has_room()
            if has_room:
                writer.put(pool.submit(encode, item))
            return has_room

        try:
            yield put
        finally:
            writer.end()
    if writer.failure is not None:
        raise writer.failure


class _Writer(Generic[Encoded]):
    """The thread that writes, and the queue before it."""

    def __init__(self, write: Callable[[Encoded], None], waiting: int) -> None:
        self.failure: BaseException | None = None
        self._write = write
        self._room = threading.Semaphore(waiting)
        self._queue: SimpleQueue[Future[Encoded] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="write")
        self._thread.start()

    def has_room(self) -> bool:
        """Wait until one more may wait. False: it has failed, and takes no more."""
        self._room.acquire()
        return self.failure is None

    def put(self, future: Future[Encoded]) -> None:
        self._queue.put(future)

    def end(self) -> None:
        """Write what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (future := self._queue.get()) is not None:
            try:
                if self.failure is None:
                    self._write(future.result())
            except BaseException as error:  # to be raised where it is waited for
                self.failure = error
            self._room.release()

"""Three stages at the same time: draw, encode, write. What waits between them is bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

from stylert.runtime.arguments import check_integer
from stylert.runtime.machine import MAX_THREADS, usable_cpus

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
    check_integer(name, threads, 1, MAX_THREADS)
    return threads


@contextmanager
def open_pipeline(
    encode: Callable[[Drawn], Encoded],
    write: Callable[[Encoded], None],
    *,
    encoders: int,
    waiting: int,
    are_drawn: bool = True,
) -> Iterator[Callable[[Drawn], bool]]:
    """Encode in several threads and write in one more, in order, while this one goes on drawing.

    Whatever ends it early, an interrupt too: what was drawn before it is still written.

    Args:
        encode: called in the encoders' threads.
        write: called in one thread, with what the encoders return.
        encoders: threads.
        waiting: drawn and not yet written, at most.
        are_drawn: the things are drawn already. Else encoding draws them, and those that no encoder
            has begun with are left out where it ends early.

    Returns:
        what takes the next thing to be encoded; it waits for room. False: something has failed, and
        nothing more is taken.

    Raises:
        BaseException: at the end, what encoding or writing raised, the first of them.
    """
    room = threading.Semaphore(waiting)
    queue: SimpleQueue[Future[Encoded] | None] = SimpleQueue()
    taken: deque[Future[Encoded]] = deque(maxlen=waiting)  # all that may not have begun
    failures: list[BaseException] = []

    def write_all() -> None:
        while (future := queue.get()) is not None:
            try:
                if not failures:
                    write(future.result())
            except CancelledError:  # it is left out
                pass
            except BaseException as error:  # to be raised where it is waited for
                failures.append(error)
            room.release()

    def put(item: Drawn) -> bool:
        room.acquire()
        is_taken = not failures
        if is_taken:
            taken.append(pool.submit(encode, item))
            queue.put(taken[-1])
        return is_taken

    def leave_out() -> None:
        # From the last one on, so that what is written has no gaps: they begin in their order.
        while taken and taken.pop().cancel():
            pass

    with ThreadPoolExecutor(encoders, thread_name_prefix="encode") as pool:
        writer = threading.Thread(target=write_all, name="write")
        writer.start()
        is_whole = False
        try:
            yield put
            is_whole = not failures
        finally:
            if not (are_drawn or is_whole):
                leave_out()
            queue.put(None)
            writer.join()
    if failures:
        raise failures[0]

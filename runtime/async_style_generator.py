"""`AsyncStyleGenerator`: a generator for asyncio, which draws in threads of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from collections.abc import Generator as Steps
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial, wraps
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from stylert.runtime.arguments import check_integer
from stylert.runtime.errors import EngineError
from stylert.runtime.generator import Generator
from stylert.runtime.machine import MAX_THREADS

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from stylert.runtime.backends.open_options import OpenOptions

__all__ = ["AsyncStyleGenerator", "open_async"]

P = ParamSpec("P")
T = TypeVar("T")


def _in_thread(
    method: Callable[Concatenate[Generator, P], T],
) -> Callable[Concatenate[AsyncStyleGenerator, P], Coroutine[Any, Any, T]]:
    """The method of `Generator`, to be awaited."""

    @wraps(method)
    async def run(self: AsyncStyleGenerator, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(partial(method, self.generator, *args, **kwargs))

    return run


def _batches_in_thread(
    method: Callable[Concatenate[Generator, P], Iterator[np.ndarray]],
) -> Callable[Concatenate[AsyncStyleGenerator, P], AsyncGenerator[np.ndarray, None]]:
    """The method of `Generator`, whose frames are awaited; a batch is drawn for its first one."""

    @wraps(method)
    async def walk(
        self: AsyncStyleGenerator, /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncGenerator[np.ndarray, None]:
        generator = self.generator
        frames = await self._run(partial(method, generator, *args, **kwargs))
        while batch := await self._run(lambda: list(islice(frames, generator.max_batch))):
            for frame in batch:
                yield frame

    return walk


def _ended(call: Callable[[], T]) -> T:
    try:
        return call()
    except StopIteration as error:  # no future can hold it: who awaits it would wait for ever
        raise RuntimeError("StopIteration came out of an argument.") from error


class AsyncStyleGenerator:
    """A `Generator` whose methods are awaited, so that the event loop goes on while it draws.

        async with stylert.open_async("bundle") as generator:
            images = await generator.generate([1, 2, 3])   # uint8 [3, H, W, C]
            async for image in generator.interpolate([1, 2, 3], frames=60):
                show(image)

    Arguments, results and errors are those of `Generator`. A call that is cancelled before its turn
    never runs; one that runs cannot be stopped, and what it draws is dropped. It belongs to no
    event loop: those of several threads may share it, and it outlives each of them.

    Args:
        open_generator: opens the generator, in a thread; this object closes it.
        workers: threads that draw: calls that run at the same time, while others wait in order.
            Where one call fills the machine, more only add latency to each.
    """

    def __init__(self, open_generator: Callable[[], Generator], *, workers: int = 1) -> None:
        check_integer("workers", workers, 1, MAX_THREADS)
        self._open_generator = open_generator
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="stylert")
        self._lock = threading.Lock()  # of the next two
        self._generator: Generator | None = None
        self._closed = False
        self._opening: Future[None] | None = None
        self._waiting = 0  # calls for the opening

    @property
    def generator(self) -> Generator:
        """What is wrapped: for its attributes and quick methods, since this one does not wait.

        Raises:
            EngineError: it is not open yet.
        """
        if self._generator is None:
            raise EngineError(
                "This generator is not open yet: use 'async with stylert.open_async(path)', or "
                "'await stylert.open_async(path)'."
            )
        return self._generator

    map = _in_thread(Generator.map)
    styles = _in_thread(Generator.styles)
    styles_between = _in_thread(Generator.styles_between)
    synthesize = _in_thread(Generator.synthesize)
    generate = _in_thread(Generator.generate)
    mix = _in_thread(Generator.mix)
    edit = _in_thread(Generator.edit)
    pca = _in_thread(Generator.pca)
    invert = _in_thread(Generator.invert)
    draw_gradient = _in_thread(Generator.draw_gradient)
    refit = _in_thread(Generator.refit)
    interpolate = _batches_in_thread(Generator.interpolate)  # arguments are checked when it begins

    async def close(self) -> None:
        """Close the generator, and wait for calls that run. Those that wait are an error.

        Once more does no harm. While it opens, it is closed as soon as it is open.
        """
        await asyncio.to_thread(self._close)

    def _close(self, *, wait: bool = True) -> None:
        with self._lock:
            self._closed = True
            generator = self._generator
        if generator is not None:
            generator.close()
        self._pool.shutdown(wait=wait)

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._submit(call))

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        if self._generator is not None:
            self._generator.lifetime.refuse_after_fork()  # here: a fork has none of the threads
        if self._closed:
            raise _closed()
        try:
            return self._pool.submit(_ended, call)
        except RuntimeError:  # closed in between; or no thread starts, or Python ends
            if self._closed:
                raise _closed() from None
            raise

    async def _open(self) -> Self:
        """Open the generator, once however many ask for it."""
        if self._opening is None or self._closed:
            self._opening = self._submit(self._open_in_thread)
        self._waiting += 1
        try:
            # Who is cancelled must not cancel it for the others.
            opening = asyncio.wrap_future(self._opening)
            # An error that nobody waits for any more is looked at; else asyncio prints its trace.
            opening.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.shield(opening)
        except BaseException:
            if self._waiting == 1:  # nobody will close it
                self._close(wait=False)
            raise
        finally:
            self._waiting -= 1
        return self

    def _open_in_thread(self) -> None:
        generator = self._open_generator()
        with self._lock:
            if not self._closed:
                self._generator = generator
                return
        generator.close()
        raise _closed()

    def __await__(self) -> Steps[Any, None, Self]:
        return self._open().__await__()

    def __repr__(self) -> str:
        return f"<AsyncStyleGenerator of {self._generator or 'one that is not open'}>"

    __reduce__ = Generator.__reduce__  # which refuses

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def open_async(
    path: str | Path, *, workers: int = 1, **options: Unpack[OpenOptions]
) -> AsyncStyleGenerator:
    """Open a bundle for asyncio: with `async with`, or with `await` and `close` later.

    Args:
        path: the directory that `stylert export` wrote.
        workers: calls that run at the same time; see `AsyncStyleGenerator`.
        options: those of `Generator.open`, which says what they raise.

    Raises:
        InvalidInput: the number of workers is out of range.
    """
    return AsyncStyleGenerator(partial(Generator.open, path, **options), workers=workers)


def _closed() -> EngineError:
    return EngineError("This generator is closed. Open it again: stylert.open_async(path)")

"""`AsyncStyleGenerator`: a generator for asyncio, which draws in threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from collections.abc import Generator as Steps
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial, wraps
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from stylert.runtime.arguments import check_integer
from stylert.runtime.errors import EngineError
from stylert.runtime.generator import MAX_THREADS, Generator

if TYPE_CHECKING:
    from typing_extensions import Self

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


class AsyncStyleGenerator:
    """A `Generator` whose methods are awaited, so that the event loop goes on while it draws.

        async with stylert.open_async("bundle") as generator:
            images = await generator.generate([1, 2, 3])   # uint8 [3, H, W, C]
            async for image in generator.interpolate([1, 2, 3], frames=60):
                show(image)

    Arguments, results and errors are those of `Generator`. A call that is cancelled before its turn
    never runs; one that runs cannot be stopped, and what it draws is dropped.

    Args:
        open_generator: opens the generator, in a thread; this object closes it.
        workers: threads that draw: calls that run at the same time, while others wait in order.
            Where one call fills the machine, more only add latency to each.
    """

    def __init__(self, open_generator: Callable[[], Generator], *, workers: int = 1) -> None:
        check_integer("workers", workers, 1, MAX_THREADS)
        self._open_generator = open_generator
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="stylert")
        self._generator: Generator | None = None

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
    synthesize = _in_thread(Generator.synthesize)
    generate = _in_thread(Generator.generate)
    mix = _in_thread(Generator.mix)
    edit = _in_thread(Generator.edit)
    pca = _in_thread(Generator.pca)
    refit = _in_thread(Generator.refit)

    async def interpolate(self, keyframes: Any, **options: Any) -> AsyncIterator[np.ndarray]:
        """Draw the way from keyframe to keyframe; see `Generator.interpolate`.

        A batch is drawn when its first frame is asked for. Arguments are checked then, too.
        """
        generator = self.generator
        frames = await self._run(partial(generator.interpolate, keyframes, **options))
        while batch := await self._run(lambda: list(islice(frames, generator.max_batch))):
            for frame in batch:
                yield frame

    async def close(self) -> None:
        """Close the generator, and wait for calls that run. Those that wait are an error."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._generator is not None:
            self._generator.close()
        self._pool.shutdown()

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._submit(call))

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        if self._generator is not None:
            self._generator._lifetime.refuse_after_fork()  # here: a fork has none of the threads
        try:
            return self._pool.submit(call)
        except RuntimeError:  # after its shutdown
            raise EngineError(
                "This generator is closed. Open it again: stylert.open_async(path)"
            ) from None

    async def _open(self) -> Self:
        if self._generator is None:
            opening = self._submit(self._open_generator)
            try:
                self._generator = await asyncio.wrap_future(opening)
            except BaseException:
                opening.add_done_callback(_close_opened)  # it may open after this was cancelled
                self._pool.shutdown(wait=False)
                raise
        return self

    def __await__(self) -> Steps[Any, None, Self]:
        return self._open().__await__()

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def open_async(path: str | Path, *, workers: int = 1, **options: Any) -> AsyncStyleGenerator:
    """Open a bundle for asyncio: with `async with`, or with `await` and `close` later.

    Args:
        path: the directory that `stylert export` wrote.
        workers: calls that run at the same time; see `AsyncStyleGenerator`.
        options: those of `Generator.open`, which says what they raise.

    Raises:
        InvalidInput: the number of workers is out of range.
    """
    return AsyncStyleGenerator(partial(Generator.open, path, **options), workers=workers)


def _close_opened(opening: Future[Generator]) -> None:
    """Close what nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()

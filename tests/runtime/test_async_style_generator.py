"""The generator for asyncio: the same pictures, a free event loop, cancelling, close."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stylert
from stylert.runtime.async_style_generator import AsyncStyleGenerator
from stylert.runtime.errors import BundleError, EngineError, InvalidInput
from stylert.runtime.generator import Generator

AWAITED = (
    *("map", "styles", "styles_between", "synthesize", "generate", "mix", "edit", "pca", "refit"),
    *("invert", "draw_gradient", "interpolate"),
)
# What does not wait for the backend: `wrapped.generator` has it.
QUICK = {
    *("count_scales", "describe", "load_direction", "load_ws", "make_style_offset"),
    *("read_relevance", "share", "style_space"),
}


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scene, 60))


def test_it_draws_what_the_generator_draws(bundle: Path, generator: Generator) -> None:
    async def scene() -> None:
        async with stylert.open_async(bundle, provider="cpu", workers=2) as wrapped:
            ws, images, grid = await asyncio.gather(
                wrapped.styles([1, 2]),
                wrapped.generate([1, 2], truncation_psi=0.5),
                wrapped.mix([1, 2], [3], layers="coarse"),
            )
            assert np.array_equal(images, generator.generate([1, 2], truncation_psi=0.5))
            assert np.array_equal(grid, generator.mix([1, 2], [3], layers="coarse"))
            assert np.array_equal(await wrapped.synthesize(ws), generator.generate([1, 2]))
            walk = [image async for image in wrapped.interpolate([1, 2], frames=10, curve="linear")]
            assert np.array_equal(walk, [*generator.interpolate([1, 2], frames=10, curve="linear")])
            assert wrapped.generator.spec == generator.spec

    run(scene())


def test_the_methods_keep_their_signatures() -> None:
    for name in AWAITED:
        assert getattr(AsyncStyleGenerator, name).__wrapped__ is getattr(Generator, name)


def test_whatever_draws_can_be_awaited() -> None:
    methods = {name for name in dir(Generator) if callable(getattr(Generator, name))}
    public = {name for name in methods if not name.startswith("_")} - {"open", "close"}
    assert public == {*AWAITED, *QUICK}


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_sent_elsewhere(bundle: Path, send: Callable[[Any], Any]) -> None:
    with pytest.raises(EngineError, match="cannot be copied or sent to another process: send the"):
        send(stylert.open_async(bundle))


def test_nothing_is_told_of_an_opening_that_nobody_waits_for(bundle: Path) -> None:
    """asyncio prints the trace of an error that nobody looked at."""
    told: list[Any] = []
    go_on = threading.Event()

    def open_late() -> Generator:
        assert go_on.wait(30)
        raise EngineError("It does not run here.")

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        wrapped = AsyncStyleGenerator(open_late)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wrapped, 0.01)
        go_on.set()
        await wrapped.close()  # its thread has ended
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()

    run(scene())
    gc.collect()
    assert not told


def test_errors_arrive_where_they_are_awaited(bundle: Path, tmp_path: Path) -> None:
    async def scene() -> None:
        with pytest.raises(BundleError, match="No bundle at"):
            await stylert.open_async(tmp_path / "nothing")
        async with stylert.open_async(bundle, provider="cpu") as wrapped:
            with pytest.raises(InvalidInput, match=r"^seeds: got "):
                await wrapped.generate([-1])
            with pytest.raises(InvalidInput, match=r"^curve: got "):
                await anext(wrapped.interpolate([1, 2], curve="zigzag"))

    run(scene())


def test_it_has_to_be_open(bundle: Path) -> None:
    async def scene() -> None:
        wrapped = stylert.open_async(bundle, provider="cpu")
        with pytest.raises(EngineError, match="not open yet"):
            await wrapped.generate([1])
        assert await wrapped is wrapped
        assert await wrapped is wrapped  # once more does no harm
        await wrapped.close()
        await wrapped.close()
        with pytest.raises(EngineError, match=r"closed. Open it again: stylert.open_async\(path\)"):
            await wrapped.generate([1])

    run(scene())


def test_it_tells_what_it_is(bundle: Path) -> None:
    async def scene() -> None:
        wrapped = stylert.open_async(bundle, provider="cpu")
        assert repr(wrapped) == "<AsyncStyleGenerator of one that is not open>"
        async with wrapped:
            assert repr(wrapped) == f"<AsyncStyleGenerator of {wrapped.generator!r}>"
        assert ", closed>" in repr(wrapped)

    run(scene())


def test_a_thread_that_does_not_start_is_no_close(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with stylert.open_async(bundle, provider="cpu") as wrapped:

            def refuse(*_: object) -> None:
                raise RuntimeError("can't start new thread")

            monkeypatch.setattr(wrapped._pool, "submit", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await wrapped.generate([1])

    run(scene())


@pytest.mark.parametrize("workers", [0, 1.5, 10**6])
def test_open_async_refuses_workers(bundle: Path, refuses: Any, workers: Any) -> None:
    with refuses("workers: got "):
        stylert.open_async(bundle, workers=workers)


class Paused(AsyncStyleGenerator):
    """One whose only thread waits until it is told to go on."""

    def __init__(self, bundle: Path) -> None:
        super().__init__(lambda: Generator.open(bundle, provider="cpu"))
        self.started, self.go_on = threading.Event(), threading.Event()

    async def pause(self) -> asyncio.Task[str]:
        """A call that runs, when this returns."""

        def wait() -> str:
            with self.generator.lifetime.in_use():
                self.started.set()
                assert self.go_on.wait(30)
                return "ended well"

        task = asyncio.create_task(self._run(wait))
        while not self.started.is_set():  # the loop goes on meanwhile
            await asyncio.sleep(0.001)
        return task


def test_an_argument_that_stops_is_an_error(bundle: Path) -> None:
    """No future can hold a StopIteration: the call would never end."""

    class Stopping(list[int]):
        def __iter__(self) -> Any:
            raise StopIteration

    async def scene() -> None:
        async with stylert.open_async(bundle) as wrapped:
            with pytest.raises(RuntimeError, match="StopIteration"):
                await asyncio.wait_for(wrapped._run(lambda: next(iter(Stopping()))), 60)
            assert (await wrapped.generate([1])).shape == (1, 32, 32, 3)

    run(scene())


def test_a_call_that_is_cancelled_before_its_turn_never_runs(bundle: Path) -> None:
    async def scene() -> None:
        drawn: list[Any] = []
        async with Paused(bundle) as wrapped:
            running = await wrapped.pause()
            waiting = asyncio.create_task(wrapped._run(lambda: drawn.append(1)))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            wrapped.go_on.set()
            assert await running == "ended well"
            assert (await wrapped.generate([1])).shape == (1, 32, 32, 3)
        assert not drawn

    run(scene())


def test_after_a_cancelled_call_the_next_one_draws(bundle: Path) -> None:
    async def scene() -> None:
        async with Paused(bundle) as wrapped:
            running = await wrapped.pause()
            running.cancel()  # its thread goes on
            with pytest.raises(asyncio.CancelledError):
                await running
            wrapped.go_on.set()
            assert (await wrapped.generate([1])).shape == (1, 32, 32, 3)

    run(scene())


def test_close_while_busy(bundle: Path) -> None:
    async def scene() -> None:
        wrapped = await Paused(bundle)
        running = await wrapped.pause()
        waiting = asyncio.create_task(wrapped.generate([1]))
        await asyncio.sleep(0)
        closing = asyncio.create_task(wrapped.close())
        while "closed" not in repr(wrapped.generator):
            await asyncio.sleep(0.001)
        assert not closing.done()
        wrapped.go_on.set()
        await closing
        assert await running == "ended well"
        with pytest.raises(EngineError, match="closed"):
            await waiting

    run(scene())


def test_a_fork_is_refused_although_no_thread_is_left(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with Paused(bundle) as wrapped:
            running = await wrapped.pause()
            with monkeypatch.context() as fork:
                fork.setattr(wrapped.generator.lifetime, "_process", -1)
                with pytest.raises(EngineError, match="is used in its fork"):
                    await wrapped.generate([1])
            wrapped.go_on.set()
            assert await running == "ended well"

    run(scene())


class Opening:
    """Opens a generator as slowly as a test wants, and counts how often."""

    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle
        self.started, self.go_on = threading.Event(), threading.Event()
        self.opened: list[Generator] = []

    def __call__(self) -> Generator:
        self.opened.append(Generator.open(self.bundle, provider="cpu"))
        self.started.set()
        assert self.go_on.wait(30)
        return self.opened[-1]

    async def begun(self) -> None:
        while not self.started.is_set():
            await asyncio.sleep(0.001)


def test_cancelled_while_it_opens_it_is_closed(bundle: Path) -> None:
    opening = Opening(bundle)

    async def scene() -> None:
        wrapped = AsyncStyleGenerator(opening)
        task = asyncio.create_task(wrapped._open())
        await opening.begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        opening.go_on.set()
        await wrapped.close()  # waits for the thread
        assert "closed" in repr(opening.opened[0])
        with pytest.raises(EngineError, match="closed"):
            await wrapped

    run(scene())


def test_several_tasks_open_it_once(bundle: Path) -> None:
    opening = Opening(bundle)

    async def scene() -> None:
        wrapped = AsyncStyleGenerator(opening)
        tasks = [asyncio.create_task(wrapped._open()) for _ in range(3)]
        await opening.begun()
        tasks[0].cancel()  # the others go on
        opening.go_on.set()
        assert await tasks[1] is await tasks[2] is wrapped
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert (await wrapped.generate([1])).shape == (1, 32, 32, 3)
        assert len(opening.opened) == 1
        await wrapped.close()

    run(scene())


def test_closed_while_it_opens(bundle: Path) -> None:
    opening = Opening(bundle)

    async def scene() -> None:
        wrapped = AsyncStyleGenerator(opening)
        task = asyncio.create_task(wrapped._open())
        await opening.begun()
        closing = asyncio.create_task(wrapped.close())
        while not wrapped._closed:
            await asyncio.sleep(0.001)
        opening.go_on.set()
        await closing
        with pytest.raises(EngineError, match="closed"):
            await task
        assert "closed" in repr(opening.opened[0])

    run(scene())


def test_closed_before_it_is_open(bundle: Path) -> None:
    async def scene() -> None:
        wrapped = stylert.open_async(bundle, provider="cpu")
        await asyncio.gather(wrapped.close(), wrapped.close())
        with pytest.raises(EngineError, match="closed"):
            await wrapped

    run(scene())


def test_it_belongs_to_no_event_loop(bundle: Path, generator: Generator) -> None:
    wrapped = stylert.open_async(bundle, provider="cpu")
    drawn: list[np.ndarray] = []

    async def open_it() -> None:
        await wrapped

    async def draw() -> None:
        drawn.append(await wrapped.generate([1]))

    run(open_it())
    threads = [threading.Thread(target=run, args=(draw(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    run(draw())
    run(wrapped.close())
    assert len(drawn) == 3
    assert all(np.array_equal(image, generator.generate([1])) for image in drawn)


def test_a_walk_that_is_left_early_holds_nothing_up(bundle: Path) -> None:
    async def scene() -> None:
        async with stylert.open_async(bundle, provider="cpu", max_batch=2) as wrapped:
            async for image in wrapped.interpolate([1, 2], frames=1000):
                assert image.shape == (32, 32, 3)
                break

    run(scene())

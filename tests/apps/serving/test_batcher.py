"""The batcher: it merges, splits, keeps the order, drops, fails alone, and drains."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest

from stylert.apps.serving.batcher import Batcher, ShuttingDown, Ticket
from stylert.apps.serving.draw_rate import DrawRate
from stylert.runtime.bundle import TensorSpec
from stylert.runtime.feeds import Feeds
from stylert.runtime.lifetime import Lifetime
from stylert.runtime.noise import NoiseSource

NOISE_INPUTS = (TensorSpec("noise_a", "float32", ("N", 1, 2, 2)),)
GRAPHS = ("synthesis",)


class Backend:
    """A session that doubles what it gets, notes the calls, and waits where a test wants it to."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.noise: list[np.ndarray | None] = []
        self.go_on = threading.Event()
        self.running = threading.Event()
        self.go_on.set()

    def run(self, graphs: Any, feeds: Feeds, outputs: Any) -> list[np.ndarray]:
        rows = feeds.draw_rows()
        self.noise.append(rows.get("noise_a"))
        self.calls.append(rows["x"].tolist())
        self.running.set()
        assert self.go_on.wait(60)
        if 13 in rows["x"]:
            raise RuntimeError("thirteen")
        return [rows["x"] * 2]

    def close(self) -> None:
        pass


@pytest.fixture
def backend() -> Backend:
    return Backend()


def open_batcher(backend: Any, **options: Any) -> Batcher:
    return Batcher(Lifetime(backend), **options)


@pytest.fixture
def batcher(backend: Backend) -> Iterator[Batcher]:
    opened = open_batcher(backend, max_batch=4, wait=0.0)
    yield opened
    opened.close()


def hold(batcher: Batcher, backend: Backend) -> Any:
    """Keep the backend busy with one row, so that what comes next has to wait."""
    backend.go_on.clear()
    future = ask(batcher, 0)
    assert backend.running.wait(60)
    return future


def ask(
    batcher: Batcher,
    *x: int,
    output: str = "f",
    ticket: Any = None,
    noise: Feeds | None = None,
    alone: bool = False,
) -> Any:
    feeds = (noise or Feeds(len(x))).with_rows({"x": np.array(x)})
    return batcher.submit(GRAPHS, feeds, output, ticket or Ticket(), alone=alone)


def test_what_waits_is_drawn_together_in_its_order(batcher: Batcher, backend: Backend) -> None:
    hold(batcher, backend)
    futures = [ask(batcher, i) for i in (1, 2, 3)]
    assert batcher.depth == 3
    backend.go_on.set()
    assert [future.result(60).tolist() for future in futures] == [[2], [4], [6]]
    assert backend.calls == [[0], [1, 2, 3]]


def test_a_large_task_takes_several_calls_and_shares_the_last(
    batcher: Batcher, backend: Backend
) -> None:
    hold(batcher, backend)
    large, small = ask(batcher, 1, 2, 3, 4, 5, 6), ask(batcher, 7)
    backend.go_on.set()
    assert large.result(60).tolist() == [2, 4, 6, 8, 10, 12]
    assert small.result(60).tolist() == [14]
    assert backend.calls == [[0], [1, 2, 3, 4], [5, 6, 7]]


def test_other_outputs_are_other_calls_and_the_oldest_goes_first(
    batcher: Batcher, backend: Backend
) -> None:
    hold(batcher, backend)
    futures = [ask(batcher, i, output="g" if i == 2 else "f") for i in (1, 2, 3)]
    backend.go_on.set()
    assert [future.result(60).tolist() for future in futures] == [[2], [4], [6]]
    assert backend.calls == [[0], [1, 3], [2]]


def test_a_task_waits_for_others_but_a_full_batch_does_not(backend: Backend) -> None:
    batcher = open_batcher(backend, max_batch=2, wait=60.0)
    futures = [ask(batcher, i) for i in (1, 2, 3)]
    assert [future.result(60).tolist() for future in futures[:2]] == [[2], [4]]
    assert not futures[2].done()
    batcher.close()  # nor does it wait at the end
    assert futures[2].result(0).tolist() == [6]
    assert backend.calls == [[1, 2], [3]]


def test_cancelled_tasks_are_not_drawn(batcher: Batcher, backend: Backend) -> None:
    hold(batcher, backend)
    ticket = Ticket()
    gone, stays = ask(batcher, 1, 2, 3, 4, 5, ticket=ticket), ask(batcher, 6)
    ticket.cancelled = True
    backend.go_on.set()
    assert stays.result(60).tolist() == [12]
    with pytest.raises(CancelledError):
        gone.result(60)
    assert backend.calls == [[0], [6]]


def test_an_error_is_of_its_batch_alone(batcher: Batcher, backend: Backend) -> None:
    hold(batcher, backend)
    unlucky = [ask(batcher, 13, 1, 2), ask(batcher, 3, 4, 5, 6, 7)]
    lucky = ask(batcher, 8)
    backend.go_on.set()
    for future in unlucky:
        with pytest.raises(RuntimeError, match="thirteen"):
            future.result(60)
    assert lucky.result(60).tolist() == [16]
    assert backend.calls == [[0], [13, 1, 2, 3], [8]]  # the rest of a lost task is not drawn


def test_closing_draws_what_waits_and_takes_no_more(batcher: Batcher, backend: Backend) -> None:
    hold(batcher, backend)
    future = ask(batcher, 1)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    backend.go_on.set()
    closing.join(60)
    assert future.result(0).tolist() == [2]
    with pytest.raises(ShuttingDown):
        ask(batcher, 2)


def test_it_tells_the_size_of_every_call(backend: Backend) -> None:
    seen: list[tuple[Any, int]] = []
    observe = lambda graphs, images, _: seen.append((graphs, images))  # noqa: E731
    batcher = open_batcher(backend, max_batch=2, wait=60.0, observe=observe)
    ask(batcher, 1, 2, 3)
    batcher.close()
    assert seen == [(GRAPHS, 2), (GRAPHS, 1)]


def test_it_tells_the_seconds_in_which_it_drew_and_no_others(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, seen, draw = [0.0], [], backend.run

    def run(*arguments: Any) -> Any:
        now[0] += 2
        return draw(*arguments)

    monkeypatch.setattr(backend, "run", run)
    rate = DrawRate()

    def observe(graphs: Any, images: int, seconds: float) -> None:
        seen.append((images, seconds))
        rate.add(images, seconds)

    batcher = open_batcher(backend, max_batch=4, wait=0, observe=observe, clock=lambda: now[0])
    ask(batcher, 1, 2, 3, 4).result(60)
    now[0] += 1000  # nobody asks for anything
    ask(batcher, 5, 6).result(60)
    now[0] += 1000
    batcher.close()
    assert seen == [(4, 2.0), (2, 2.0)]
    assert rate.seconds_for(6) == 4


def test_who_is_alone_shares_no_call(batcher: Batcher, backend: Backend) -> None:
    hold(batcher, backend)
    futures = [ask(batcher, i, alone=i == 2) for i in (1, 2, 3)]
    backend.go_on.set()
    assert [future.result(60).tolist() for future in futures] == [[2], [4], [6]]
    assert backend.calls == [[0], [1, 3], [2]]


def test_noise_of_seeds_is_drawn_with_its_batch(batcher: Batcher, backend: Backend) -> None:
    """Not while a request waits: for a large picture it is megabytes."""
    drawn: list[list[int]] = []
    source = NoiseSource(NOISE_INPUTS, {})
    draw = source.seeded
    source.seeded = lambda seeds: drawn.append(list(seeds)) or draw(seeds)  # type: ignore[assignment, func-returns-value]
    hold(batcher, backend)
    one_for_all = source.feed("seeded", 7, None, batch=3)
    each = source.feed("seeded", [8, 9], None, batch=2)
    first, second = ask(batcher, 1, 2, 3, noise=one_for_all), ask(batcher, 4, 5, noise=each)
    plain = ask(batcher, 6)
    assert drawn == []
    backend.go_on.set()
    assert first.result(60).tolist() == [2, 4, 6]
    assert second.result(60).tolist() == [8, 10]
    assert plain.result(60).tolist() == [12]
    assert backend.calls == [[0], [1, 2, 3, 4], [5], [6]]
    assert drawn == [[7, 7, 7, 8], [9]]
    assert np.array_equal(backend.noise[1], draw([7, 7, 7, 8])["noise_a"])


def test_other_constants_are_other_calls(batcher: Batcher, backend: Backend) -> None:
    hold(batcher, backend)
    modes = ("const", "none", "const")
    source = NoiseSource(NOISE_INPUTS, {"noise_a": np.ones((1, 1, 2, 2), np.float32)})
    for i, mode in enumerate(modes):
        ask(batcher, i + 1, noise=source.feed(mode, None, None, batch=1))
    backend.go_on.set()
    batcher.close()
    assert backend.calls == [[0], [1, 3], [2]]

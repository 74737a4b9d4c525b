"""The batcher: it merges, splits, keeps the order, drops, fails alone, and drains."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest

from stylert.apps.serving.batcher import Batcher, Rows, ShuttingDown, Ticket


class Backend:
    """Doubles what it gets, notes the calls, and waits where a test wants it to."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.go_on = threading.Event()
        self.running = threading.Event()
        self.go_on.set()

    def __call__(self, rows: Rows) -> np.ndarray:
        self.calls.append(rows["x"].tolist())
        self.running.set()
        assert self.go_on.wait(20)
        if 13 in rows["x"]:
            raise RuntimeError("thirteen")
        return rows["x"] * 2


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    opened = Batcher(max_batch=4, wait=0.0)
    yield opened
    opened.close()


def hold(batcher: Batcher, backend: Backend) -> Any:
    """Keep the backend busy with one row, so that what comes next has to wait."""
    backend.go_on.clear()
    future = batcher.submit(("f",), backend, {"x": np.array([0])}, Ticket())
    assert backend.running.wait(20)
    return future


def ask(batcher: Batcher, backend: Backend, *x: int, key: str = "f", ticket: Any = None) -> Any:
    return batcher.submit((key,), backend, {"x": np.array(x)}, ticket or Ticket())


def test_what_waits_is_drawn_together_in_its_order(batcher: Batcher, backend: Backend) -> None:
    hold(batcher, backend)
    futures = [ask(batcher, backend, i) for i in (1, 2, 3)]
    assert batcher.depth == 3
    backend.go_on.set()
    assert [future.result(20).tolist() for future in futures] == [[2], [4], [6]]
    assert backend.calls == [[0], [1, 2, 3]]


def test_a_large_task_takes_several_calls_and_shares_the_last(
    batcher: Batcher, backend: Backend
) -> None:
    hold(batcher, backend)
    large, small = ask(batcher, backend, 1, 2, 3, 4, 5, 6), ask(batcher, backend, 7)
    backend.go_on.set()
    assert large.result(20).tolist() == [2, 4, 6, 8, 10, 12]
    assert small.result(20).tolist() == [14]
    assert backend.calls == [[0], [1, 2, 3, 4], [5, 6, 7]]


def test_other_keys_are_other_calls_and_the_oldest_goes_first(
    batcher: Batcher, backend: Backend
) -> None:
    hold(batcher, backend)
    futures = [ask(batcher, backend, i, key="g" if i == 2 else "f") for i in (1, 2, 3)]
    backend.go_on.set()
    assert [future.result(20).tolist() for future in futures] == [[2], [4], [6]]
    assert backend.calls == [[0], [1, 3], [2]]


def test_a_task_waits_for_others_but_a_full_batch_does_not(backend: Backend) -> None:
    batcher = Batcher(max_batch=2, wait=60.0)
    futures = [ask(batcher, backend, i) for i in (1, 2, 3)]
    assert [future.result(20).tolist() for future in futures[:2]] == [[2], [4]]
    assert not futures[2].done()
    batcher.close()  # nor does it wait at the end
    assert futures[2].result(0).tolist() == [6]
    assert backend.calls == [[1, 2], [3]]


def test_cancelled_tasks_are_not_drawn(batcher: Batcher, backend: Backend) -> None:
    hold(batcher, backend)
    ticket = Ticket()
    gone, stays = ask(batcher, backend, 1, 2, 3, 4, 5, ticket=ticket), ask(batcher, backend, 6)
    ticket.cancelled = True
    backend.go_on.set()
    assert stays.result(20).tolist() == [12]
    with pytest.raises(CancelledError):
        gone.result(20)
    assert backend.calls == [[0], [6]]


def test_an_error_is_of_its_batch_alone(batcher: Batcher, backend: Backend) -> None:
    hold(batcher, backend)
    unlucky = [ask(batcher, backend, 13, 1, 2), ask(batcher, backend, 3, 4, 5, 6, 7)]
    lucky = ask(batcher, backend, 8)
    backend.go_on.set()
    for future in unlucky:
        with pytest.raises(RuntimeError, match="thirteen"):
            future.result(20)
    assert lucky.result(20).tolist() == [16]
    assert backend.calls == [[0], [13, 1, 2, 3], [8]]  # the rest of a lost task is not drawn


def test_closing_draws_what_waits_and_takes_no_more(batcher: Batcher, backend: Backend) -> None:
    hold(batcher, backend)
    future = ask(batcher, backend, 1)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    backend.go_on.set()
    closing.join(20)
    assert future.result(0).tolist() == [2]
    with pytest.raises(ShuttingDown):
        ask(batcher, backend, 2)


def test_it_tells_the_size_of_every_call(backend: Backend) -> None:
    seen: list[tuple[str, int]] = []
    batcher = Batcher(max_batch=2, wait=60.0, observe=lambda *call: seen.append(call))
    ask(batcher, backend, 1, 2, 3)
    batcher.close()
    assert seen == [("f", 2), ("f", 1)]

"""The pipeline: in order, bounded, and it ends well whatever fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from stylert.apps.datasets.pipeline import open_pipeline


def run_pipeline(draw: Iterable[int], encode: Any, write: Any, **sizes: Any) -> None:
    with open_pipeline(encode, write, **sizes) as put:
        for item in draw:
            if not put(item):
                break


def test_results_are_written_in_the_order_of_drawing() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.01 if number % 5 == 0 else 0)
        return -number

    written: list[int] = []
    run_pipeline(range(50), slow_at_first, written.append, encoders=4, waiting=10)
    assert written == [-number for number in range(50)]


def test_all_three_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=30)  # nobody goes on before all three are there

    def draw() -> Iterator[Any]:
        yield "written"
        yield "encoded"
        meeting.wait()

    def encode(item: str) -> str:
        if item == "encoded":
            meeting.wait()
        return item

    def write(item: str) -> None:
        if item == "written":
            meeting.wait()

    run_pipeline(draw(), encode, write, encoders=2, waiting=2)


def test_what_waits_is_bounded() -> None:
    drawn: list[int] = []
    gate = threading.Event()

    def draw() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    written: list[int] = []

    def write(number: int) -> None:
        gate.wait(30)
        assert len(drawn) - len(written) <= 7 + 1  # one more is in the hands of the drawer
        written.append(number)

    thread = threading.Thread(
        target=run_pipeline, args=(draw(), abs, write), kwargs={"encoders": 2, "waiting": 7}
    )
    thread.start()
    while len(drawn) < 8:
        time.sleep(0.001)
    gate.set()
    thread.join(30)
    assert written == list(range(100))


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_what_was_drawn_before_a_failure_is_written(error: BaseException) -> None:
    def draw() -> Iterator[int]:
        yield from range(5)
        raise error

    written: list[int] = []
    with pytest.raises(type(error)) as caught:
        run_pipeline(draw(), abs, written.append, encoders=2, waiting=10)
    assert caught.value is error
    assert written == list(range(5))


@pytest.mark.parametrize("stage", ["encode", "write"])
def test_a_failure_stops_the_drawing(stage: str) -> None:
    drawn: list[int] = []
    written: list[int] = []

    def draw() -> Iterator[int]:
        for number in range(1_000_000):
            drawn.append(number)
            yield number

    def fail(number: int) -> int:
        if number == 3:
            raise OSError(28, "No space left on device")
        written.append(number)
        return number

    both = {"encode": abs, "write": written.append} | {stage: fail}
    with pytest.raises(OSError, match="No space left"):
        run_pipeline(draw(), **both, encoders=1, waiting=4)
    assert len(drawn) <= 3 + 4 + 2
    if stage == "write":
        assert written == [0, 1, 2]
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("encode", "write"))]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), None])
def test_what_no_encoder_has_begun_with_is_left_out(error: BaseException | None) -> None:
    """Where encoding draws: at the end of a job that fails nobody waits for more of it."""
    begun: list[int] = []
    gate, second = threading.Event(), threading.Event()

    def draw(number: int) -> int:
        begun.append(number)
        if number == 1:
            second.set()
        assert gate.wait(30)
        if error is None and number == 0:
            raise OSError(28, "No space left on device")
        return number

    def give() -> Iterator[int]:
        yield from range(6)
        assert second.wait(30)
        if error is None:
            gate.set()
            yield from range(6, 1_000_000)
        else:
            threading.Timer(0.05, gate.set).start()
            raise error

    written: list[int] = []
    with pytest.raises(OSError if error is None else KeyboardInterrupt):
        run_pipeline(give(), draw, written.append, encoders=2, waiting=6, are_drawn=False)
    assert written == ([] if error is None else [0, 1])
    assert sorted(begun) == [*range(len(begun))]
    assert len(begun) < 12 if error is None else len(begun) == 2

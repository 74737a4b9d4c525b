"""What a log is told of a long job."""

from __future__ import annotations

from stylert.commands.console import log_progress


def lines_of(start: float, *calls: tuple[float, int], total: int, seconds: float) -> list[str]:
    """What is told of calls at these seconds, with these images done."""
    lines: list[str] = []
    clock = iter([start, *(now for now, _ in calls)])
    log = log_progress(lines.append, seconds=seconds, clock=lambda: next(clock))
    for _, done in calls:
        log(done, total)
    return lines


def test_a_line_now_and_then_with_the_rate_since_the_start() -> None:
    calls = ((101, 40), (110, 60), (131, 80), (140, 100), (161, 162), (190, 1000))
    assert lines_of(100, *calls, total=1040, seconds=30) == [
        "80 of 1040 images, 1.3 images/s, 0:12:24 left",  # 40 new ones in 31 s
        "162 of 1040 images, 2.0 images/s, 0:07:19 left",
    ]


def test_nothing_is_told_of_what_was_there() -> None:
    lines = lines_of(0, (0, 40), (4, 40), (4, 41), total=43, seconds=0)
    assert lines == ["41 of 43 images, 0.2 images/s, 0:00:08 left"]


def test_a_clock_that_stands_still_is_no_error() -> None:
    assert lines_of(5, (5, 0), (5, 1), (5, 2), total=2, seconds=0) == []

"""How long the device takes for what it is given, by its own clock: for the benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stylert.runtime.backends.cuda.device import Device, Event, Stream

__all__ = ["LaunchTimer"]


class LaunchTimer:
    """Takes the time of launches, between events on their streams. For one thread.

    Args:
        device: that they run on.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._spans: list[tuple[Event, Event]] = []

    @contextmanager
    def around(self, stream: Stream) -> Iterator[None]:
        """Take the time of what is queued on the stream meanwhile. Nobody waits."""
        with self.device.active():
            start = self.device.mark(stream)
        yield
        with self.device.active():
            self._spans.append((start, self.device.mark(stream)))

    def seconds(self) -> float:
        """Sum of all times since this was last asked; waits until the work is done."""
        spans, self._spans = self._spans, []
        with self.device.active():
            return sum(self.device.seconds_between(start, end) for start, end in spans)

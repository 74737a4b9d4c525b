"""How fast images are drawn while there are some to draw: what a client is told to wait by."""

from __future__ import annotations

import math
import threading
from collections import deque

__all__ = ["DrawRate"]

_RECENT = 32  # calls to the backend; the first, which are slow, are soon forgotten
_LONGEST = 60  # seconds


class DrawRate:
    """The images of the recent calls to the backend, over the seconds that these calls took.

    The time between calls does not count: an idle service is as fast as a busy one.
    """

    def __init__(self) -> None:
        self._calls: deque[tuple[int, float]] = deque(maxlen=_RECENT)
        self._lock = threading.Lock()

    def add(self, images: int, seconds: float) -> None:
        """Note a call.

        Args:
            images: that are now drawn; 0 = the call was a step towards some.
            seconds: that it took.
        """
        with self._lock:
            self._calls.append((images, seconds))

    def seconds_for(self, images: int) -> int:
        """Seconds that so many images take, 1 to 60; 1 if none has been drawn yet."""
        with self._lock:
            drawn = sum(images for images, _ in self._calls)
            busy = sum(seconds for _, seconds in self._calls)
        if not drawn:
            return 1
        return max(1, min(_LONGEST, math.ceil(images * busy / drawn)))

"""Values that change evenly from frame to frame, such as a rotation of a video's pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Ramp"]


@dataclass(frozen=True)
class Ramp:
    """A value that changes from the first frame to the last.

    On a loop it goes to the end and back again, so that nothing jumps; unless it comes back to
    where it was by itself, as degrees do after whole turns: then it goes straight on.

        Ramp(0, 360, turn=360).over(120, loop=True)     # degrees, once around
    """

    start: float | tuple[float, ...]  # of the first frame, a number or [D]
    end: float | tuple[float, ...]  # of the last frame, on a loop that in the middle
    turn: float | None = None  # what a whole turn is, such as 360 of degrees; None = no turns

    def over(self, frames: int, *, loop: bool) -> np.ndarray:
        """The values of all frames: [frames] or [frames, D] float64.

        Args:
            frames: how many.
            loop: whether the first frame follows on the last.
        """
        start, end = np.asarray(self.start, np.float64), np.asarray(self.end, np.float64)
        share = np.arange(frames) / max(1, frames if loop else frames - 1)
        whole = self.turn is not None and bool(np.all((end - start) % self.turn == 0))
        if loop and not whole:
            share = 1 - np.abs(1 - 2 * share)
        share = share.reshape(-1, *[1] * start.ndim)
        return np.asarray(start + share * (end - start))

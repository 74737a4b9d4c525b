"""The limits of the service: what one request may ask for, and how much may wait."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stylert.runtime.arguments import check_integer, shown
from stylert.runtime.errors import InvalidInput

__all__ = ["Settings"]

_LONGEST = 86_400.0
_COUNTS = (
    *("max_queue", "max_images", "max_side", "max_frames", "max_body", "max_connections"),
    *("max_photo_body", "max_pixels", "job_steps", "job_threads"),
)
_TIMES = (
    "batch_wait",
    "read_seconds",
    "draw_seconds",
    "video_seconds",
    "send_seconds",
    "stop_seconds",
    "job_seconds",
    "job_patience",
)


@dataclass(frozen=True)
class Settings:
    """How the service treats its clients.

    The images of all requests that are not answered yet are in memory: `max_queue` times their
    size, and once more for grids.

    Raises:
        InvalidInput: a number out of range, or a token that no header can hold.
    """

    max_batch: int | None = None  # images of one call to the backend, None = as the generator
    batch_wait: float = 0.003  # seconds that an image waits for others to be drawn with
    max_queue: int = 256  # images asked for and not yet encoded; more are refused with 429
    max_images: int = 64  # of one request
    max_side: int = 8192  # of a grid, in pixels
    max_frames: int = 1800  # of a video: a minute
    max_body: int = 1 << 20  # bytes of a request
    read_seconds: float = 10.0  # for the headers, and again for the body
    draw_seconds: float = 60.0  # from the whole request to its answer; then 504
    video_seconds: float = 600.0  # the same for a video
    send_seconds: float = 30.0  # that a client may take no bytes of an answer
    stop_seconds: float = 30.0  # for the running requests when the service stops
    max_connections: int = 512
    max_photo_body: int = 12 << 20  # bytes of a request with photos, which are a third larger in it
    max_pixels: int = 50_000_000  # of a photo
    max_jobs: int = 4  # on photos and words, that wait or run; one runs at a time; 0 = none
    job_steps: int = 1000  # of one
    job_seconds: float = 300.0  # that one may run; then it ends with what it has found
    job_patience: float = 60.0  # that nobody asks for it; then it ends, and is forgotten
    job_threads: int = 1  # of the processor, for jobs and inversions
    token: str | None = None  # asked for as 'Authorization: Bearer TOKEN'
    hosts: tuple[str, ...] | None = None  # names in the header Host that are served, None = all

    def __post_init__(self) -> None:
        for name in _COUNTS:
            check_integer(name, getattr(self, name), 1)
        check_integer("max_jobs", self.max_jobs, 0)
        if self.max_batch is not None:
            check_integer("max_batch", self.max_batch, 1)
        for name in _TIMES:
            seconds = getattr(self, name)
            if not math.isfinite(seconds) or not 0 <= seconds <= _LONGEST:
                raise InvalidInput(f"{name}: got {shown(seconds)}, expected 0 to {_LONGEST:g} s.")
        if self.max_images > self.max_queue:
            raise InvalidInput(
                f"max_images: got {self.max_images}, expected up to max_queue, {self.max_queue}."
            )
        if self.token is not None and not _fits_a_header(self.token):
            got = "another" if self.token.strip() else "an empty one"
            raise InvalidInput(
                f"token: got {got}, expected printable ASCII characters without spaces; leave it "
                "out, and STYLERT_TOKEN unset, to ask for no token."
            )


def _fits_a_header(token: str) -> bool:
    return bool(token) and all("!" <= character <= "~" for character in token)

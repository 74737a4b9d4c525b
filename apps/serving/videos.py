"""Walks as videos: each frame is a request for one picture, so they share batches with all others.

Frames are drawn a batch ahead of the encoder, which has a thread of its own: memory does not grow
with the length of a video, and other requests wait no longer than for other pictures.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path

import numpy as np

from stylert.apps.serving.drawing import count_images
from stylert.apps.serving.requests import VIDEO_TYPES, InterpolateRequest, VideoRequest
from stylert.apps.serving.service import Overloaded, Service, TooSlow
from stylert.apps.video import VideoFile
from stylert.runtime.control.interpolation import make_frame_times
from stylert.runtime.errors import InvalidInput

__all__ = ["Videos"]

_AT_ONCE = 2  # videos: an encoder takes several threads
_MOST_HELD = 1 << 28  # bytes of the frames of a .gif or .webp, which are in memory until the end


class Videos:
    """Draws walks as videos, with a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._running = 0  # only the event loop's thread counts

    async def draw(self, request: VideoRequest) -> tuple[bytes, str]:
        """Draw all frames and encode them.

        Returns:
            the body of the answer, and its media type.

        Raises:
            InvalidInput: a value that does not fit, or a walk that is too long.
            MissingExtra: the format needs PyAV, which is not installed.
            Overloaded: other videos are drawn already.
            TooSlow: it took too long.
            ShuttingDown: the service ends.
            EngineError: the backend or the encoder failed.
        """
        stills = self._checked_stills(request)
        if self._running >= _AT_ONCE:
            raise Overloaded(f"The service draws {_AT_ONCE} videos already. Try again later.", 10)
        self._running += 1
        frames = _Frames(self._service, stills)
        seconds = self._service.settings.video_seconds
        try:
            encoding = asyncio.to_thread(_encode, frames, len(stills), request)
            return await asyncio.wait_for(encoding, seconds), VIDEO_TYPES[request.format]
        except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
            raise TooSlow(
                f"The video took longer than {seconds:g} s. Ask for fewer frames."
            ) from None
        finally:
            frames.stop()
            self._running -= 1

    def _checked_stills(self, request: VideoRequest) -> list[InterpolateRequest]:
        """The requests for the frames, one by one."""
        walk, spec = request.walk, self._service.generator.spec
        if walk.frames is None or walk.t is not None:
            raise InvalidInput("walk: got t or no frames, expected frames: how many to the next.")
        if walk.output != "image":
            raise InvalidInput(f"walk: got the output {walk.output!r}, expected 'image'.")
        count, most = count_images(walk), self._service.settings.max_frames
        if request.format in ("gif", "webp"):
            most = min(most, _MOST_HELD // (spec.img_height * spec.img_width * 3))
        if count > most:
            raise InvalidInput(
                f"walk: got {count} frames, expected up to {most} for {request.format}. Ask for "
                "fewer from keyframe to keyframe, or for fewer keyframes."
            )
        times = make_frame_times(len(walk.seeds), walk.frames, loop=walk.loop)
        segments = len(walk.seeds) if walk.loop else len(walk.seeds) - 1
        still = {"frames": None, "layout": None, "quality": None}
        return [walk.model_copy(update={**still, "t": float(t) / segments}) for t in times]


class _Frames:
    """The frames [H, W, C] of requests, for the encoder's thread; a batch may be ahead of it."""

    def __init__(self, service: Service, stills: list[InterpolateRequest]) -> None:
        self._service = service
        self._stills = stills
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Lock()  # guards the two below
        self._ahead: deque[Future[np.ndarray]] = deque()
        self._stopped = False

    def __iter__(self) -> Iterator[np.ndarray]:
        for still in self._stills:
            self._ask(still)
            if len(self._ahead) > self._service.max_batch:
                yield self._take()
        while self._ahead:
            yield self._take()

    def stop(self) -> None:
        """Nobody wants the rest: what waits is not drawn, and the encoder's thread ends."""
        with self._changed:
            self._stopped = True
            for frame in self._ahead:
                frame.cancel()

    def _ask(self, still: InterpolateRequest) -> None:
        with self._changed:
            if self._stopped:
                raise CancelledError
            drawing = self._draw(still)
            self._ahead.append(asyncio.run_coroutine_threadsafe(drawing, self._loop))

    def _take(self) -> np.ndarray:
        image = self._ahead[0].result()  # it stays among those that can be stopped
        self._ahead.popleft()
        return image

    async def _draw(self, still: InterpolateRequest) -> np.ndarray:
        while True:
            try:
                body, _ = await self._service.answer(still, format="npy", layout=None)
            except Overloaded as busy:  # by requests that came before
                await asyncio.sleep(busy.retry_after)
            else:
                images: list[np.ndarray] = [*np.load(io.BytesIO(body), allow_pickle=False)]
                if len(images) == 1:
                    return images[0]
                raise InvalidInput("walk: got several mix_seeds, expected one for all frames.")


def _encode(frames: _Frames, total: int, request: VideoRequest) -> bytes:
    with tempfile.TemporaryDirectory(prefix="stylert-") as folder:
        path = Path(folder) / f"walk.{request.format}"
        VideoFile(path, fps=request.fps).write(frames, total=total)
        return path.read_bytes()

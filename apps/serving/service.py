"""The service without HTTP: it lets requests in, has them drawn, and encodes their images."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from stylert.apps.serving.batcher import Batcher, ShuttingDown, Ticket
from stylert.apps.serving.components import Components
from stylert.apps.serving.draw_rate import DrawRate
from stylert.apps.serving.drawing import count_columns, count_images, draw
from stylert.apps.serving.encoding import Encoding
from stylert.apps.serving.metrics import Metrics
from stylert.apps.serving.request_session import RequestSession
from stylert.apps.serving.requests import Format, Layout, PictureRequest
from stylert.apps.serving.settings import Settings
from stylert.runtime import Generator
from stylert.runtime.errors import InvalidInput, StylertError
from stylert.runtime.session import Graphs

__all__ = ["Overloaded", "Service", "TooSlow"]

_MOST_THREADS = 128


class Overloaded(StylertError):
    """Too many images are asked for at the same time.

    Attributes:
        retry_after: seconds after which there may be room.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooSlow(StylertError):
    """The images were not drawn within the time limit."""


class Service:
    """Draws the images of many requests at a time on one generator.

    Every request has a thread of its own, which checks it, waits for its images, and encodes them;
    the batcher's thread alone runs the backend.
    """

    def __init__(self, generator: Generator, settings: Settings, metrics: Metrics) -> None:
        self.generator = generator
        self.settings = settings
        self.metrics = metrics
        asked = settings.max_batch or generator.max_batch
        self.max_batch = min(asked, generator.max_batch)
        self._batcher = Batcher(
            generator.lifetime,
            max_batch=self.max_batch,
            wait=settings.batch_wait,
            observe=self._observe,
        )
        self._threads = ThreadPoolExecutor(
            min(settings.max_queue, _MOST_THREADS), thread_name_prefix="stylert-request"
        )
        self._components = Components(generator.spec)
        self._open = 0  # images let in; only the event loop's thread counts
        self._rate = DrawRate()
        self._closed = False
        metrics.watch(queue=lambda: self._batcher.depth, images_open=lambda: self._open)

    async def answer(
        self, request: PictureRequest, *, format: Format, layout: Layout | None
    ) -> tuple[bytes, str]:
        """Draw what a request asks for.

        Args:
            request: what to draw.
            format: of the images.
            layout: None = what fits.

        Returns:
            the body of the answer, and its media type.

        Raises:
            InvalidInput: a value that does not fit the generator, or beyond the limits.
            Overloaded: too many images are asked for already.
            TooSlow: it took too long.
            ShuttingDown: the service ends.
            EngineError: the backend failed.
        """
        if self._closed:
            raise ShuttingDown
        images = self._checked_count(request)
        encoding = Encoding.chosen(
            images=images,
            format=format,
            layout=layout,
            quality=request.quality,
            columns=count_columns(request),
            output=request.output,
        )
        self._check_grid(encoding, images)
        with self._let_in(images):
            body = await self._within_time(request, encoding)
        self.metrics.images.inc(images)
        return body, encoding.media_type

    @property
    def is_drawing(self) -> bool:
        """Whether pictures are asked for at this moment."""
        return self._open > 0

    def close(self) -> None:
        """Draw what still waits, then end the threads. The generator stays open."""
        self._closed = True
        self._batcher.close()
        self._threads.shutdown()

    async def _within_time(self, request: PictureRequest, encoding: Encoding) -> bytes:
        ticket = Ticket()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._draw, request, encoding, ticket)
        try:
            return await asyncio.wait_for(work, self.settings.draw_seconds)
        except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
            raise TooSlow(
                f"The images took longer than {self.settings.draw_seconds:g} s. Ask for fewer."
            ) from None
        finally:
            ticket.cancelled = True  # nobody waits any more: answered, too late, or gone

    def _draw(self, request: PictureRequest, encoding: Encoding, ticket: Ticket) -> bytes:
        generator = self._share(ticket)
        pca = self._share(ticket, alone=True).pca  # the same components every time
        find_direction = partial(self._components.find_direction, pca=pca)
        return encoding.encode(draw(request, generator, find_direction))

    def _share(self, ticket: Ticket, *, alone: bool = False) -> Generator:
        """The generator for one request."""
        describe = self.generator.describe
        session = RequestSession(self._batcher, ticket, alone=alone, describe=describe)
        return self.generator.share(session)

    def _checked_count(self, request: PictureRequest) -> int:
        images = count_images(request)
        if images > self.settings.max_images:
            raise InvalidInput(
                f"The request is for {images} images, expected up to {self.settings.max_images}."
            )
        return images

    def _check_grid(self, encoding: Encoding, images: int) -> None:
        if encoding.layout != "grid":
            return
        spec = self.generator.spec
        columns = encoding.columns or math.ceil(math.sqrt(images))
        side = max(columns * spec.img_width, math.ceil(images / columns) * spec.img_height)
        if side > self.settings.max_side:
            raise InvalidInput(
                f"layout: got a grid of {side} pixels a side, expected up to "
                f"{self.settings.max_side}. Ask for a zip file."
            )

    @contextmanager
    def _let_in(self, images: int) -> Iterator[None]:
        """Room for images until they are encoded."""
        if self._open + images > self.settings.max_queue:
            seconds = self._rate.seconds_for(self._open)
            raise Overloaded(
                f"The service is busy with {self._open} images, and takes up to "
                f"{self.settings.max_queue}. Try again in {seconds} s.",
                seconds,
            )
        self._open += images
        try:
            yield
        finally:
            self._open -= images

    def _observe(self, graphs: Graphs, images: int, seconds: float) -> None:
        self.metrics.batches.labels("+".join(graphs)).observe(images)
        self._rate.add(images if "synthesis" in graphs else 0, seconds)

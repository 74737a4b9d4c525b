"""What the service counts and times, for Prometheus; and the middleware that does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["COUNTED", "CountingMiddleware", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # bounds of the buckets
SIZES = (1, 2, 4, 8, 16, 32, 64)  # of batches
# Title, text, labels, and the bounds of a histogram, which a counter does not have.
COUNTED: Mapping[str, tuple[str, str, tuple[str, ...], tuple[float, ...]]] = {
    "requests": ("stylert_requests", "Requests answered.", ("method", "route", "status"), ()),
    "seconds": (
        "stylert_request_seconds",
        "Time from a request's headers to the end of its answer.",
        ("route",),
        SECONDS,
    ),
    "batches": ("stylert_batch_size", "Rows of a call to the backend.", ("call",), SIZES),
    "images": ("stylert_images", "Images sent.", (), ()),
}
_METHODS = ("GET", "HEAD", "POST")


class Metrics:
    """The numbers of one service, in a registry of its own; the first are those of COUNTED."""

    requests: Counter
    seconds: Histogram
    batches: Histogram
    images: Counter

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        for name, (title, text, labels, bounds) in COUNTED.items():
            kind = partial(Histogram, buckets=bounds) if bounds else Counter
            setattr(self, name, kind(title, text, labels, registry=registry))
        self._queue = Gauge(
            "stylert_queue_depth", "Rows that wait for the backend.", registry=registry
        )
        self._open = Gauge(
            "stylert_images_open", "Images asked for and not yet encoded.", registry=registry
        )

    def watch(self, *, queue: Callable[[], int], images_open: Callable[[], int]) -> None:
        """Ask these for their numbers when somebody asks for the metrics."""
        self._queue.set_function(queue)
        self._open.set_function(images_open)

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)


class CountingMiddleware:
    """Counts and times every request; routes that there are not are 'other'."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, routes: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status = "none"  # the client went before an answer
        started = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
        return None

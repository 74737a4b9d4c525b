"""Answers that every part of the service gives: errors as JSON, and the headers of all answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["AnswerMiddleware", "HeadMiddleware", "error_response"]

_log = logging.getLogger("stylert.serving")

# The page takes scripts, styles and pictures from here alone; nobody may put it into a frame.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as JSON: {"error": "one line"}."""
    line = " ".join(message.split())
    # In ASCII: a message may quote what UTF-8 cannot hold.
    return Response(
        json.dumps({"error": line}), status, dict(headers or {}), media_type="application/json"
    )


class AnswerMiddleware:
    """Puts the headers that protect the page onto every answer.

    What nobody expected is a 500 that tells nothing of the inside; the log does.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception as error:
            if started:  # too late for another answer
                raise
            _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            message = "Something went wrong in the service. Look into its log, which says what."
            await error_response(500, message)(scope, receive, with_headers)
        return None


class HeadMiddleware:
    """Takes HEAD, which health checks send, to the routes of GET: the server sends no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)

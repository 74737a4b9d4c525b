"""Requests that are answered before their body is read: what is left of it is thrown away.

Closing a connection with bytes that nobody has read resets it, and the client may never see its
answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["UnreadBodyMiddleware"]

MOST = 256 << 20  # bytes that are thrown away


class UnreadBodyMiddleware:
    """Sends such an answer at once, and closes the connection when the rest of the body is here.

    What takes too long, or is too much, is cut off.

    Args:
        app: what serves the rest; it may answer without reading.
        seconds: that the rest of a body may take.
        most: bytes that the rest of a body may have.
    """

    def __init__(self, app: ASGIApp, *, seconds: float, most: int = MOST) -> None:
        self._app = app
        self._seconds = seconds
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            return await self._app(scope, receive, send)
        unread, answered_early = True, False

        async def noting() -> Message:
            nonlocal unread
            message = await receive()
            unread = bool(message.get("more_body", False))  # none is left either if the client went
            return message

        async def holding_the_end_back(message: Message) -> None:
            nonlocal answered_early
            if message["type"] == "http.response.start" and unread:
                answered_early = True
                MutableHeaders(scope=message)["connection"] = "close"
            elif answered_early:
                message = {**message, "more_body": True}
            await send(message)

        await self._app(scope, noting, holding_the_end_back)
        if answered_early:
            await self._throw_away(receive)
            await send({"type": "http.response.body"})
        return None

    async def _throw_away(self, receive: Receive) -> None:
        async def throw_away() -> None:
            size, more = 0, True
            while more and size <= self._most:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)

        with suppress(TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
            await asyncio.wait_for(throw_away(), self._seconds)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

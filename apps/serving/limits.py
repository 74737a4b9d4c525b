"""Limits of one request: its body's size, the time it takes to come, and a client that has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stylert.apps.serving.answers import error_response

__all__ = ["LimitsMiddleware"]

_CHUNK = 64 << 10
_LARGE_AT_ONCE = 8


class _Refused(Exception):
    """The body is not taken: a status and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _ClientGone(Exception):
    """The client went before its request was there."""


class LimitsMiddleware:
    """Takes a body as a whole, within limits; ends the work for a client that has gone.

    Answers are sent in pieces, so that what a slow client has not taken yet is not copied into the
    connection's buffer as a whole.

    Args:
        app: gets the whole body at once.
        max_body: bytes of a body.
        read_seconds: that a body may take.
        larger: bytes of a body of some paths instead; a few of those are taken at a time.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body: int,
        read_seconds: float,
        larger: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._read_seconds = read_seconds
        self._larger = larger or {}
        self._large = 0  # that are here; only the event loop's thread counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        if scope["path"] not in self._larger:
            return await self._take(scope, receive, send, self._max_body)
        if self._large >= _LARGE_AT_ONCE:
            message = f"The service takes {_LARGE_AT_ONCE} photos at a time. Try again in 2 s."
            refusal = error_response(429, message, {"retry-after": "2"})
            return await refusal(scope, receive, send)
        self._large += 1
        try:
            await self._take(scope, receive, send, self._larger[scope["path"]])
        finally:
            self._large -= 1
        return None

    async def _take(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        """Take a body of so many bytes, and serve the request."""
        try:
            _check_length(Headers(scope=scope).get("content-length"), most)
            body = await asyncio.wait_for(_read_body(receive, most), self._read_seconds)
        except _ClientGone:
            return None
        except _Refused as refused:
            return await error_response(refused.status, str(refused))(scope, receive, send)
        except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
            message = f"body: got a part, expected all of it within {self._read_seconds:g} s."
            return await error_response(408, message)(scope, receive, send)
        return await self._work(scope, body, receive, send)

    async def _work(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the application, and end it when the client has gone."""
        answered = False

        async def in_pieces(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.body":
                answered = await _send_body(message, send)
            else:
                await send(message)

        work = asyncio.ensure_future(self._app(scope, _replaying(body, receive), in_pieces))
        gone = asyncio.ensure_future(_wait_for_disconnect(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not answered:
                work.cancel()
            await asyncio.wait({work})
        finally:  # also when the server gives the request up
            gone.cancel()
            work.cancel()
        if not work.cancelled():
            work.result()


def _check_length(header: str | None, most: int) -> None:
    if header is not None and header.isdecimal() and int(header[:20]) > most:
        raise _too_large(most)


async def _read_body(receive: Receive, most: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(most: int) -> _Refused:
    return _Refused(413, f"body: got more than {most} bytes. Ask for less in one request.")


async def _send_body(message: Message, send: Send) -> bool:
    """Send a body piece by piece; gives whether that was the last one."""
    body, more = message.get("body", b""), message.get("more_body", False)
    for start in range(0, len(body) - _CHUNK, _CHUNK):
        await send({**message, "body": body[start : start + _CHUNK], "more_body": True})
    rest = body[(len(body) - 1) // _CHUNK * _CHUNK :] if body else b""
    await send({**message, "body": rest, "more_body": more})
    return not more


def _replaying(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body, and then waits for ever: another task watches the client."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            await asyncio.Event().wait()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

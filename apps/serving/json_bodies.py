"""Bodies must say that they are JSON: others, web pages of strangers may send without asking."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stylert.runtime.arguments import shown

__all__ = ["JsonRoute"]

_JSON = re.compile(r"\s*application/([^;/\s]+\+)?json\s*(;.*)?", re.IGNORECASE)


class JsonRoute(APIRoute):
    """A route that refuses with 415 what does not say that its body is plain JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Check the headers, then do as ever."""
        handle = super().get_route_handler()

        async def check_and_handle(request: Request) -> Response:
            if request.method == "POST":
                _check_type(request.headers.get("content-type"))
                _check_encoding(request.headers.get("content-encoding", "identity"))
            return await handle(request)

        return check_and_handle


def _check_type(given: str | None) -> None:
    if given is None or not _JSON.fullmatch(given):
        got = "none" if given is None else shown(given)
        message = f"Content-Type: got {got}. Pass the header 'Content-Type: application/json'."
        raise HTTPException(415, message)


def _check_encoding(given: str) -> None:
    if given.strip().lower() != "identity":
        message = f"Content-Encoding: got {shown(given)}. Send the body as it is, without one."
        raise HTTPException(415, message, {"accept-encoding": "identity"})

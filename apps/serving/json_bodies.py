"""Bodies must say that they are JSON: others, web pages of strangers may send without asking.

Each field is in the body, and there once: what a query says, or said first, would pass unseen.
"""

from __future__ import annotations

import json
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
    """A route that refuses with 415 what does not say that its body is plain JSON.

    And with 422 a query beside a body, and what is twice in an object.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Check the headers and the query, then do as ever."""
        handle = super().get_route_handler()

        async def check_and_handle(request: Request) -> Response:
            if request.method == "POST":
                _check_type(request.headers.get("content-type"))
                _check_encoding(request.headers.get("content-encoding", "identity"))
                _check_query(request.url.query)
            return await handle(_JsonRequest(request.scope, request.receive))

        return check_and_handle


class _JsonRequest(Request):
    """A request whose body has no key twice."""

    async def json(self) -> Any:
        """The body as Python has it."""
        return json.loads(await self.body(), object_pairs_hook=_make_object)


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise HTTPException(422, f"{shown(key)}: got it twice in one object. Pass it once.")
        made[key] = value
    return made


def _check_type(given: str | None) -> None:
    if given is None or not _JSON.fullmatch(given):
        got = "none" if given is None else shown(given)
        message = f"Content-Type: got {got}. Pass the header 'Content-Type: application/json'."
        raise HTTPException(415, message)


def _check_encoding(given: str) -> None:
    if given.strip().lower() != "identity":
        message = f"Content-Encoding: got {shown(given)}. Send the body as it is, without one."
        raise HTTPException(415, message, {"accept-encoding": "identity"})


def _check_query(given: str) -> None:
    if given:
        raise HTTPException(422, f"query: got {shown(given)}. Pass fields in the body, as JSON.")

"""Errors as answers: their status, and one line that says what was got and what to do."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stylert.apps.serving.answers import error_response
from stylert.apps.serving.batcher import ShuttingDown
from stylert.apps.serving.jobs import NotThere
from stylert.apps.serving.service import Overloaded, TooSlow
from stylert.runtime.arguments import name_nothing, shown
from stylert.runtime.errors import InvalidInput, MissingExtra, StylertError

__all__ = ["ERRORS", "add_error_answers"]

ERRORS = {
    400: "The body is no JSON.",
    401: "The token is missing or wrong.",
    406: "The header Accept takes none of the formats.",
    408: "The body took too long to come.",
    413: "The body is too large.",
    415: "The headers do not say that the body is plain JSON.",
    421: "The header Host is none of the service's names.",
    422: "A value does not fit.",
    429: "Too many images are asked for at the same time; see the header Retry-After.",
    500: "The backend failed.",
    501: "What this needs is not installed on the server.",
    503: "The service is shutting down.",
    504: "The images took too long.",
}
_STATUSES = {
    NotThere: 404,
    InvalidInput: 422,
    Overloaded: 429,
    MissingExtra: 501,
    ShuttingDown: 503,
    TooSlow: 504,
}
_OF_HANDLES = "Input should be an integer, or styles: 'w:...', as /invert gives"
_EXPECTED = "expected a JSON object; /openapi.json has examples"


def add_error_answers(app: FastAPI) -> None:
    """Have an application answer errors with one line of JSON."""

    @app.exception_handler(StylertError)
    async def ours(_: Request, error: StylertError) -> Response:
        status = next((s for kind, s in _STATUSES.items() if isinstance(error, kind)), 500)
        wait = {"retry-after": str(error.retry_after)} if isinstance(error, Overloaded) else None
        return error_response(status, name_nothing(str(error), "null"), wait)

    @app.exception_handler(RequestValidationError)
    async def unfit(_: Request, error: RequestValidationError) -> Response:
        return error_response(*_describe_unfit(error.errors()))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return error_response(error.status_code, _describe(error, request), error.headers)


def _describe(error: HTTPException, request: Request) -> str:
    """What to do about an error of HTTP, of which the framework says little more than its name."""
    path = shown(request.scope["path"])
    if error.status_code == 404:
        return f"path: got {path}, where there is nothing; /openapi.json has all routes."
    if error.status_code == 405:
        expected = Headers(error.headers).get("allow", "another")
        return f"method: got {shown(request.method)} for {path}, expected {expected}."
    if error.status_code == 400:
        return f"body: got what cannot be read, {_EXPECTED}."
    return str(error.detail)


def _describe_unfit(errors: Any) -> tuple[int, str]:
    """The status and the first value that does not fit, as one line."""
    first = errors[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "it cannot be read")
        return 400, f"body: got no JSON ({reason} at character {first['loc'][-1]}), {_EXPECTED}."
    field = first["loc"][1:2]
    if not field:
        got = "none" if first["type"] == "missing" else shown(first["input"])
        return 422, f"body: got {got}, {_EXPECTED}."
    # A field may be one of several types, and fits none: what fits best fails deepest, and there by
    # its value rather than by its type.
    deepest = max((e for e in errors if e["loc"][1:2] == field), key=_rate_fit)
    indices = (part for part in deepest["loc"][2:] if isinstance(part, int))
    place = ".".join((str(field[0])[:40], *map(str, indices)))
    if deepest["type"] == "extra_forbidden":
        return 422, f"{place}: there is no such field; /openapi.json has all of them."
    if deepest["type"] == "missing":
        return 422, f"{place}: got none. Pass it."
    expected = _OF_HANDLES if deepest["type"] == "string_pattern_mismatch" else deepest["msg"]
    return 422, f"{place}: got {shown(deepest['input'])}. {expected}."


def _rate_fit(error: Any) -> tuple[int, bool]:
    """How near a value came to one of the types of its field."""
    return len(error["loc"]), not error["type"].endswith("_type")

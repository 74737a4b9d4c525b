"""Who is let in: the right name of the host, the right token."""

from __future__ import annotations

import hmac
import os

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from stylert.apps.serving.answers import error_response
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["AdmissionMiddleware", "find_token", "host_name"]


class AdmissionMiddleware:
    """Refuses requests for other hosts, and those without the token.

    The first keeps web pages of others from reaching a service on this machine under a name of
    theirs (DNS rebinding). The page itself needs no token, as it has to ask for one.

    Args:
        app: what serves the rest.
        token: None = no token is needed.
        hosts: names in the header Host, None = any.
        open_routes: paths without a token; those that end in '/' with all below.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        hosts: tuple[str, ...] | None,
        open_routes: tuple[str, ...],
    ) -> None:
        self._app = app
        self._expected = None if token is None else f"Bearer {token}".encode("latin-1")
        self._hosts = hosts
        self._open_routes = open_routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        app = self._app if scope["type"] != "http" else self._refusal(scope) or self._app
        await app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        host = host_name(headers.get("host", ""))
        if self._hosts is not None and host not in self._hosts:
            names = ", ".join(self._hosts)
            message = f"Host: got {shown(host)}, expected a name of the service: {names}."
            return error_response(421, message)
        if self._expected is None or self._is_open(scope["path"]):
            return None
        given = headers.get("authorization", "").encode("latin-1")
        scheme, _, token = given.partition(b" ")
        if hmac.compare_digest(scheme.title() + b" " + token.strip(), self._expected):
            return None
        return error_response(
            401,
            "The token is missing or wrong. Pass the header 'Authorization: Bearer TOKEN'.",
            {"www-authenticate": "Bearer"},
        )

    def _is_open(self, path: str) -> bool:
        return any(
            path == route or (route != "/" and route.endswith("/") and path.startswith(route))
            for route in self._open_routes
        )


def host_name(header: str) -> str:
    """The name in a header Host, without the port: 'localhost:80' is 'localhost'."""
    name = header.strip().lower()
    if name.startswith("["):  # IPv6
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]


def find_token(given: str | None) -> str | None:
    """The token to ask for: as given, else STYLERT_TOKEN in the environment, else none.

    Raises:
        InvalidInput: the variable is empty: that would leave open what was meant to be closed.
    """
    if given is not None:
        return given
    token = os.environ.get("STYLERT_TOKEN")
    if token is not None and not token.strip():
        raise InvalidInput(
            "STYLERT_TOKEN: got an empty text. Set it to a long random word, or unset it to ask "
            "for none."
        )
    return token

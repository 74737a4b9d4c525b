"""Runs the application on uvicorn: binds, drops clients that are too slow, ends in good order."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from stylert.apps.serving.admission import find_token
from stylert.apps.serving.application import create_app
from stylert.apps.serving.settings import Settings
from stylert.apps.words import Pair
from stylert.runtime import Generator
from stylert.runtime.arguments import check_integer
from stylert.runtime.errors import StylertWarning

__all__ = ["bind", "is_loopback", "serve", "make_server"]


def serve(
    generator: Generator,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    settings: Settings | None = None,
    pair: Pair | None = None,
    ready: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve a generator until SIGINT or SIGTERM; requests that run then are still answered.

    Args:
        generator: stays open.
        host: the address to listen at; other machines reach the service at '0.0.0.0' or '::'.
        port: 0 = any that is free.
        settings: the limits. Without a token, that of STYLERT_TOKEN in the environment is taken.
        pair: of networks for pictures and texts, which searches by words need.
        ready: told the address, such as 'http://127.0.0.1:8000', once clients can connect.

    Raises:
        InvalidInput: the port is none, or STYLERT_TOKEN is empty.
        OSError: the address cannot be had; it is in use, for instance.
    """
    settings = settings or Settings()
    settings = replace(settings, token=find_token(settings.token))
    if is_loopback(host):
        local = dict.fromkeys(("localhost", "127.0.0.1", "[::1]", *({host} - {"::1"})))
        settings = settings if settings.hosts else replace(settings, hosts=tuple(local))
    elif settings.token is None:
        warnings.warn(
            f"{host}: everybody who reaches this address can use the service. Pass a token.",
            StylertWarning,
            stacklevel=2,
        )
    with bind(host, port) as listening:
        server = make_server(create_app(generator, settings, pair=pair), settings)
        ready(f"http://{_name_address(host, listening.getsockname()[1])}")
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:  # uvicorn raises its signals again once it has ended
            if not server.should_exit:
                raise


def make_server(app: Any, settings: Settings) -> uvicorn.Server:
    """A server that drops clients that are too slow, ready to run."""

    class Protocol(DeadlineProtocol):
        read_seconds = settings.read_seconds
        send_seconds = settings.send_seconds

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_level="error",  # others can fill a log with warnings
            access_log=False,
            server_header=False,
            limit_concurrency=settings.max_connections + 1,  # uvicorn refuses the last one, too
            timeout_keep_alive=5,
            timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
        )
    )


class DeadlineProtocol(H11Protocol):
    """HTTP that waits neither for headers nor for a reader for ever.

    uvicorn itself limits only the time between two requests in which no byte comes.
    """

    read_seconds: float
    send_seconds: float
    _headers_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Expect headers."""
        super().connection_made(transport)
        self._expect_headers(self.read_seconds)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a request that has begun has limits of its own."""
        super().data_received(data)
        self._expect_no_headers_during_a_request()

    def on_response_complete(self) -> None:
        """Expect the next headers, after the client has taken the answer."""
        self._expect_headers(self.read_seconds + self.send_seconds)
        super().on_response_complete()
        self._expect_no_headers_during_a_request()  # the next one may have been here already

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; within the body of a request that is answered, just close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """The client takes no more bytes for now."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(self.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client goes on."""
        _stop(self._send_timer)
        super().resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the client."""
        _stop(self._headers_timer)
        _stop(self._send_timer)
        super().connection_lost(error)

    def _expect_no_headers_during_a_request(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            _stop(self._headers_timer)

    def _expect_headers(self, seconds: float) -> None:
        _stop(self._headers_timer)
        self._headers_timer = self.loop.call_later(seconds, self.transport.abort)


def bind(host: str, port: int) -> socket.socket:
    """Listen at an address.

    Raises:
        InvalidInput: the port is none.
        OSError: the address cannot be had.
    """
    check_integer("port", port, 0, 65535)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]  # of Python, which says it
        if error.errno == errno.EADDRINUSE:
            reason = "the port is in use; choose another, or 0 for any that is free"
        raise OSError(error.errno or errno.EINVAL, reason, _name_address(host, port)) from None


def _name_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()

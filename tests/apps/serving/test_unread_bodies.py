"""Bodies that nobody reads: the client gets its answer all the same, from a real server."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stylert.apps.serving.settings import Settings
from stylert.apps.serving.unread_bodies import UnreadBodyMiddleware
from stylert.runtime.generator import Generator

Server = Callable[..., Any]
MAX_BODY = 1 << 16
SETTINGS = Settings(max_body=MAX_BODY, token="s3cret", read_seconds=20)
ADMITTED = {"Content-Type": "application/json", "Authorization": "Bearer s3cret"}


@pytest.fixture(scope="module")
def port(server: Server, generator: Generator) -> Iterator[int]:
    with server(generator, SETTINGS) as listening:
        yield listening


def sent(port: int, size: int, *, chunked: bool = False, **options: Any) -> tuple[int, str]:
    """The status and the error of an answer, read once the whole body is sent."""
    headers = {**ADMITTED, **options.get("headers", {})}
    body: Any = bytes(size)
    if chunked:
        body = (bytes(min(1 << 16, size - start)) for start in range(0, size, 1 << 16))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        path, method = options.get("path", "/generate"), options.get("method", "POST")
        connection.request(method, path, body, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        message = json.loads(answer.read())["error"]
        assert answer.headers["content-type"] == "application/json"
        return answer.status, message
    finally:
        connection.close()


def raw(port: int, *parts: bytes) -> bytes:
    """All that is answered to parts that are sent one after the other, until the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        for part in parts:
            client.sendall(part)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 16), b""))


def head(*lines: str, token: str = "s3cret") -> bytes:
    fixed = (f"Authorization: Bearer {token}", "Content-Type: application/json", "Host: x")
    return "\r\n".join(("POST /generate HTTP/1.1", *fixed, *lines, "", "")).encode()


@pytest.mark.parametrize("size", [MAX_BODY + 1, 2 * MAX_BODY, 32 << 20])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_body_over_the_limit_is_told(
    port: int, size: int, chunked: bool, connection: str
) -> None:
    status, message = sent(port, size, chunked=chunked, headers={"Connection": connection})
    assert status == 413
    assert message == f"body: got more than {MAX_BODY} bytes. Ask for less in one request."


def test_a_body_at_the_limit_is_read(port: int) -> None:
    for chunked in (False, True):
        assert sent(port, MAX_BODY, chunked=chunked)[0] == 400


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (401, {"headers": {"Authorization": "Bearer wrong"}}),
        (404, {"method": "PUT", "path": "/nothing"}),
        (405, {"method": "PUT"}),
        (405, {"method": "DELETE", "path": "/healthz"}),
        (413, {"path": "/nothing"}),
    ],
)
def test_whoever_answers_without_reading(port: int, status: int, options: dict[str, Any]) -> None:
    options["headers"] = {"Connection": "close", **options.get("headers", {})}
    for chunked in (False, True):
        assert sent(port, 8 << 20, chunked=chunked, **options)[0] == status


def test_the_answer_does_not_wait_for_the_body(port: int) -> None:
    """Who sends slowly is told at once, and is not cut off while it goes on."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(head("Content-Length: 1000000"))
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert "error" in json.loads(answer.read())
        for _ in range(100):
            client.sendall(bytes(10_000))
        assert client.recv(1) == b""  # an end in good order, and no reset


def test_a_connection_ends_with_a_body_that_nobody_read(port: int) -> None:
    another = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    got = raw(port, head("Content-Length: 100000"), bytes(100_000), another)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert got.count(b"HTTP/1.1 ") == 1


def test_a_connection_lives_on_after_an_error_whose_body_was_read(port: int) -> None:
    another = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    got = raw(port, head("Content-Length: 2") + b"{}" + another)
    assert got.startswith(b"HTTP/1.1 422 ")
    assert got.count(b"HTTP/1.1 200 ") == 1


def test_http_1_0(port: int) -> None:
    for size, status in ((MAX_BODY, b"400"), (MAX_BODY + 1, b"413")):
        asked = head(f"Content-Length: {size}").replace(b"HTTP/1.1", b"HTTP/1.0")
        assert raw(port, asked, bytes(size)).startswith(b"HTTP/1.1 %s " % status)


def test_who_asks_before_it_sends_is_not_told_to_go_on(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(head("Content-Length: 1000000", "Expect: 100-continue"))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        client.shutdown(socket.SHUT_WR)  # it sends none, and leaves
        assert b"HTTP" not in read_all(client)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(head("Content-Length: 2", "Expect: 100-continue", "Connection: close"))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"{}")
        assert read_all(client).startswith(b"HTTP/1.1 422 ")


def test_garbage_after_an_answer_ends_the_connection_without_noise(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        chunk = b"%x\r\n" % (2 * MAX_BODY) + bytes(2 * MAX_BODY) + b"\r\n"
        client.sendall(head("Transfer-Encoding: chunked") + chunk)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        client.sendall(b"this is no chunk\r\n")
        assert read_all(client).count(b"HTTP/1.1") == 0
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# --- The middleware by itself, for what would take long, or much, with a server.


def answered(parts: Iterator[bytes], *, most: int) -> tuple[list[dict[str, Any]], int]:
    """What is sent for a body of parts that the application does not read, and the parts read."""
    read, messages = 0, []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    async def receive() -> Any:
        nonlocal read
        if (part := next(parts, None)) is None:
            await asyncio.Event().wait()  # it never comes
        read += 1
        return {"type": "http.request", "body": part, "more_body": True}

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}
    middleware = UnreadBodyMiddleware(application, seconds=0.01, most=most)
    asyncio.run(asyncio.wait_for(middleware(scope, receive, send), 20))
    return messages, read


def test_a_body_without_an_end_is_cut_off() -> None:
    messages, read = answered(iter(lambda: bytes(10), b""), most=95)
    assert read == 10
    assert messages[0]["headers"] == [(b"connection", b"close")]
    assert messages[1] == {"type": "http.response.body", "body": b"no", "more_body": True}
    assert messages[2] == {"type": "http.response.body"}


def test_a_body_that_does_not_come_is_cut_off() -> None:
    messages, read = answered(iter([bytes(10)]), most=95)
    assert read == 1
    assert messages[2] == {"type": "http.response.body"}

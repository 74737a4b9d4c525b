"""A real server on a free port: batches, the queue, clients that leave or dawdle, and the end."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert import cli
from stylert.apps.serving.server import bind, is_loopback, serve
from stylert.apps.serving.settings import Settings
from stylert.runtime.errors import StylertWarning
from stylert.runtime.feeds import Feeds
from stylert.runtime.generator import Generator
from stylert.runtime.latents import make_z

Server = Callable[..., Any]


class Held:
    """A generator whose session waits until it is let go, and notes the seeds that it draws."""

    def __init__(self, generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.running = threading.Event()
        self.calls: list[list[int]] = []
        seeds = {make_z([i], generator.spec.z_dim)[0, 0]: i for i in range(100)}
        with generator.lifetime.in_use() as session:
            run = session.run

        def held(graphs: Any, feeds: Feeds, outputs: Any, **options: Any) -> Any:
            self.calls.append([seeds[z[0]] for z in feeds.rows["z"]])
            self.running.set()
            assert self.go_on.wait(60)
            return run(graphs, feeds, outputs, **options)

        monkeypatch.setattr(session, "run", held)


@pytest.fixture
def opened(bundle: Path) -> Iterator[Generator]:
    with Generator.open(bundle, provider="cpu", threads=1) as one:
        yield one


@pytest.fixture
def held(opened: Generator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    one = Held(opened, monkeypatch)
    yield one
    one.go_on.set()


def ask(port: int, body: Any, route: str = "/generate", **headers: str) -> tuple[int, bytes, Any]:
    """Status, body and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        method = "GET" if body is None else "POST"
        content = None if body is None else json.dumps(body)
        headers = {"content-type": "application/json", **headers}
        connection.request(method, route, body=content, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def metric(port: int, name: str) -> float:
    text = ask(port, None, "/metrics")[1].decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def connect(port: int, data: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(data)
    return client


def everything(client: socket.socket) -> bytes:
    """What the server says until it ends the connection."""
    parts = []
    try:
        while part := client.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


# --- Batches and the queue.


def test_requests_are_drawn_together_and_get_their_own_pixels(
    server: Server, opened: Generator, held: Held
) -> None:
    with server(opened) as port, ThreadPoolExecutor(17) as threads:
        first = threads.submit(ask, port, {"seeds": [0], "format": "npy"})
        assert held.running.wait(60)
        rest = [threads.submit(ask, port, {"seeds": [i], "format": "npy"}) for i in range(1, 17)]
        wait_until(lambda: metric(port, "stylert_queue_depth") == 16)
        held.go_on.set()
        answers = [one.result() for one in (first, *rest)]
        calls = metric(port, 'stylert_batch_size_count{call="mapping+synthesis"}')
        images = metric(port, 'stylert_batch_size_sum{call="mapping+synthesis"}')
    assert (calls, images) == (3, 17)
    assert sorted(map(len, held.calls)) == [1, 8, 8]
    expected = opened.generate(seeds=np.arange(17))
    for want, (status, body, _) in zip(expected, answers, strict=True):
        assert status == 200
        got = np.load(io.BytesIO(body))[0]
        assert np.abs(want.astype(int) - got.astype(int)).max() <= 1


def test_a_full_queue_is_told_and_empties_again(
    server: Server, opened: Generator, held: Held
) -> None:
    settings = Settings(max_queue=3, max_images=3)
    with server(opened, settings) as port, ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(ask, port, {"seeds": [1, 2]})
        assert held.running.wait(60)
        status, body, headers = ask(port, {"seeds": [3, 4]})
        assert status == 429
        assert "busy" in json.loads(body)["error"]
        assert 1 <= int(headers["retry-after"]) <= 60
        fits = threads.submit(ask, port, {"seeds": [3]})
        wait_until(lambda: metric(port, "stylert_images_open") == 3)
        held.go_on.set()
        assert waiting.result()[0] == fits.result()[0] == 200
        assert metric(port, "stylert_images_open") == 0
        assert ask(port, {"seeds": [3, 4, 5]})[0] == 200


def test_a_client_that_leaves_takes_its_images_along(
    server: Server, opened: Generator, held: Held
) -> None:
    with server(opened) as port, ThreadPoolExecutor(2) as threads:
        first = threads.submit(ask, port, {"seeds": [0]})
        assert held.running.wait(60)
        body = json.dumps({"seeds": [1, 2, 3]}).encode()
        client = connect(
            port, b"POST /generate HTTP/1.1\r\nHost: x\r\n" + json_headers(body) + body
        )
        wait_until(lambda: metric(port, "stylert_images_open") == 4)
        client.close()
        wait_until(lambda: metric(port, "stylert_images_open") == 1)
        held.go_on.set()
        assert first.result()[0] == 200
        assert ask(port, {"seeds": [9]})[0] == 200
    assert held.calls == [[0], [9]]


def test_a_request_that_is_too_late_is_not_drawn(
    server: Server, opened: Generator, held: Held
) -> None:
    with server(opened, Settings(draw_seconds=0.3)) as port, ThreadPoolExecutor(2) as threads:
        first = threads.submit(ask, port, {"seeds": [0]})
        assert held.running.wait(60)
        late = threads.submit(ask, port, {"seeds": [1]})
        assert first.result()[0] == late.result()[0] == 504
        held.go_on.set()
        assert ask(port, {"seeds": [9]})[0] == 200
    assert held.calls == [[0], [9]]


# --- Bodies and slow clients.


def json_headers(body: bytes) -> bytes:
    return b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)


def test_a_large_body_is_refused_before_it_is_sent(server: Server, opened: Generator) -> None:
    with server(opened) as port:
        head = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
        client = connect(port, head)
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")
        client.close()


def test_a_large_body_of_unknown_length_is_cut_off(server: Server, opened: Generator) -> None:
    settings = Settings(max_body=1 << 16, read_seconds=0.5, send_seconds=0.5)
    with server(opened, settings) as port:
        head = b"POST /generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        client = connect(port, head)
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        cut_off = False
        deadline = time.monotonic() + 60
        while not cut_off and time.monotonic() < deadline:
            try:
                client.sendall(chunk)
            except OSError:  # reset, or a broken pipe
                cut_off = True
        client.close()
        assert cut_off
        assert ask(port, {"seeds": [1]})[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"POST /gen",
        b"POST /generate HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    ],
)
def test_headers_that_do_not_come_end_the_connection(
    server: Server, opened: Generator, data: bytes
) -> None:
    with server(opened, Settings(read_seconds=0.3)) as port:
        client = connect(port, data)
        stop = threading.Event()
        drip = threading.Thread(target=dripping, args=(client, stop))
        drip.start()
        assert everything(client) == b""
        stop.set()
        drip.join(60)
        client.close()


def dripping(client: socket.socket, stop: threading.Event) -> None:
    """Send a byte now and then."""
    while not stop.wait(0.05):
        try:
            client.sendall(b"x")
        except OSError:
            return


def test_a_body_that_does_not_come_is_a_408(server: Server, opened: Generator) -> None:
    with server(opened, Settings(read_seconds=0.3)) as port:
        head = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        client = connect(port, head)
        assert everything(client).startswith(b"HTTP/1.1 408 ")
        client.close()


def test_the_next_headers_have_a_limit_too(server: Server, opened: Generator) -> None:
    with server(opened, Settings(read_seconds=0.2, send_seconds=0.2)) as port:
        client = connect(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HT")
        answer = everything(client)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1") == 1
        client.close()


def test_a_request_that_came_with_another_has_its_own_time(
    server: Server, opened: Generator, held: Held
) -> None:
    """The limit on headers, which an answer starts, is not one on the next request's drawing."""
    first = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    body = b'{"seeds": 1}'
    second = b"POST /generate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + json_headers(body)
    with server(opened, Settings(read_seconds=0.5, send_seconds=0.5)) as port:
        client = connect(port, first + second + body)
        assert held.running.wait(60)
        time.sleep(1)  # longer than both
        held.go_on.set()
        assert everything(client).count(b"HTTP/1.1 200 ") == 2
        client.close()


def test_as_many_clients_are_served_as_the_limit_says(server: Server, opened: Generator) -> None:
    with server(opened, Settings(max_connections=2)) as port:
        first, second = (connect(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") for _ in "12")
        for client in (first, second):
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        assert ask(port, None, "/healthz")[:2] == (503, b"Service Unavailable")
        first.close()
        second.close()
        wait_until(lambda: ask(port, None, "/healthz")[0] == 200)


def test_a_client_that_takes_no_answer_is_dropped(server: Server) -> None:
    sent = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await lifespan(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2000):  # 128 MB: more than the buffers of two sockets hold
            await send({"type": "http.response.body", "body": bytes(1 << 16), "more_body": True})
        sent.set()

    with server(application, Settings(send_seconds=0.3)) as port:
        client = connect(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sent.wait(60)  # what goes to a lost connection goes nowhere
        assert len(everything(client)) < 2000 << 16
        client.close()


async def lifespan(receive: Any, send: Any) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


def test_garbage_is_a_400(server: Server, opened: Generator) -> None:
    with server(opened) as port:
        client = connect(port, b"\x16\x03\x01 garbage\r\n\r\n")
        assert everything(client).startswith(b"HTTP/1.1 400 ")
        client.close()
        assert ask(port, {"seeds": [1]})[0] == 200


# --- The end.


def test_running_requests_are_answered_before_the_end(
    server: Server, opened: Generator, held: Held
) -> None:
    with ThreadPoolExecutor(3) as threads:
        with server(opened) as port:
            requests = [threads.submit(ask, port, {"seeds": [i]}) for i in range(3)]
            wait_until(lambda: metric(port, "stylert_images_open") == 3)
            threading.Timer(0.3, held.go_on.set).start()
        assert [one.result()[0] for one in requests] == [200, 200, 200]
        with pytest.raises(ConnectionRefusedError):
            ask(port, {"seeds": [1]})


@pytest.mark.parametrize(
    ("options", "token", "words"),
    [
        ([], "", "STYLERT_TOKEN: got an empty"),
        ([], " ", "--token: got an empty"),
        (["--token", " "], "s3cret", "--token: got an empty"),
        (["--token", ""], "s3cret", "--token is empty"),
        (["--token="], "s3cret", "--token is empty"),
    ],
)
def test_the_command_refuses_an_empty_token(
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    token: str,
    words: str,
) -> None:
    monkeypatch.setenv("STYLERT_TOKEN", token)
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", str(bundle), "--port", "0", *options])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert words in line


@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize("stop", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_the_command_serves_until_it_is_told_to_stop(bundle: Path, stop: str) -> None:
    command = [sys.executable, "-m", "stylert.cli", "serve", str(bundle), "--port", "0"]
    environment = {**os.environ, "STYLERT_TOKEN": "s3cret"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        found = re.search(r"http://127\.0\.0\.1:(\d+)", lines[1])
        assert found, lines
        port = int(found[1])
        assert ask(port, {"seeds": [1]})[0] == 401
        assert ask(port, {"seeds": [1]}, authorization="Bearer s3cret")[0] == 200
        assert ask(port, None, "/healthz", host="evil.example")[0] == 421
        process.send_signal(getattr(signal, stop))
        try:
            out, err = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()  # or the end of the test would wait for it
            raise
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_in_use_is_told_in_one_line(generator: Generator) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            serve(generator, port=port)
    assert caught.value.filename == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("host", "place"), [("256.1.1.1", "256.1.1.1:0"), ("1::2::3", "[1::2::3]:0")]
)
def test_an_address_that_is_none_is_told_in_one_line(host: str, place: str) -> None:
    with pytest.raises(OSError, match=re.escape(place)) as caught:
        bind(host, 0)
    assert caught.value.filename == place
    assert caught.value.strerror
    assert "(" not in caught.value.strerror  # nor how Python asked for it


def test_an_open_address_without_a_token_is_a_warning(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.warns(StylertWarning, match="Pass a token"),
            pytest.raises(OSError, match="in use"),
        ):
            serve(generator, host="0.0.0.0", port=port)
        with pytest.raises(OSError, match="in use"):  # and none with one
            serve(generator, host="0.0.0.0", port=port, settings=Settings(token="s3cret"))


def test_an_empty_token_in_the_environment_is_no_open_door(
    generator: Generator, monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., Any]
) -> None:
    for empty in ("", " "):
        monkeypatch.setenv("STYLERT_TOKEN", empty)
        with refuses("STYLERT_TOKEN: got an empty text"):
            serve(generator, host="0.0.0.0", port=0)


def test_the_token_of_the_environment_is_asked_for(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLERT_TOKEN", "s3cret")
    asked_for: list[str | None] = []

    def create(_: Any, settings: Settings, **others: Any) -> Any:
        asked_for.append(settings.token)
        raise InterruptedError

    monkeypatch.setattr("stylert.apps.serving.server.create_app", create)
    for settings in (None, Settings(), Settings(token="other")):
        with pytest.raises(InterruptedError):
            serve(generator, host="0.0.0.0", port=0, settings=settings)
    assert asked_for == ["s3cret", "s3cret", "other"]


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("example.org", False),
    ],
)
def test_which_addresses_are_of_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) == here

"""Does `stylert serve` survive 30,000 hostile requests? It must go on serving, and not grow.

Six kinds take turns: bodies that schemathesis makes of the OpenAPI, valid and not; mutated JSON;
garbage in place of HTTP; huge bodies, announced or not; clients that send a byte now and then; and
clients that leave before their answer. After every thousand a normal request must be answered, and
the resident memory of the server is noted.

The memory of a young server grows: threads come, and the C library keeps what they have freed. So
the first third warms it up, and from then on it must stay as it is.

    python tests/benchmarks/hostile_requests.py docs/results/hostile-requests.json BUNDLE [REQUESTS]

Linux only: memory is /proc's VmRSS.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stylert.apps.bench.machine import describe_machine

REQUESTS = 30_000
OF_SCHEMATHESIS = 2_500  # the most; to make them takes longer than to send them
THREADS = 8
SLOW = 200  # clients that hold their connection open; they are few, as each takes seconds
MOST_GROWTH = 1.05  # of the memory, after the first third
ROUTES = ("/generate", "/mix", "/interpolate", "/edit")
VALUES = [
    *(None, True, False, 0, -1, 1, 2**32, 2**64, 10**400, 0.5, -0.0, 1e308, float("nan")),
    *(float("inf"), "", "a", "\x00", "\ud800", "../../etc/passwd", "coarse", "9" * 400, "💥" * 99),
    *([], {}, [[]], [None], [1] * 5000, {"coarse": 1}, {"": {}}, [[1] * 100] * 100),
]


@contextmanager
def served(bundle: Path) -> Iterator[tuple[int, int]]:
    """Runs the service; gives its port and process id."""
    command = [sys.executable, "-m", "stylert.cli", "serve", str(bundle), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        found = re.search(r":(\d+) ", lines[1])
        assert found, lines
        try:
            yield int(found[1]), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def memory(process: int) -> int:
    """Bytes that a process has in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def post(port: int, route: str, body: bytes, kind: str = "application/json") -> int:
    """The status of an answer, which must be JSON if it is an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", route, body, {"content-type": kind})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            assert set(json.loads(content)) == {"error"}, content
        return answer.status
    finally:
        connection.close()


def raw(port: int, data: bytes, *, wait: bool = True) -> int:
    """The status of what is sent as it is; 0 = the connection ended without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client, suppress(OSError):
        client.sendall(data)
        if wait:
            client.shutdown(socket.SHUT_WR)
            head = client.recv(64)
            return int(head.split()[1]) if head.startswith(b"HTTP/1.1 ") else 0
    return 0


def bodies_of_schemathesis(port: int, count: int) -> list[tuple[str, bytes]]:
    """Bodies by route, made of the OpenAPI: valid ones, and with defects."""
    import schemathesis
    from hypothesis.configuration import set_hypothesis_home_dir
    from schemathesis import GenerationMode

    set_hypothesis_home_dir(tempfile.gettempdir() + "/stylert-hypothesis")
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
    return [
        (route, body)
        for route in ROUTES
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        for body in bodies_of(schema[route]["POST"].as_strategy(generation_mode=mode), count // 8)
    ]


def bodies_of(cases: Any, count: int) -> list[bytes]:
    """About so many bodies of a strategy."""
    from hypothesis import HealthCheck, Phase, given, settings

    made: list[bytes] = []

    @settings(
        max_examples=max(1, count),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def collect(case: Any) -> None:
        with suppress(ValueError, TypeError):  # what is no JSON
            made.append(json.dumps(case.body).encode())

    collect()
    return made


def mutated(random_: random.Random) -> tuple[str, bytes]:
    """A request with some values replaced, or cut somewhere."""
    route = random_.choice(ROUTES)
    body: dict[str, Any] = {
        "/generate": {"seeds": [1]},
        "/mix": {"rows": [1], "columns": [2], "layers": "coarse"},
        "/interpolate": {"seeds": [1, 2], "t": 0.5},
        "/edit": {"seeds": [1], "directions": {"sefa_all_0": 1}},
    }[route]
    names = ["seeds", "truncation_psi", "truncation_cutoff", "class_idx", "labels", "noise_mode"]
    names += ["noise_seed", "layout", "format", "quality", "output", "translate", "t", "frames"]
    names += ["layers", "rows", "columns", "direction", "directions", "strength", "curve", "x"]
    for _ in range(random_.randint(1, 4)):
        body[random_.choice(names)] = random_.choice(VALUES)
    text = json.dumps(body).encode()
    return route, text[: random_.randrange(len(text))] if random_.random() < 0.1 else text


def garbage(random_: random.Random) -> bytes:
    """What is no HTTP, or hardly."""
    post = b"POST /generate HTTP/1.1\r\nHost: localhost\r\n"
    get = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    line = random_.choice(
        [
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET / HTTP/9.9\r\n\r\n",
            post + b"Content-Length: -1\r\n\r\n",
            post + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
            post + b"Transfer-Encoding: gzip\r\n\r\n",
            b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
            get + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
            get + b"".join(b"X%d: a\r\n" % i for i in range(5000)) + b"\r\n",
            b"BREW /generate HTTP/1.1\r\nHost: localhost\r\n\r\n",
            get + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        ]
    )
    return line if random_.random() < 0.5 else line + random_.randbytes(random_.randrange(4096))


def huge(*, announced: bool) -> bytes:
    """A body beyond the limit, announced or in chunks."""
    head = b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    if announced:
        return head + b"Content-Length: 4194304\r\n\r\n" + b"[" * (4 << 20)
    chunks = b"".join(b"10000\r\n" + b"[" * 0x10000 + b"\r\n" for _ in range(64))
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def slow(port: int) -> int:
    """A client that sends a byte now and then, until it is dropped; 1 = it was."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        deadline = time.monotonic() + 60
        with suppress(OSError):
            client.sendall(b"POST /generate HTTP/1.1\r\nX-Slow: ")
            while time.monotonic() < deadline:
                client.sendall(b"a")
                time.sleep(0.5)
    return int(time.monotonic() < deadline)


def hostile(port: int, count: int) -> list[tuple[str, Callable[[], int]]]:
    """The requests with their kinds, in an order without an order; each is made when it is sent."""
    leaving = b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    leaving += b'Content-Length: 15\r\n\r\n{"seeds": [1]} '
    large = [huge(announced=True), huge(announced=False)]
    kinds: dict[str, Callable[[int], int]] = {
        "mutated": lambda i: post(port, *mutated(random.Random(i))),
        "garbage": lambda i: raw(port, garbage(random.Random(i))),
        "huge": lambda i: raw(port, large[i % 2]),
        "leaving": lambda i: raw(port, leaving, wait=False),
    }
    requests: list[tuple[str, Callable[[], int]]] = [
        ("schemathesis", lambda case=case: post(port, *case))  # type: ignore[misc]
        for case in bodies_of_schemathesis(port, min(count // 4, OF_SCHEMATHESIS))
    ]
    random_ = random.Random(0)
    for i in range(count - len(requests)):
        kind = random_.choice(["mutated", "mutated", "garbage", "garbage", "huge", "leaving"])
        requests.append((kind, lambda kind=kind, i=i: kinds[kind](i)))  # type: ignore[misc]
    random_.shuffle(requests)
    return requests


def growth(samples: list[int]) -> float:
    """How much the last sixth of the samples is above those after the first third."""
    part = max(1, len(samples) // 6)
    warm = len(samples) // 3
    before, after = samples[warm : warm + part], samples[-part:]
    return statistics.median(after) / statistics.median(before)


def main(out: Path, bundle: Path, count: int = REQUESTS) -> None:
    """Send them, and write the results."""
    machine = describe_machine()
    with served(bundle) as (port, process), ThreadPoolExecutor(THREADS) as threads:
        requests = hostile(port, count)
        slow_clients = ThreadPoolExecutor(SLOW)
        dropped = [slow_clients.submit(slow, port) for _ in range(SLOW)]
        statuses: Counter[str] = Counter()
        samples = [{"requests": 0, "bytes": memory(process)}]
        step = max(1, count // 30)
        for start in range(0, count, step):
            part = requests[start : start + step]
            for (kind, _), status in zip(part, threads.map(lambda r: r[1](), part), strict=True):
                statuses[f"{kind} {status}"] += 1
            assert post(port, "/generate", b'{"seeds": [1]}') == 200
            samples.append({"requests": start + len(part), "bytes": memory(process)})
            print(samples[-1], flush=True)
        slow_dropped = sum(one.result() for one in dropped)
    summary = {
        "requests": count + SLOW,
        "server_errors": sum(n for key, n in statuses.items() if int(key.split()[1]) >= 500),
        "slow_clients_dropped": slow_dropped,
        "memory_growth": growth([sample["bytes"] for sample in samples]),
        "most_bytes": max(sample["bytes"] for sample in samples),
        "still_serving": True,
    }
    results = {
        "schema": 2,
        "subject": "hostile requests to the HTTP service",
        "bundle": bundle.name,
        "bounds": {"memory_growth": MOST_GROWTH, "server_errors": 0},
        "machine": machine,
        "statuses": dict(sorted(statuses.items())),
        "memory": samples,
        "summary": summary,
    }
    out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps({"statuses": results["statuses"], **summary}, indent=2))


if __name__ == "__main__":
    more = sys.argv[3:]
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(more[0]) if more else REQUESTS)

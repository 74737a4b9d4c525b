"""Images a second of `stylert serve` under 64 clients, against the bare session in full batches.

Each client asks for one image at a time, and for the next as soon as it has it. The bare session
draws the same seeds with `Generator.generate` in batches of 8. The two take turns; the server waits
meanwhile. The PNG encoder of the service and the clients run on the same CPUs as the session.

    python tests/benchmarks/http_service.py docs/results/http-service.json [BUNDLE [IMAGES]]

Without a bundle it is StyleGAN2 256 with random weights, whose speed is that of trained ones.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stylert.runtime.bench.machine import describe_machine

CLIENTS = 64
BATCH = 8
IMAGES = 192  # of a turn
ROUNDS = 3
UNTRAINED = "untrained:stylegan2-256"

# Draws the seeds of sys.argv[2] as a whole, and says how long it took.
BARE = """
import sys, time
import stylert
generator = stylert.open(sys.argv[1], max_batch=int(sys.argv[3]))
generator.generate(range(int(sys.argv[3])))
started = time.perf_counter()
generator.generate(range(int(sys.argv[2])))
print(time.perf_counter() - started)
"""


@contextmanager
def served(bundle: Path) -> Iterator[tuple[int, int]]:
    """Runs the service; gives its port and process id."""
    command = [sys.executable, "-m", "stylert.cli", "serve", str(bundle), "--port", "0"]
    command += ["--batch", str(BATCH), "--seconds", "600"]
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


def ask(connection: http.client.HTTPConnection, seed: int) -> float:
    """Seconds from a request for one image to its last byte."""
    started = time.perf_counter()
    headers = {"content-type": "application/json"}
    connection.request("POST", "/generate", json.dumps({"seeds": [seed]}), headers)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    assert body.startswith(b"\x89PNG")
    return time.perf_counter() - started


def clients(port: int, images: int) -> dict[str, Any]:
    """Ask for images with many clients at a time."""

    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        try:
            return [ask(connection, seed) for seed in range(number, images, CLIENTS)]
        finally:
            connection.close()

    before = batch_sizes(port)
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as threads:
        latencies = [seconds for part in threads.map(client, range(CLIENTS)) for seconds in part]
    seconds = time.perf_counter() - started
    calls, rows = (after - b for after, b in zip(batch_sizes(port), before, strict=True))
    return {"seconds": seconds, "batch_mean": rows / calls, "latencies": latencies}


def batch_sizes(port: int) -> tuple[float, float]:
    """Calls to the backend so far, and the images in them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    name = r'^stylert_batch_size_{}{{call="generate"}} (\S+)$'
    found = [re.search(name.format(part), text, re.MULTILINE) for part in ("count", "sum")]
    calls, rows = (float(one[1]) if one else 0.0 for one in found)
    return calls, rows


def bare(bundle: Path, images: int) -> float:
    """Seconds of the bare session, in a process of its own."""
    command = [sys.executable, "-c", BARE, str(bundle), str(images), str(BATCH)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main(out: Path, bundle: Path | None = None, images: int = IMAGES) -> None:
    """Measure, and write the results."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        if bundle is None:
            bundle = Path(folder) / "bundle"
            command = ["export", UNTRAINED, "--out", str(bundle), "--no-verify"]
            subprocess.run([sys.executable, "-m", "stylert.cli", *command], check=True)
        rounds = []
        with served(bundle) as (port, _):
            clients(port, CLIENTS)  # warm
            for _ in range(ROUNDS):
                rounds.append(
                    {
                        "load": os.getloadavg()[0],
                        "bare_seconds": bare(bundle, images),
                        "http": clients(port, images),
                    }
                )
                print(f"bare {rounds[-1]['bare_seconds']:.1f} s", flush=True)
                print(f"http {rounds[-1]['http']['seconds']:.1f} s", flush=True)
    latencies = [seconds for one in rounds for seconds in one["http"]["latencies"]]
    bare_rate = statistics.median(images / one["bare_seconds"] for one in rounds)
    http_rate = statistics.median(images / one["http"]["seconds"] for one in rounds)
    summary = {
        "bare_images_per_second": bare_rate,
        "http_images_per_second": http_rate,
        "ratio": statistics.median(one["bare_seconds"] / one["http"]["seconds"] for one in rounds),
        "batch_mean": statistics.mean(one["http"]["batch_mean"] for one in rounds),
        "p50_seconds": percentile(latencies, 0.5),
        "p99_seconds": percentile(latencies, 0.99),
        "queue_seconds": CLIENTS / bare_rate,  # as long as the images before one take
    }
    results = {
        "schema": 1,
        "subject": f"{CLIENTS} HTTP clients with single-image requests, and the bare session",
        "bundle": UNTRAINED if bundle.parent.name.startswith("tmp") else bundle.name,
        "images": images,
        "max_batch": BATCH,
        "bounds": {"ratio": 0.9},
        "machine": machine,
        "rounds": rounds,
        "summary": summary,
    }
    out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    arguments = sys.argv[2:]
    main(
        Path(sys.argv[1]),
        Path(arguments[0]) if arguments and arguments[0] else None,
        int(arguments[1]) if len(arguments) > 1 else IMAGES,
    )

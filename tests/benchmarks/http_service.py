"""Images a second of `stylert serve` under 64 clients, against the bare session in full batches.

Each client asks for one image at a time as a PNG, and for the next as soon as it has it. The bare
session draws the same seeds with `Generator.generate` in batches of 8. Both are processes that stay
open and take turns, in pairs whose order alternates; who has no turn waits. A turn in which other
processes took much of the CPU is marked, and counts only if no pair is without.

The clients are threads of this process. On two CPUs they share them with the service, so what they
cost is part of the result; on more, they have the last one, and the session the others. Beside the
times there is the CPU time of each side, which other processes disturb less.

    nice -n -20 python tests/benchmarks/http_service.py docs/results/http-service-cpu.json [BUNDLE]

It takes 5 minutes. Without a bundle it is StyleGAN2 256 with random weights, whose speed is that of
trained ones. Linux only: CPUs are pinned, and the CPU time of others is from /proc.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from stylert.apps.bench.machine import describe_machine, machine_cpu_seconds

NETWORK = "untrained:stylegan2-256"
CLIENTS = 64
BATCH = 8
IMAGES = 128  # of a turn
PAIRS = 4
LONGEST = 270.0  # seconds after which no pair begins
MOST_TAKEN = 0.05  # of the CPUs, by others, in a turn that counts
BOUNDS = {"ratio": 0.9, "p99_over_queue": 1.0}

# Draws as many seeds as a line asks for.
BARE = f"""
import sys, stylert
with stylert.open(sys.argv[1], provider="cpu", max_batch={BATCH}) as generator:
    generator.generate(range({BATCH}))
    print("ready", flush=True)
    for line in sys.stdin:
        generator.generate(range(int(line)))
        print("drawn", flush=True)
"""


def cpus_of_both() -> tuple[list[int], list[int]]:
    """The CPUs that draw, and those of the clients."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable, usable) if len(usable) <= 2 else (usable[:-1], usable[-1:])


@contextmanager
def bare_session(bundle: Path) -> Iterator[tuple[Callable[[], None], int]]:
    """Runs the bare session; gives what has it draw a turn's images, and its process id."""
    command = [sys.executable, "-c", BARE, str(bundle)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        asks, tells = process.stdin, process.stdout
        assert asks is not None
        assert tells is not None
        assert tells.readline() == "ready\n"

        def turn() -> None:
            asks.write(f"{IMAGES}\n")
            asks.flush()
            assert tells.readline() == "drawn\n"

        yield turn, process.pid
        asks.close()


@contextmanager
def service(bundle: Path) -> Iterator[tuple[int, int]]:
    """Runs the service; gives its port and process id."""
    command = [sys.executable, "-m", "stylert.cli", "serve", str(bundle), "--port", "0"]
    command += ["--provider", "cpu", "--batch", str(BATCH), "--seconds", "600"]
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


def ask_for_all(port: int, images: int) -> list[float]:
    """Ask for images with all clients at a time; gives the seconds of every request."""

    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        try:
            return [ask(connection, seed) for seed in range(number, images, CLIENTS)]
        finally:
            connection.close()

    with ThreadPoolExecutor(CLIENTS) as threads:
        return [seconds for part in threads.map(client, range(CLIENTS)) for seconds in part]


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


def timed(turn: Callable[[], Any], process: int) -> dict[str, Any]:
    """Run a turn of another process: its rate, and the CPU time of all that takes part."""
    own, other = psutil.Process(), psutil.Process(process)

    def cpu(of: psutil.Process) -> float:
        times = of.cpu_times()
        return float(times.user + times.system)

    before = cpu(own), cpu(other), machine_cpu_seconds() or 0.0
    started = time.perf_counter()
    result = turn()
    seconds = time.perf_counter() - started
    clients, drawing, all_ = (
        now - then
        for now, then in zip(
            (cpu(own), cpu(other), machine_cpu_seconds() or 0.0), before, strict=True
        )
    )
    others = max(0.0, all_ - clients - drawing) / seconds / (os.cpu_count() or 1)
    return {
        "images_per_second": IMAGES / seconds,
        "cpu_seconds_per_image": drawing / IMAGES,
        "client_cpu_seconds_per_image": clients / IMAGES,
        "taken_by_others": round(others, 4),
        "result": result,
    }


def measure(bundle: Path) -> list[dict[str, Any]]:
    """All pairs, those that do not count too."""
    drawing, asking = cpus_of_both()
    os.sched_setaffinity(0, drawing)  # as the processes inherit it
    started = time.monotonic()
    pairs: list[dict[str, Any]] = []
    with bare_session(bundle) as (draw, bare), service(bundle) as (port, serving):
        os.sched_setaffinity(0, asking)
        ask_for_all(port, 2 * BATCH)  # warm
        while not pairs or (len(pairs) < PAIRS and time.monotonic() - started < LONGEST):
            sizes = batch_sizes(port)
            turns: dict[str, Callable[[], dict[str, Any]]] = {
                "bare": lambda: timed(draw, bare),
                "http": lambda: timed(lambda: ask_for_all(port, IMAGES), serving),
            }
            order = ["bare", "http"] if len(pairs) % 2 == 0 else ["http", "bare"]
            pair = {name: turns[name]() for name in order}
            calls, rows = (now - then for now, then in zip(batch_sizes(port), sizes, strict=True))
            del pair["bare"]["result"]
            pair["http"]["latencies"] = [round(x, 4) for x in pair["http"].pop("result")]
            pair["http"]["batch_mean"] = rows / calls
            pairs.append(pair)
            print(json.dumps(tell_facts(pair)), file=sys.stderr, flush=True)
    return pairs


def tell_facts(pair: dict[str, Any]) -> dict[str, float]:
    """What a pair says."""
    bare, served = pair["bare"], pair["http"]
    both = served["cpu_seconds_per_image"] + served["client_cpu_seconds_per_image"]
    # When a request comes, a batch may run and all other clients' images may wait.
    queue = (CLIENTS + BATCH) / served["images_per_second"]
    p99 = percentile(served["latencies"], 0.99)
    facts = {
        "bare_images_per_second": bare["images_per_second"],
        "http_images_per_second": served["images_per_second"],
        "ratio": served["images_per_second"] / bare["images_per_second"],
        "cpu_ratio": bare["cpu_seconds_per_image"] / both,
        "bare_cpu_seconds_per_image": bare["cpu_seconds_per_image"],
        "service_cpu_seconds_per_image": served["cpu_seconds_per_image"],
        "client_cpu_seconds_per_image": served["client_cpu_seconds_per_image"],
        "batch_mean": served["batch_mean"],
        "p50_seconds": percentile(served["latencies"], 0.5),
        "p99_seconds": p99,
        "queue_seconds": queue,
        "p99_over_queue": p99 / queue,
        "taken_by_others": max(bare["taken_by_others"], served["taken_by_others"]),
    }
    return {name: round(value, 4) for name, value in facts.items()}


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def summary(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the pairs that count."""
    facts = [tell_facts(pair) for pair in pairs]
    kept = [one for one in facts if one["taken_by_others"] <= MOST_TAKEN]
    medians = {
        name: round(statistics.median(one[name] for one in kept or facts), 4) for name in facts[0]
    }
    return {"pairs": len(kept), "disturbed": not kept, **medians}


def main(out: Path, bundle: Path | None = None) -> None:
    """Measure, and write the results."""
    machine = describe_machine()
    drawing, asking = cpus_of_both()
    with tempfile.TemporaryDirectory() as folder:
        subject = NETWORK if bundle is None else bundle.resolve().name
        if bundle is None:
            bundle = Path(folder) / "bundle"
            command = ["export", NETWORK, "--out", str(bundle), "--no-verify"]
            subprocess.run([sys.executable, "-m", "stylert.cli", *command], check=True)
        pairs = measure(bundle)
    results = {
        "schema": 2,
        "subject": f"{CLIENTS} HTTP clients with single-image requests, and the bare session",
        "bundle": subject,
        "images": IMAGES,
        "max_batch": BATCH,
        "bounds": BOUNDS,
        "machine": machine,
        "niceness": os.nice(0),
        "cpus": {"drawing": drawing, "clients": asking},
        "summary": summary(pairs),
        "pairs": pairs,
    }
    out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["summary"], indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)

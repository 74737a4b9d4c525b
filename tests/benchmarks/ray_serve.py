"""Images a second of Ray Serve under 32 clients, against the bare session in full batches.

One replica with all CPUs serves StyleGAN2 256 with random weights; each client asks for one image
at a time, and for the next as soon as it has it. The bare session draws the same seeds with
`Generator.generate` in batches of 8. The two take turns. Then, under the same load, the replica is
killed: how its clients fare, and how long nothing is answered.

    python tests/benchmarks/ray_serve.py docs/results/ray-serve-cpu.json [BUNDLE]
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from stylert.apps.bench.machine import describe_machine
from stylert.runtime.machine import usable_cpus

CLIENTS = 32
BATCH = 8
IMAGES = 128  # of a turn
ROUNDS = 3
KILL_SECONDS = 8.0  # of load before the replica is killed
AFTER_SECONDS = 25.0  # of load behind that
UNTRAINED = "untrained:stylegan2-256"

# Draws the seeds of sys.argv[2] as a whole, and says how long it took.
BARE = """
import sys, time
import stylert
generator = stylert.open(sys.argv[1], provider="cpu", max_batch=int(sys.argv[3]))
generator.generate(range(int(sys.argv[3])))
started = time.perf_counter()
generator.generate(range(int(sys.argv[2])))
print(time.perf_counter() - started)
"""


@contextmanager
def served(bundle: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Runs the service; gives its port and process."""
    command = [sys.executable, "-m", "stylert.cli", "ray", str(bundle), "--address", "local"]
    command += ["--port", "0", "--batch", str(BATCH), "--cpus", str(usable_cpus())]
    command += ["--seconds", "600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r":(\d+) ", line)
        assert found, line
        try:
            yield int(found[1]), psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def ask(port: int, seed: int) -> tuple[int, bytes]:
    """The status and the body of the answer to a request for one image."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        headers = {"content-type": "application/json"}
        connection.request("POST", "/generate", json.dumps({"seeds": [seed]}), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def clients(port: int, images: int) -> float:
    """Seconds in which many clients get so many images."""

    def client(number: int) -> None:
        for seed in range(number, images, CLIENTS):
            status, body = ask(port, seed)
            assert status == 200, body
            assert body.startswith(b"\x89PNG")

    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(client, range(CLIENTS)))
    return time.perf_counter() - started


def bare(bundle: Path, images: int) -> float:
    """Seconds of the bare session, in a process of its own."""
    command = [sys.executable, "-c", BARE, str(bundle), str(images), str(BATCH)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def killing(port: int, service: psutil.Process) -> dict[str, Any]:
    """Kill the replica under load; tell what each request got, and when."""
    end = threading.Event()
    answers: list[dict[str, Any]] = []

    def client(number: int) -> None:
        while not end.is_set():
            asked = time.perf_counter()
            try:
                status, body = ask(port, number)
            except OSError as error:
                status, body = -1, repr(error).encode()
            seconds = (asked, time.perf_counter())
            digest = hashlib.sha256(body).hexdigest()
            answers.append({"seed": number, "times": seconds, "status": status, "sha256": digest})

    with ThreadPoolExecutor(CLIENTS) as threads:
        asking = [threads.submit(client, number) for number in range(CLIENTS)]
        time.sleep(KILL_SECONDS)
        children = service.children(recursive=True)
        (pid,) = [c.pid for c in children if c.name().startswith("ray::ServeReplica")]
        os.kill(pid, signal.SIGKILL)
        killed = time.perf_counter()
        time.sleep(AFTER_SECONDS)
        end.set()
        for one in asking:
            one.result()
    pictures: dict[int, set[str]] = {}
    for one in answers:
        if one["status"] == 200:
            pictures.setdefault(one["seed"], set()).add(one["sha256"])
    back = [
        a["times"][1] - killed for a in answers if a["status"] == 200 and a["times"][0] > killed
    ]
    in_flight = [a for a in answers if a["times"][0] < killed < a["times"][1]]
    return {
        "requests": len(answers),
        "by_status": dict(Counter(str(one["status"]) for one in answers)),
        "in_flight_by_status": dict(Counter(str(one["status"]) for one in in_flight)),
        "seconds_until_back": min(back) if back else None,  # a picture that was asked for later
        "pictures_per_seed": max(map(len, pictures.values())),
    }


def main(out: Path, bundle: Path | None = None) -> None:
    """Measure, and write the results."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        if bundle is None:
            bundle = Path(folder) / "bundle"
            command = ["export", UNTRAINED, "--out", str(bundle), "--no-verify"]
            subprocess.run([sys.executable, "-m", "stylert.cli", *command], check=True)
        rounds = []
        with served(bundle) as (port, service):
            clients(port, CLIENTS)  # warm
            for _ in range(ROUNDS):
                one = {"load": os.getloadavg()[0], "bare_seconds": bare(bundle, IMAGES)}
                one["serve_seconds"] = clients(port, IMAGES)
                rounds.append(one)
                print(json.dumps(one), flush=True)
            killed = killing(port, service)
    ratios = [one["bare_seconds"] / one["serve_seconds"] for one in rounds]
    summary = {
        "bare_images_per_second": statistics.median(IMAGES / r["bare_seconds"] for r in rounds),
        "serve_images_per_second": statistics.median(IMAGES / r["serve_seconds"] for r in rounds),
        "ratio": statistics.median(ratios),
        "ratio_worst": min(ratios),
    }
    results = {
        "schema": 1,
        "subject": f"Ray Serve with {CLIENTS} clients and single-image requests, {UNTRAINED}",
        "bounds": {"ratio": 0.85, "seconds_until_back": 10.0},
        "machine": machine,
        "summary": summary,
        "killing": killed,
        "rounds": rounds,
    }
    out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps({**summary, "killing": killed}, indent=2))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

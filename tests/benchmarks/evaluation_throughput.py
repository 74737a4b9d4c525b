"""What `stylert evaluate` adds to drawing and to its feature network, in turns.

    stylert demo demo-bundle
    python tests/benchmarks/evaluation_throughput.py demo-bundle OUT.json [N]

Each turn draws N pictures, as `stylert generate` would, shows N resized ones to the feature network
alone, and does both as `evaluate` does, with the resize and the file of features. Both parts are
timed twice: by calls of all CPUs, and by workers of one thread each, as `evaluate` has them; the
faster of both is what it is compared with. Seconds and CPU seconds are told: on a machine that
others use, the latter mean more. It takes two minutes on two quiet CPUs.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import stylert
from stylert.apps.datasets import DatasetJob, Seeds, open_for_workers
from stylert.apps.evaluation import extract_drawn, open_network

ROUNDS = 3
AT_ONCE = 8  # pictures that the feature network sees


def main() -> None:
    """Time, tell and write."""
    bundle, out = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    shared, workers = open_for_workers(bundle)
    whole = stylert.open(bundle)
    network, of_one = open_network(), open_network(threads=shared.describe()["threads"])
    job = DatasetJob(seeds=Seeds.of(range(count)), options={"class_idx": 0})
    filled = job.for_generator(whole.spec, whole.classes)
    pixels = np.zeros((AT_ONCE, network.size, network.size, 3), np.uint8)
    times = -(-count // AT_ONCE)
    turns: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:

        def draw() -> None:
            for places in filled.batches(0, whole.max_batch):
                filled.draw(whole, places)

        def draw_by_workers() -> None:
            list(pool.map(lambda p: filled.draw(shared, p), filled.batches(0, shared.max_batch)))

        def see() -> None:
            for _ in range(times):
                network.extract(pixels)

        def see_by_workers() -> None:
            list(pool.map(of_one.extract, [pixels] * times))

        def evaluate(name: str = "") -> None:
            name = name or str(len(turns))
            extract_drawn(shared, job, of_one, Path(folder) / name, workers=workers)

        evaluate("warm")  # caches, and threads
        for _ in range(ROUNDS):
            parts = (draw, draw_by_workers, see, see_by_workers, evaluate)
            turns.append({f.__name__: time_one(f) for f in parts})
    found: dict[str, Any] = {"pictures": count, "cpus": os.cpu_count(), "workers": workers}
    found |= {"turns": turns, "load": os.getloadavg()}
    for kind in ("seconds", "cpu_seconds"):
        ratios = [find_ratio({name: t[name][kind] for name in t}) for t in turns]
        found[f"throughput kept, by {kind}"] = statistics.median(ratios)
    Path(out).write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def time_one(function: Callable[[], None]) -> dict[str, float]:
    """Its seconds, and those of all CPUs."""
    start, used = time.perf_counter(), time.process_time()
    function()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "cpu_seconds": time.process_time() - used}


def find_ratio(turn: dict[str, float]) -> float:
    """The faster way of each part over the whole."""
    parts = [min(turn[name], turn[f"{name}_by_workers"]) for name in ("draw", "see")]
    return sum(parts) / turn["evaluate"]


if __name__ == "__main__":
    main()

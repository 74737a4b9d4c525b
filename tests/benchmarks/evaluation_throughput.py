"""What `stylert evaluate` adds to drawing and to its feature network, in turns.

    python tests/benchmarks/evaluation_throughput.py BUNDLE OUT.json [N]

Each turn draws N pictures, as `stylert generate` would, shows N resized ones to the feature network
alone, and does both as `evaluate` does, with the resize and the file of features. Seconds and CPU
seconds are told: on a machine that others use, the latter mean more, but do not show that drawing
and seeing overlap.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import stylert
from stylert.apps.datasets import DatasetJob, Seeds
from stylert.apps.evaluation import extract_drawn, open_network

ROUNDS = 3


def main() -> None:
    """Time, tell and write."""
    bundle, out = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    network = open_network()
    job = DatasetJob(seeds=Seeds.of(range(count)), options={"class_idx": 0})
    pixels = np.zeros((8, network.size, network.size, 3), np.uint8)
    turns: list[dict[str, Any]] = []
    with stylert.open(bundle) as generator, tempfile.TemporaryDirectory() as folder:
        filled = job.for_generator(generator.spec, generator.classes)

        def draw() -> None:
            for places in filled.batches(0, generator.max_batch):
                filled.draw(generator, places)

        def see() -> None:
            for _ in range(0, count, 8):
                network.extract(pixels)

        def evaluate(name: str = "") -> None:
            name = name or str(len(turns))
            extract_drawn(generator, job, network, Path(folder) / name)

        evaluate("warm")  # caches, and threads
        for _ in range(ROUNDS):
            turns.append({f.__name__: time_one(f) for f in (draw, see, evaluate)})
    found: dict[str, Any] = {"pictures": count, "cpus": os.cpu_count(), "turns": turns}
    found["load"] = os.getloadavg()
    for kind in ("seconds", "cpu_seconds"):
        ratios = [(t["draw"][kind] + t["see"][kind]) / t["evaluate"][kind] for t in turns]
        found[f"throughput kept, by {kind}"] = statistics.median(ratios)
    Path(out).write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def time_one(function: Callable[[], None]) -> dict[str, float]:
    """Its seconds, and those of all CPUs."""
    start, used = time.perf_counter(), time.process_time()
    function()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "cpu_seconds": time.process_time() - used}


if __name__ == "__main__":
    main()

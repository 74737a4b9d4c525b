"""Many pictures on CPUs: calls of all threads against workers of one thread each, in turns.

    stylert demo demo-bundle
    python tests/benchmarks/bulk_workers.py OUT.json demo-bundle:300:7 256-bundle:32:3 ...

Each argument is a bundle, the pictures of a turn, and the rounds. A turn is a process of its own,
which opens the bundle, warms up, and writes a folder of PNGs: once as `Generator.open` opens it
(as `generate` did until 0.2), once as `open_for_job` does. CPU seconds mean more than seconds on a
machine that others use. The pictures of both ways are compared.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.apps.datasets import DatasetJob, Seeds, open_for_job, write_dataset

WAYS = ("calls of all threads", "workers")


def run_turn(way: str, bundle: str, count: int, out: Path) -> dict[str, Any]:
    """Write a data set, and tell what it took."""
    job = DatasetJob(seeds=Seeds.of(range(count)), options={"truncation_psi": 0.7})
    if way == "workers":
        generator, workers = open_for_job(bundle, job, out, provider="cpu")
    else:
        generator, workers = stylert.open(bundle, provider="cpu"), 1
    with generator:
        few = DatasetJob(seeds=Seeds.of(range(workers)), options={"truncation_psi": 0.7})
        write_dataset(generator, few, out.with_name("warm"), workers=workers)
        start, used = time.perf_counter(), time.process_time()
        write_dataset(generator, job, out, workers=workers)
        seconds, cpu = time.perf_counter() - start, time.process_time() - used
        facts = generator.describe()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    call = {"threads": facts["threads"], "batch": generator.max_batch, "workers": workers}
    found = {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "peak_mb": round(peak)}
    return {**call, **found}


def compare(bundle: str, count: int, rounds: int) -> dict[str, Any]:
    """Turns of both ways, one after the other, and their medians."""
    turns: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        manifests = []
        for way in WAYS:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out"
                command = [sys.executable, "-W", "ignore", __file__, "--turn", way, bundle]
                told = subprocess.check_output([*command, str(count), str(out)])
                manifests.append((out / "manifest.jsonl").read_bytes())
            turns[way].append(json.loads(told))
            print(bundle, way, turns[way][-1], file=sys.stderr, flush=True)
        assert manifests[0] == manifests[1], "the pictures differ"
    kinds = ("seconds", "cpu_seconds", "peak_mb")
    medians = {
        way: {kind: statistics.median(turn[kind] for turn in turns[way]) for kind in kinds}
        for way in WAYS
    }
    return {"bundle": Path(bundle).name, "pictures": count, "medians": medians, "turns": turns}


def main() -> None:
    """Compare all bundles, and write the results."""
    if sys.argv[1] == "--turn":
        way, bundle, count, out = sys.argv[2:]
        print(json.dumps(run_turn(way, bundle, int(count), Path(out))))
        return
    machine, found = describe_machine(), []
    for text in sys.argv[2:]:
        bundle, count, rounds = text.rsplit(":", 2)
        found.append(compare(bundle, int(count), int(rounds)))
    results = {"schema": 1, "subject": "bulk generation by workers", "machine": machine}
    text = json.dumps({**results, "found": found}, indent=1) + "\n"
    Path(sys.argv[1]).write_text(text)


if __name__ == "__main__":
    main()

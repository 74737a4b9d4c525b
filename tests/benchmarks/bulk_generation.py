"""Does bulk generation keep the pace of the bare session? StyleGAN2 256 on the CPU, and the memory.

A turn of the bare session draws batches with inputs that were made before, and drops the images. A
turn of a data set is all of `write_dataset`: it makes latents, draws, encodes, hashes, writes and
syncs. They alternate on one session, in pairs. A pair counts if other processes took little of the
CPU meanwhile; before each one the benchmark waits a little for that. A pair of two bare turns shows
what such ratios are worth. On a machine that is never quiet, run it before the others:

    nice -n -20 python tests/benchmarks/bulk_generation.py docs/results/bulk-generation-cpu.json

Linux only: the CPU time of others is from /proc.
"""

from __future__ import annotations

import itertools
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

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.backends import open_session
from stylert.runtime.bench.machine import describe_machine, machine_cpu_seconds
from stylert.runtime.bundle import Bundle
from stylert.runtime.datasets import DatasetJob, Seeds, write_dataset
from stylert.runtime.generator import Generator

NETWORK = "untrained:stylegan2-256"
BATCH = 8
IMAGES = 16  # of a turn
PAIRS = 8  # of each data set that count
MOST_TAKEN = 0.03  # of the CPUs, by others, in a turn that counts
PATIENCE = 8.0  # seconds to wait for others before a pair
LONGEST = 45 * 60.0  # seconds in all
DATASETS: dict[str, dict[str, Any] | None] = {
    "bare session again": None,
    "folder, PNG": {"container": "folder"},
    "zip, PNG": {"container": "zip"},
    "webdataset, PNG": {"container": "webdataset"},
    "webdataset, PNG, compression 6": {"container": "webdataset", "compression": 6},
    "webdataset, JPEG": {"container": "webdataset", "image_format": "jpeg"},
    "webdataset, WebP": {"container": "webdataset", "image_format": "webp"},
}
MEMORY_IMAGES = 100_000
CPUS = os.cpu_count() or 1


def taken(seconds: float) -> float:
    """The share of the CPUs that others take, over some time in which this process rests."""
    before = (machine_cpu_seconds() or 0.0) - time.process_time()
    time.sleep(seconds)
    return ((machine_cpu_seconds() or 0.0) - time.process_time() - before) / seconds / CPUS


def timed(turn: Callable[[], None]) -> dict[str, float]:
    """Images per second of a turn, and what others took of the CPUs meanwhile."""
    wall, own, all_ = time.perf_counter(), time.process_time(), machine_cpu_seconds() or 0.0
    turn()
    seconds = time.perf_counter() - wall
    cpu = time.process_time() - own
    others = (machine_cpu_seconds() or 0.0) - all_ - cpu
    return {
        "images_per_second": IMAGES / seconds,
        "cpu_seconds": cpu,
        "taken_by_others": max(0.0, others / seconds / CPUS),
    }


def measure(bundle: Bundle, folder: Path) -> list[dict[str, Any]]:
    """All pairs, those that do not count too."""
    session, choice = open_session(bundle, provider="cpu")
    generator = Generator(bundle, session, max_batch=BATCH, choice=choice)
    spec = generator.spec
    psi = np.full((BATCH, spec.num_ws), 0.7, np.float32)
    noise = bundle.read_noise()
    latents = [
        np.random.RandomState(i).randn(BATCH, spec.z_dim).astype(np.float32)
        for i in range(IMAGES // BATCH)
    ]
    numbers = itertools.count()

    def bare() -> None:
        for z in latents:
            ws = session.map({"z": z, "truncation_psi": psi})
            session.synthesize({"ws": ws, **noise}, ["image"])

    def dataset(options: dict[str, Any]) -> None:
        job = DatasetJob(seeds=Seeds.of(range(IMAGES)), truncation_psi=0.7, **options)
        write_dataset(generator, job, folder / f"{next(numbers)}")

    turns: dict[str, Callable[[], None]] = {
        name: bare if options is None else lambda options=options: dataset(options)  # type: ignore[misc]
        for name, options in DATASETS.items()
    }
    for turn in (bare, turns["webdataset, WebP"], bare):  # warm up
        turn()
    pairs: list[dict[str, Any]] = []
    end = time.monotonic() + LONGEST
    missing = dict.fromkeys(turns, PAIRS)
    while any(missing.values()) and time.monotonic() < end:
        for number, (name, turn) in enumerate(turns.items()):
            if not missing[name]:
                continue
            late = time.monotonic() + PATIENCE
            while taken(1.0) > MOST_TAKEN and time.monotonic() < late:
                pass
            order = ["bare", "dataset"] if (len(pairs) + number) % 2 else ["dataset", "bare"]
            both = {"bare": bare, "dataset": turn}
            pair: dict[str, Any] = {"name": name} | {k: timed(both[k]) for k in order}
            pair["counts"] = all(pair[k]["taken_by_others"] <= MOST_TAKEN for k in order)
            missing[name] -= pair["counts"]
            pairs.append(pair)
            print(name, pair["counts"], f"{ratio(pair):.3f}", file=sys.stderr, flush=True)
    return pairs


def ratio(pair: dict[str, Any]) -> float:
    """The pace of the data set over that of the bare session."""
    return float(pair["dataset"]["images_per_second"] / pair["bare"]["images_per_second"])


def summary(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the pairs that count."""
    found = {}
    for name in DATASETS:
        kept = [pair for pair in pairs if pair["name"] == name and pair["counts"]]
        if kept:
            found[name] = {
                "pairs": len(kept),
                "bare_images_per_second": median(p["bare"]["images_per_second"] for p in kept),
                "images_per_second": median(p["dataset"]["images_per_second"] for p in kept),
                "ratio": median(map(ratio, kept)),
                "ratio_worst": round(min(map(ratio, kept)), 4),
            }
    return found


def median(values: Any) -> float:
    """Rounded to four digits behind the point."""
    return round(statistics.median(values), 4)


def memory(folder: Path) -> dict[str, Any]:
    """Resident memory while very many images are written; drawing is left out."""

    class Drawer:
        """Gives the same gray pixels for every seed."""

        def __init__(self, bundle: Bundle) -> None:
            self.bundle, self.spec, self.max_batch = bundle, bundle.spec, 64

        def describe(self) -> dict[str, Any]:
            return {"backend": "none"}

        def generate(self, seeds: list[int], **_: Any) -> np.ndarray:
            return np.full((len(seeds), 8, 8, 3), 128, np.uint8)

    samples: list[tuple[int, float]] = []

    def sample(done: int, total: int) -> None:
        if done >= len(samples) * total / 20:
            status = Path("/proc/self/status").read_text()
            resident = int(status.split("VmRSS:")[1].split()[0])
            samples.append((done, round(resident * 1024 / 1e6, 1)))

    drawer: Any = Drawer(Bundle.open(folder / "bundle"))
    job = DatasetJob(seeds=Seeds.of(range(MEMORY_IMAGES)), container="webdataset")
    start = time.perf_counter()
    write_dataset(drawer, job, folder / "many", progress=sample)
    rate = MEMORY_IMAGES / (time.perf_counter() - start)
    return {
        "images": MEMORY_IMAGES,
        "container": "webdataset",
        "images_per_second_without_drawing": round(rate),
        "resident_mb_by_images": samples,
    }


def main(out: Path) -> None:
    """Measure, and write the results."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_bundle(read_checkpoint(NETWORK), folder / "bundle", verify_seeds=0)
        resident = memory(folder)
        pairs = measure(Bundle.open(folder / "bundle"), folder)
    results = {
        "schema": 1,
        "subject": f"bulk generation, {NETWORK}, batches of {BATCH}, {IMAGES} images a turn",
        "bounds": {"ratio": 0.95},
        "machine": machine,
        "niceness": os.nice(0),
        "summary": summary(pairs),
        "memory": resident,
        "pairs": pairs,
    }
    out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["summary"], indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Does bulk generation keep the pace of the bare session? StyleGAN2 256 on the CPU, and the memory.

A turn of the bare session draws batches with inputs that were made before, and drops the images. A
turn of a data set is all of `write_dataset`: it makes latents, draws, encodes, hashes, writes and
syncs. They alternate on one session, and each data set is compared with the two bare turns around
it; so is each bare turn with its neighbours, which shows what such ratios are worth. A turn counts
if other processes took little of the CPU meanwhile. It takes some seven minutes:

    python tests/benchmarks/bulk_generation.py docs/results/bulk-generation-cpu.json

On a machine that is never quiet, let it go before the others: `nice -n -20`, and where the kernel
groups processes by session, `echo -20 > /proc/self/autogroup` before it.

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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stylert.apps.bench.machine import describe_machine, machine_cpu_seconds
from stylert.apps.datasets import DatasetJob, Seeds, write_dataset
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.backends import open_session
from stylert.runtime.bundle import Bundle
from stylert.runtime.feeds import Feeds
from stylert.runtime.generator import Generator

NETWORK = "untrained:stylegan2-256"
BATCH = 8
IMAGES = 48  # of a data set's turn, which ends with what nothing hides: the last batch's encoding
BARE_IMAGES = 24  # of a bare turn
ROUNDS = 4
LONGEST = 400.0  # seconds; no round begins that would end later
MOST_TAKEN = 0.03  # of the CPUs, by others, in a turn that counts
PATIENCE = 8.0  # seconds to wait for others before a round
BARE = "bare session"
DATASETS: dict[str, dict[str, Any]] = {
    "folder, PNG": {"container": "folder"},
    "zip, PNG": {"container": "zip"},
    "webdataset, PNG": {"container": "webdataset"},
    "webdataset, JPEG": {"container": "webdataset", "image_format": "jpeg"},
    "webdataset, WebP": {"container": "webdataset", "image_format": "webp"},
}
MEMORY_IMAGES = 50_000
CPUS = os.cpu_count() or 1


def wait_for_others() -> None:
    """Wait a little until other processes take little of the CPUs."""
    late = time.monotonic() + PATIENCE
    while time.monotonic() < late:
        before = machine_cpu_seconds() or 0.0
        time.sleep(1)  # this process takes nothing meanwhile
        if (machine_cpu_seconds() or 0.0) - before <= MOST_TAKEN * CPUS:
            return


def timed(name: str, turn: Callable[[], None], images: int) -> dict[str, Any]:
    """Images per second of a turn, and what others took of the CPUs meanwhile."""
    wall, own, all_ = time.perf_counter(), time.process_time(), machine_cpu_seconds() or 0.0
    turn()
    seconds = time.perf_counter() - wall
    cpu = time.process_time() - own
    others = (machine_cpu_seconds() or 0.0) - all_ - cpu
    found = {
        "name": name,
        "images_per_second": round(images / seconds, 4),
        "cpu_seconds_per_image": round(cpu / images, 4),
        "taken_by_others": round(max(0.0, others / seconds / CPUS), 4),
    }
    print(*found.values(), file=sys.stderr, flush=True)
    return found


def measure(bundle: Bundle, folder: Path) -> list[dict[str, Any]]:
    """All turns in their order, those that do not count too: bare, a data set, bare, ..., bare."""
    session, choice = open_session(bundle, provider="cpu")
    generator = Generator(bundle, session, max_batch=BATCH, choice=choice)
    spec = generator.spec
    psi = np.full((BATCH, spec.num_ws), 0.7, np.float32)
    noise = bundle.read_noise()
    latents = [
        np.random.RandomState(i).randn(BATCH, spec.z_dim).astype(np.float32)
        for i in range(BARE_IMAGES // BATCH)
    ]
    numbers = itertools.count()

    def bare() -> None:
        for z in latents:
            feeds = Feeds(BATCH, {"z": z, "truncation_psi": psi}, noise)
            session.run(("mapping", "synthesis"), feeds, ["image"])

    def dataset(images: int, **options: Any) -> None:
        job = DatasetJob(seeds=Seeds.of(range(images)), options={"truncation_psi": 0.7}, **options)
        write_dataset(generator, job, folder / f"{next(numbers)}")

    for options in DATASETS.values():  # warm up
        dataset(1, **options)
    bare()
    turns: list[dict[str, Any]] = []
    start, longest = time.monotonic(), 0.0
    for _ in range(ROUNDS):
        began = time.monotonic()
        if began + longest - start > LONGEST:
            break
        wait_for_others()
        for name, options in DATASETS.items():
            turns.append(timed(BARE, bare, BARE_IMAGES))
            turns.append(timed(name, partial(dataset, IMAGES, **options), IMAGES))
        longest = max(longest, time.monotonic() - began)
    turns.append(timed(BARE, bare, BARE_IMAGES))
    return turns


def summary(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """By data set: its pace over that of the bare turns around it, where all three count."""
    bare = turns[::2]
    threes = [*zip(turns[1::2], bare, bare[1:], strict=False)]
    threes += [*zip(bare[1:], bare, bare[2:], strict=False)]
    found = {}
    for name in (*DATASETS, BARE):
        counted = [
            three
            for three in threes
            if three[0]["name"] == name and all(t["taken_by_others"] <= MOST_TAKEN for t in three)
        ]
        if counted:
            ratios = [over_others(three, "images_per_second") for three in counted]
            cpu = [over_others(three, "cpu_seconds_per_image") for three in counted]
            found[name] = {
                "turns": len(counted),
                "images_per_second": median(t[0]["images_per_second"] for t in counted),
                "ratio": median(ratios),
                "ratio_worst": min(ratios),
                "cpu_ratio": median(cpu),
            }
    return found


def over_others(three: tuple[dict[str, Any], ...], fact: str) -> float:
    """A fact of the first turn over the mean of that of the two others."""
    first, *others = (turn[fact] for turn in three)
    return round(first / statistics.mean(others), 4)


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
        turns = measure(Bundle.open(folder / "bundle"), folder)
        resident = memory(folder)
    results = {
        "schema": 2,
        "subject": f"bulk generation, {NETWORK}, batches of {BATCH}, {IMAGES} images a turn",
        "bounds": {"ratio": 0.95},
        "machine": machine,
        "niceness": os.nice(0),
        "summary": summary(turns),
        "memory": resident,
        "turns": turns,
    }
    out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["summary"], indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

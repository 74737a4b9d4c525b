"""Data sets on Ray against the local writer: the pace at 256 px, and 2,000 images with a killing.

Both write WebDataset shards of StyleGAN2 256 with random weights, in turns, with all CPUs: the
local writer in a process of its own, on Ray one actor. The pace is that between the first finished
shard and the last one, by the times of their files, so that no start is in it; the whole turns are
told, too. Then two actors write 2,000 images of a tiny network, one of them is killed, and the
files are compared with those of the local writer.

    python tests/benchmarks/ray_data.py docs/results/ray-data-cpu.json [BUNDLE]
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from stylert.apps.bench.machine import describe_machine
from stylert.apps.cluster.connection import connected
from stylert.apps.cluster.dataset_writing import RayDatasetResult, write_dataset_on_ray
from stylert.apps.datasets import DatasetJob, Seeds
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint

NETWORK = "untrained:stylegan2-256"
TINY = Path(__file__).parents[1] / "goldens" / "sg2-skip-32.pkl"
BATCH = 8
SHARD = 16
SHARDS = 6  # of a turn; the first one is the start
ROUNDS = 3
KILLED_IMAGES = 2000
LOCAL = """
import sys
from stylert.apps.datasets import DatasetJob, Seeds, write_dataset
from stylert.runtime.generator import Generator
bundle, out, images, shard, batch, threads = sys.argv[1:]
job = DatasetJob(
    seeds=Seeds.of(range(int(images))), container="webdataset", shard_size=int(shard)
)
threads = int(threads) or None
with Generator.open(bundle, provider="cpu", threads=threads, max_batch=int(batch)) as generator:
    write_dataset(generator, job, out)
"""


def job_of(images: int, shard_size: int) -> DatasetJob:
    """The job that LOCAL does, too."""
    return DatasetJob(seeds=Seeds.of(range(images)), container="webdataset", shard_size=shard_size)


def local(bundle: Path, out: Path, images: int, shard_size: int, threads: int = 0) -> None:
    """Write a data set in a process of its own."""
    arguments = map(str, (bundle, out, images, shard_size, BATCH, threads))
    subprocess.run([sys.executable, "-c", LOCAL, *arguments], check=True)


def pace(out: Path) -> float:
    """Images per second, from the first finished shard to the last one."""
    times = [path.stat().st_mtime for path in sorted(out.glob("*.tar"))]
    assert len(times) == SHARDS, out
    return (len(times) - 1) * SHARD / (max(times) - min(times))


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of all files, by name."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def round_of(bundle: Path, folder: Path, number: int) -> dict[str, Any]:
    """A turn of each, one after the other."""
    found: dict[str, Any] = {"load": os.getloadavg()[0]}
    turns = ["local", "ray"] if number % 2 else ["ray", "local"]
    for turn in turns:
        out = folder / f"{turn}-{number}"
        started = time.perf_counter()
        if turn == "local":
            local(bundle, out, SHARDS * SHARD, SHARD)
        else:
            job = job_of(SHARDS * SHARD, SHARD)
            write_dataset_on_ray(bundle, job, out, max_batch=BATCH)
        found[turn] = {"seconds": time.perf_counter() - started, "images_per_second": pace(out)}
    found["equal"] = digests(folder / f"ray-{number}") == digests(folder / f"local-{number}")
    print(json.dumps(found), flush=True)
    return found


def killing(bundle: Path, folder: Path) -> dict[str, Any]:
    """Write many images with two actors, of which one is killed when half of them are there."""
    killed: list[int] = []

    def kill_one(done: int, total: int) -> None:
        if not killed and done >= total / 2:
            children = psutil.Process().children(recursive=True)
            (pid, *_) = [c.pid for c in children if c.name().startswith("ray::ShardActor")]
            os.kill(pid, signal.SIGKILL)
            killed.append(done)

    job = job_of(KILLED_IMAGES, 100)
    result: RayDatasetResult = write_dataset_on_ray(
        *(bundle, job, folder / "killed"), threads=1, max_batch=BATCH, progress=kill_one
    )
    local(bundle, folder / "whole", KILLED_IMAGES, 100, threads=1)
    lines = (folder / "killed" / "manifest.jsonl").read_text().splitlines()
    return {
        "images": KILLED_IMAGES,
        "killed_at": killed,
        "deaths": result.deaths,
        "every_image_once": [json.loads(line)["seed"] for line in lines]
        == list(range(KILLED_IMAGES)),
        "equal": digests(folder / "killed") == digests(folder / "whole"),
    }


def main(out: Path, bundle: Path | None = None) -> None:
    """Measure, and write the results."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if bundle is None:
            bundle = folder / "bundle"
            export_bundle(read_checkpoint(NETWORK), bundle, verify_seeds=0)
        export_bundle(read_checkpoint(TINY), folder / "tiny", verify_seeds=0)
        with connected("local"):
            write_dataset_on_ray(folder / "tiny", job_of(8, 8), folder / "warm")
            rounds = [round_of(bundle, folder, number) for number in range(ROUNDS)]
            killed = killing(folder / "tiny", folder)
    ratios = [one["ray"]["images_per_second"] / one["local"]["images_per_second"] for one in rounds]
    summary = {
        name: statistics.median(one[name]["images_per_second"] for one in rounds)
        for name in ("local", "ray")
    }
    summary |= {"ratio": statistics.median(ratios), "ratio_worst": min(ratios)}
    results = {
        "schema": 1,
        "subject": f"WebDataset shards of {NETWORK} on one machine: Ray, and the local writer",
        "bounds": {"ratio": 0.9},
        "machine": machine,
        "summary": summary,
        "killing": killed,
        "rounds": rounds,
    }
    out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps({**summary, "killing": killed}, indent=2))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

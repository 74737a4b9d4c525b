"""Images a second of a Triton ensemble on the CPU, against the bare session in batches of 8.

The server is the one of the nvidia-pytriton wheel; StyleRT runs in its python backend, as
`stylert triton BUNDLE --backend python` sets it up. It is called in two ways: by 16 clients that
ask for one image at a time, which the server draws together, and by 2 clients that ask for 8. The
bare session draws the same seeds with `Generator.generate`, in a process of its own. All three take
turns, in another order each round; the server waits meanwhile. The clients run on the same CPUs.

    python tests/benchmarks/triton_ensemble.py docs/results/triton-ensemble.json [BUNDLE [IMAGES]]

Without a bundle it is StyleGAN2 256 with random weights, whose speed is that of trained ones. The
server is downloaded into pytest's cache folder, where the tests have it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.engines.triton import write_repository

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "engines" / "triton"))

import real_server  # noqa: E402

BATCH = 8
IMAGES = 80  # of a turn
ROUNDS = 3
CALLERS = {"ensemble, 16 clients of 1 image": (16, 1), "ensemble, 2 clients of 8": (2, BATCH)}
UNTRAINED = "untrained:stylegan2-256"
BARE = "bare session"

# Draws the seeds of sys.argv[2] as a whole, and says how long it took.
DRAW = """
import sys, time
import stylert
generator = stylert.open(sys.argv[1], max_batch=int(sys.argv[3]))
generator.generate(range(int(sys.argv[3])))
started = time.perf_counter()
generator.generate(range(int(sys.argv[2])))
print(time.perf_counter() - started)
"""


def bare(bundle: Path, images: int) -> dict[str, Any]:
    """Seconds of the bare session, in a process of its own."""
    command = [sys.executable, "-c", DRAW, str(bundle), str(images), str(BATCH)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"seconds": float(done.stdout)}


def called(client: Any, images: int, clients: int, size: int) -> dict[str, Any]:
    """Seconds of the ensemble under clients that ask for so many images at a time."""

    def ask(first: int) -> float:
        started = time.perf_counter()
        got = client("stylegan", seed=np.arange(first, first + size, dtype=np.int64)[:, None])
        assert len(got) == size
        return time.perf_counter() - started

    before = client.batches("synthesis")
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        latencies = list(threads.map(ask, range(0, images, size)))
    seconds = time.perf_counter() - started
    after = client.batches("synthesis")
    launches = {n: count - before.get(n, 0) for n, count in after.items()}
    return {
        "seconds": seconds,
        "batches": {str(n): count for n, count in launches.items() if count},
        "latencies": latencies,
    }


def same_pictures(client: Any, bundle: Path) -> bool:
    """Whether the ensemble draws what the bare session does."""
    with stylert.open(bundle) as generator:
        drawn = generator.generate(range(BATCH))
    got = client("stylegan", seed=np.arange(BATCH, dtype=np.int64)[:, None])
    return bool((got == drawn).all())


def main(out: Path, bundle: Path | None = None, images: int = IMAGES) -> None:
    """Measure, and write the results."""
    machine = describe_machine()
    home = real_server.installed(ROOT / ".pytest_cache" / "d" / "tritonserver")
    with tempfile.TemporaryDirectory() as folder:
        if bundle is None:
            bundle = Path(folder) / "bundle"
            command = ["export", UNTRAINED, "--out", str(bundle), "--no-verify"]
            subprocess.run([sys.executable, "-m", "stylert.cli", *command], check=True)
        repository = write_repository(
            bundle, Path(folder) / "repository", backend="python", max_batch=BATCH
        )
        with real_server.serving(home, repository.path) as client:
            same = same_pictures(client, bundle)  # and warm
            turns = {BARE: lambda: bare(bundle, images)} | {
                name: lambda how=how: called(client, images, *how)  # type: ignore[misc]
                for name, how in CALLERS.items()
            }
            names = list(turns)
            rounds = []
            for number in range(ROUNDS):
                one: dict[str, Any] = {"load": os.getloadavg()[0]}
                for name in names[number:] + names[:number]:
                    one[name] = turns[name]()
                    print(f"{name}: {images / one[name]['seconds']:.2f} images/s", flush=True)
                rounds.append(one)
    summary = {
        "images_per_second": {
            name: statistics.median(images / one[name]["seconds"] for one in rounds)
            for name in names
        },
        "ratio": {
            name: statistics.median(one[BARE]["seconds"] / one[name]["seconds"] for one in rounds)
            for name in CALLERS
        },
        "same_pictures": same,
    }
    results = {
        "schema": 1,
        "subject": "a Triton ensemble on the CPU, and the bare session",
        "bundle": UNTRAINED if bundle.parent.name.startswith("tmp") else bundle.name,
        "server": "tritonserver 2.51.0 of nvidia-pytriton 0.7.0, python backend",
        "images": images,
        "max_batch": BATCH,
        "recipe": repository.recipe.to_json(),
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

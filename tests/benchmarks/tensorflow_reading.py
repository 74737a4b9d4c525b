"""Time and memory of reading a TensorFlow pickle as big as the official StyleGAN2 of FFHQ, 364 MiB.

The file is made here, of random numbers, with the networks G, D and Gs at their official sizes. It
is read in fresh processes, which take turns with processes that read and hash its bytes only: no
reader can be faster than that. The file is in the page cache, as it was just written.

    python tests/benchmarks/tensorflow_reading.py docs/results/tensorflow-reading.json

Linux only: peaks are /proc's VmHWM, since ru_maxrss of a process includes that of its parent.
"""

from __future__ import annotations

import json
import pickle
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from stylert.apps.bench.machine import describe_machine

ROUNDS = 5
CHANNELS = (512, 512, 512, 512, 512, 256, 128, 64, 32)  # of the blocks 4, 8, ..., 1024
ARGUMENTS = {"resolution": 1024, "num_channels": 3, "label_size": 0, "fmap_base": 16 << 10}
Shapes = Iterator[tuple[str, tuple[int, ...]]]

# What the fresh processes do with sys.argv[1] between two looks at their peak.
READ = "from stylert.export.checkpoints import read_checkpoint as read"
FLOOR = """
import hashlib
from pathlib import Path
def read(path): return hashlib.sha256(Path(path).read_bytes()).hexdigest()
"""
MEASURED = """
import json, sys, time
def peak():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
before = peak()
wall, cpu = time.perf_counter(), time.process_time()
result = read(sys.argv[1])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps({"seconds": wall, "cpu_seconds": cpu, "peak_bytes": peak(), "before": before}))
"""


class Network:
    """Stands for the class whose objects the file has."""

    def __init__(self, **state: Any) -> None:
        self.__dict__ = state


def synthesis() -> Shapes:
    """Variables of the synthesis network, architecture 'skip'."""
    for i in range(17):
        side = 4 << (i + 1) // 2
        yield f"noise{i}", (1, 1, side, side)
    yield "4x4/Const/const", (1, 512, 4, 4)
    for i, wide in enumerate(CHANNELS):
        before = CHANNELS[i - 1]
        layers = [("Conv0_up", 3, before, wide), ("Conv1", 3, wide, wide)] if i else []
        for layer, kernel, wide_in, wide_out in [
            *(layers or [("Conv", 3, wide, wide)]),
            ("ToRGB", 1, wide, 3),
        ]:
            scope = f"{4 << i}x{4 << i}/{layer}"
            yield f"{scope}/weight", (kernel, kernel, wide_in, wide_out)
            yield f"{scope}/bias", (wide_out,)
            yield f"{scope}/mod_weight", (512, wide_in)
            yield f"{scope}/mod_bias", (wide_in,)
            if layer != "ToRGB":
                yield f"{scope}/noise_strength", ()


def mapping() -> Shapes:
    """Variables of the mapping network."""
    for i in range(8):
        yield f"Dense{i}/weight", (512, 512)
        yield f"Dense{i}/bias", (512,)


def discriminator() -> Shapes:
    """Variables of the residual discriminator."""
    yield "1024x1024/FromRGB/weight", (1, 1, 3, 32)
    for i in range(8, 0, -1):
        wide, less = CHANNELS[i], CHANNELS[i - 1]
        scope = f"{4 << i}x{4 << i}"
        yield f"{scope}/Conv0/weight", (3, 3, wide, wide)
        yield f"{scope}/Conv1_down/weight", (3, 3, wide, less)
        yield f"{scope}/Skip/weight", (1, 1, wide, less)
    yield "4x4/Conv/weight", (3, 3, 513, 512)
    yield "4x4/Dense0/weight", (8192, 512)
    yield "Output/weight", (512, 1)


def network(name: str, shapes: Shapes, **components: Network) -> Network:
    """A network of random numbers."""
    random = np.random.default_rng(0)
    variables = [
        (key, random.standard_normal(shape, dtype=np.float32) if shape else np.float32(0.1))
        for key, shape in shapes
    ]
    return Network(
        version=4,
        name=name,
        static_kwargs=ARGUMENTS,
        components=components,
        build_module_src="# source omitted",
        build_func_name=name,
        variables=variables,
    )


def generator(name: str) -> Network:
    """A generator of FFHQ's size, 1024x1024."""
    own = [("lod", ()), ("dlatent_avg", (512,))]
    return network(
        name,
        iter(own),
        synthesis=network("G_synthesis", synthesis()),
        mapping=network("G_mapping", mapping()),
    )


def write(path: Path) -> None:
    """Write the file as the official code does: pickle, protocol 4."""
    module = ModuleType("dnnlib.tflib.network")
    module.Network = Network  # type: ignore[attr-defined]
    Network.__module__ = module.__name__
    sys.modules |= {"dnnlib": ModuleType("dnnlib"), "dnnlib.tflib": ModuleType("dnnlib.tflib")}
    sys.modules[module.__name__] = module
    with path.open("wb") as file:
        pickle.dump((generator("G"), network("D", discriminator()), generator("Gs")), file, 4)


def measure(code: str, path: Path) -> dict[str, float]:
    """Read the file in a fresh process."""
    command = [sys.executable, "-c", code + MEASURED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def main(out: Path) -> None:
    """Measure, and write the results."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.pkl"
        write(path)
        size = path.stat().st_size
        rounds = [
            {"read_checkpoint": measure(READ, path), "read_and_hash": measure(FLOOR, path)}
            for _ in range(ROUNDS)
        ]
    reads = [one["read_checkpoint"] for one in rounds]
    summary = {
        "seconds_median": statistics.median(one["seconds"] for one in reads),
        "seconds_worst": max(one["seconds"] for one in reads),
        "cpu_seconds_median": statistics.median(one["cpu_seconds"] for one in reads),
        "floor_seconds_median": statistics.median(o["read_and_hash"]["seconds"] for o in rounds),
        "peak_bytes_worst": max(one["peak_bytes"] for one in reads),
        "peak_over_file_worst": max(one["peak_bytes"] for one in reads) / size,
    }
    results = {
        "schema": 1,
        "subject": "reading a TensorFlow pickle of StyleGAN2 1024x1024 (G, D, Gs)",
        "file_bytes": size,
        "bounds": {"seconds": 10, "peak_over_file": 2.5},
        "machine": machine,
        "rounds": rounds,
        "summary": summary,
    }
    out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

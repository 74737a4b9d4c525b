"""Memory and time of StyleGAN3-T and -R at 1024x1024: to export them, and to draw one picture.

Every process is fresh. Those that draw with the graph as it is exported, in groups of channels that
bound its memory, take turns with those of a graph without groups.

    python tests/benchmarks/stylegan3_memory.py docs/results/stylegan3-1024-memory.json

Linux only: peaks are /proc's VmHWM, since ru_maxrss of a process includes that of its parent.
"""

from __future__ import annotations

import importlib.metadata
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from stylert.apps.bench.machine import describe_machine

NETWORKS = ("stylegan3-t-1024", "stylegan3-r-1024")
ROUNDS = 3
BOUND = 2.5e9  # bytes that a process may have had when it has drawn

# What the fresh processes do with sys.argv between two looks at the clocks.
EXPORT = """
from pathlib import Path
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.export.graphs import stylegan3
def work(network, folder, groups):
    if groups == "whole":
        stylegan3.GROUP_BYTES = 2**50
    export_bundle(read_checkpoint("untrained:" + network), Path(folder), verify_seeds=0)
"""
DRAW = """
from stylert.runtime.generator import Generator
def work(network, folder, groups):
    with Generator.open(folder, provider="cpu") as generator:
        generator.generate([0])
        again = time.perf_counter(), time.process_time()
        generator.generate([1])
        return [time.perf_counter() - again[0], time.process_time() - again[1]]
"""
MEASURED = """
wall, cpu = time.perf_counter(), time.process_time()
second = work(*sys.argv[1:])
result = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
if second:
    result["second_image_seconds"], result["second_image_cpu_seconds"] = second
status = open("/proc/self/status").read()
result["peak_bytes"] = int(status.split("VmHWM:")[1].split()[0]) * 1024
print(json.dumps(result))
"""


def measure(code: str, network: str, folder: Path, groups: str) -> dict[str, float]:
    """Do the work in a fresh process."""
    code = "import json, sys, time" + code + MEASURED
    command = [sys.executable, "-c", code, network, str(folder), groups]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def measure_network(network: str, folder: Path) -> dict[str, Any]:
    """Export the network with groups of channels and without, and draw with both in turns."""
    folders = {"groups": folder / network, "whole": folder / f"{network}-whole"}
    exports = {name: measure(EXPORT, network, path, name) for name, path in folders.items()}
    rounds = [
        {name: measure(DRAW, network, path, name) for name, path in folders.items()}
        for _ in range(ROUNDS)
    ]
    sizes = {
        graph: (folders["groups"] / graph).stat().st_size
        for graph in ("synthesis.onnx", "synthesis.fp16.onnx")
    }
    cpu = "second_image_cpu_seconds"
    return {
        "file_bytes": sizes,
        "fp16_over_fp32_bytes": sizes["synthesis.fp16.onnx"] / sizes["synthesis.onnx"],
        "export": exports["groups"],
        "draw": rounds,
        "draw_peak_bytes_worst": {
            name: max(one[name]["peak_bytes"] for one in rounds) for name in folders
        },
        "cpu_seconds_over_whole": statistics.median(
            one["groups"][cpu] / one["whole"][cpu] for one in rounds
        ),
    }


def main(out: Path) -> None:
    """Measure, and write the results."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        networks = {name: measure_network(name, Path(folder)) for name in NETWORKS}
    results = {
        "schema": 1,
        "subject": "StyleGAN3 at 1024x1024, float32, batch 1: export without check, two images",
        "bounds": {"draw_peak_bytes": BOUND},
        "machine": machine,
        "versions": {name: importlib.metadata.version(name) for name in ("onnxruntime", "onnx")},
        "networks": networks,
    }
    out.write_text(json.dumps(results, indent=2) + "\n")
    for name, one in networks.items():
        print(name, json.dumps({k: v for k, v in one.items() if k != "draw"}, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""OpenVINO against ONNX Runtime: processor time at one thread, in turns, on random weights.

    python tests/benchmarks/openvino_cpu.py docs/results/openvino-cpu.json

Processor time at one thread says what a backend costs, also where other programs take their share
of the wall clock. Both draw uint8 pictures from seeds, as an application does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.backends.tuned_choice import list_versions
from stylert.runtime.proof.parity import compare

CASES = {
    "stylegan2-256": ((1, 9), (4, 5), (8, 5)),  # batch, turns
    "stylegan2-1024": ((1, 5),),
    "stylegan3-t-256": ((1, 5),),
}
BACKENDS: dict[str, dict[str, Any]] = {
    "onnxruntime": {"backend": "onnxruntime", "provider": "cpu"},
    "openvino": {"backend": "openvino"},
}


def time_network(name: str, folder: Path) -> list[dict[str, Any]]:
    """A row for each batch of a network."""
    export_bundle(read_checkpoint(f"untrained:{name}"), folder / name, verify_seeds=0, half="none")
    opened = {
        backend: stylert.open(folder / name, threads=1, max_batch=8, **where)
        for backend, where in BACKENDS.items()
    }
    drawn = [generator.generate([0, 1], output="img") for generator in opened.values()]
    difference = compare(*drawn)
    rows = []
    for batch, turns in CASES[name]:
        samples: dict[str, list[float]] = {backend: [] for backend in opened}
        for _ in range(turns + 1):
            for backend, generator in opened.items():
                time.sleep(0.1)  # until the threads of the other one wait no more
                start = time.process_time()
                generator.generate(range(batch))
                samples[backend].append(time.process_time() - start)
        medians = {backend: statistics.median(of[1:]) for backend, of in samples.items()}
        ratio = medians["onnxruntime"] / medians["openvino"]
        rows.append(
            {
                "network": name,
                "batch": batch,
                "cpu_seconds": medians,
                "ratio": round(ratio, 3),
                "max_abs": difference.max_abs,
                "psnr_db": difference.psnr_db,
                "samples": samples,
            }
        )
        print(f"{name} batch {batch}: {medians}, {ratio:.2f}x, max |d| {difference.max_abs:.2g}")
    for generator in opened.values():
        generator.close()
    return rows


def main() -> None:
    """Time all networks, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--networks", nargs="*", default=list(CASES))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for name in arguments.networks for row in time_network(name, Path(folder))]
    result = {"machine": describe_machine(), "versions": list_versions(), "rows": rows}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
